// The inner loops of rANS, one set an instruction set. All sizes are checked in payload.cpp before a kernel runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "narrows/cpu.hpp"
#include "narrows/tables.hpp"

namespace narrows {

inline constexpr uint32_t kMaxLanes = 32;

// A growing list of symbol positions. Its growth is out of line, so that kernels compiled for newer instruction
// sets instantiate nothing that others could link to.
class Positions {
   public:
    [[gnu::always_inline]] void add(uint32_t position) {
        if (size_ == capacity_) grow();
        data_[size_++] = position;
    }
    size_t size() const noexcept { return size_; }
    void clear() noexcept { size_ = 0; }
    uint32_t operator[](size_t i) const noexcept { return data_[i]; }

   private:
    void grow();
    std::unique_ptr<uint32_t[]> data_;
    size_t size_ = 0;
    size_t capacity_ = 0;
};

// Tables as plain pointers: kernels call nothing inline that is shared with code for other instruction sets.
struct TableView {
    explicit TableView(const Tables& tables);
    void for_decoding(const Tables& tables);  // sets what follows `bits`
    const Table* tables;
    const uint32_t* cdf;
    const Reciprocal* reciprocals;
    const uint32_t* encode_entries;    // null at 16 bits
    const uint64_t* encode_records;    // null where a table does not fit
    const uint64_t* encode_quotients;  // likewise
    uint32_t num_tables;
    bool any_escape;
    bool any_shift;
    bool any_raw;  // a shift above 7
    uint32_t bits;
    const uint64_t* buckets = nullptr;  // null if the tables do not fit the scheme
    uint32_t log2_buckets = 0;          // of a table
    const uint32_t* slots = nullptr;    // null likewise
    int32_t base = 0;                   // of the values of slots
    const uint32_t* hints = nullptr;
    uint32_t log2_hints = 0;  // of a table
};

// Jobs run in one call or in several, for consecutive parts of the symbols of a chunk: `states` carry over. Parts
// are whole groups of lanes, but for the chunk's last.

// The encoder takes the parts from last to first.
template <typename Symbol, typename Index>
struct EncodeJob {
    const Symbol* symbols;
    const Index* index;  // each names a table
    uint32_t n;
    uint32_t lanes;
    const TableView* view;
    uint16_t* words;             // room for n + 32
    uint32_t states[kMaxLanes];  // in and out
    Positions escapes;           // out, descending
    bool closed = false;         // out: a symbol lies outside a table without an escape
};

// The decoder takes them from first to last.
template <typename Symbol, typename Index>
struct DecodeJob {
    Symbol* symbols;     // out; at an escape its low bits added to offset, modulo 2^slot_shift: see escape_place
    const Index* index;  // each names a table
    uint32_t n;
    uint32_t lanes;
    const TableView* view;
    const uint16_t* words;  // kPadding words before the first and behind the last may be read, not used
    uint32_t num_words;
    uint32_t states[kMaxLanes];  // in: each at least 2^16; out
    Positions candidates;        // out, ascending: escapes, and perhaps first tokens of tables without one
    bool fits = true;            // out: every value but an escape's fits Symbol
};

// What a decoder stores at an escape, less its low bits of at most 7: fits every Symbol.
[[gnu::always_inline]] inline int32_t escape_place(int32_t offset) { return (offset & 127) - 128; }

// Words beside those given that a decoding kernel may read.
inline constexpr size_t kPadding = 32;

struct Kernels {
    // Return the number of words written.
    template <typename Symbol, typename Index>
    using Encode = uint32_t (*)(EncodeJob<Symbol, Index>&);
    // Return the number of words left, or kOverrun if there were too few.
    template <typename Symbol, typename Index>
    using Decode = uint32_t (*)(DecodeJob<Symbol, Index>&);

    Encode<int8_t, uint8_t> encode_i8_u8;
    Encode<int8_t, uint16_t> encode_i8_u16;
    Encode<int16_t, uint8_t> encode_i16_u8;
    Encode<int16_t, uint16_t> encode_i16_u16;
    Encode<int32_t, uint8_t> encode_i32_u8;
    Encode<int32_t, uint16_t> encode_i32_u16;
    Decode<int16_t, uint8_t> decode_i16_u8;
    Decode<int16_t, uint16_t> decode_i16_u16;
    Decode<int32_t, uint8_t> decode_i32_u8;
    Decode<int32_t, uint16_t> decode_i32_u16;
};
inline constexpr uint32_t kOverrun = UINT32_MAX;

extern const Kernels kScalarKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
#elif defined(__aarch64__)
extern const Kernels kNeonKernels;
#endif

[[nodiscard]] const Kernels& kernels(Isa isa) noexcept;

}  // namespace narrows
