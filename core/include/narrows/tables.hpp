// Integer probability tables: which tokens a symbol becomes and how many of 2^bits slots each token owns.
// Format: docs/format.md, "Entropy payloads".
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "narrows/status.hpp"

namespace narrows {

// One table. Token 0 is the escape; token t >= 1 covers the 2^shift values from offset + ((t - 1) << shift).
// Of the `shift` low bits the token's own slots carry up to 7, the side stream the rest.
struct Table {
    int32_t offset;
    uint32_t num_tokens;  // the escape included
    uint32_t first;       // of its num_tokens + 1 boundaries in Tables::cdf()
    uint8_t shift;
    uint8_t slot_shift;   // min(shift, 7): a token of frequency f is 2^slot_shift sub-slots of f >> slot_shift
    bool has_escape;

    // Number of values that need no escape.
    [[gnu::always_inline]] uint64_t span() const noexcept { return uint64_t{num_tokens - 1} << shift; }
};

// What the portable encoder multiplies by instead of dividing: with q = high 64 bits of x * reciprocal, a state x
// becomes q (2^bits - (g << slot_shift)) + (x << slot_shift) + bias. q is floor(x / g), but x - 1 for g = 1, which
// the bias makes good.
struct Reciprocal {
    uint64_t reciprocal;
    uint32_t bias;
    uint32_t g;
};

// What the fast decoders look up.
struct DecodeEntries {
    // 8 bytes for each run of slots of a table: 2^log2_buckets runs a table. In a set of tables without shifts
    // start:16 | f0 - 1:16 in the low half, f1 - 1:16 | value:16 in the high one; with shifts, all in units of
    // 2^shift slots, start:15 | f0 - 1:15 | shift:2 and f1 - 1:15 | shift >> 2:1 | value:16. start, f0 and value
    // belong to the token that owns the run's first slot, f1 to the next token. Beyond that one the boundaries are
    // searched; also where an escape owns slots of the run: then start is all ones, and slot - start negative.
    std::vector<uint64_t> buckets;  // empty if the tables do not fit the scheme
    uint32_t log2_buckets = 0;

    // 4 bytes for each slot of a table, at 12 bits without shifts and escapes: slot - start:12 | value - base:8 |
    // f - 1:12, the last in the low bits. Padded by 4 bytes; empty if the tables do not fit.
    std::vector<uint32_t> slots;
    int32_t base = 0;

    // For any table: the token that owns the first slot of each of 2^log2_hints runs.
    std::vector<uint32_t> hints;
    uint32_t log2_hints = 0;
};

class Tables {
   public:
    static constexpr uint32_t kMinBits = 8;
    static constexpr uint32_t kMaxBits = 16;
    static constexpr uint32_t kMaxShift = 20;
    static constexpr uint32_t kMaxSlotShift = 7;
    static constexpr size_t kMaxTables = 65536;
    static constexpr size_t kMaxTokens = size_t{1} << 24;

    // Checks everything and copies. `frequencies` holds the tables' tokens back to back, num_tokens of each.
    // On Status::bad_argument `what` says why.
    [[nodiscard]] static Status make(uint32_t bits, std::span<const int32_t> offset, std::span<const uint8_t> shift,
                                     std::span<const uint32_t> num_tokens, std::span<const uint32_t> frequencies,
                                     std::shared_ptr<const Tables>& tables, const char*& what);

    uint32_t bits() const noexcept { return bits_; }
    size_t size() const noexcept { return tables_.size(); }
    const Table& operator[](size_t i) const noexcept { return tables_[i]; }
    std::span<const Table> all() const noexcept { return tables_; }
    std::span<const uint32_t> cdf() const noexcept { return cdf_; }
    // CRC32C of: u8 bits, u32 number of tables, then for each u8 shift, i32 offset, u32 number of tokens, u32
    // frequencies; little endian.
    uint32_t digest() const noexcept { return digest_; }
    // Expected cost of a symbol of table i in 1/256 bit.
    std::span<const uint32_t> entropy_256() const noexcept { return entropy_256_; }
    bool any_escape() const noexcept { return any_escape_; }
    bool any_shift() const noexcept { return any_shift_; }
    // True if a table takes low bits from the side stream.
    bool any_raw() const noexcept { return any_raw_; }

    // Built at the first call, then shared; thread-safe.
    const DecodeEntries& decode_entries() const;
    // For each token, at Table::first + token: start << 16 | frequency >> slot_shift (empty at 16 bits), and the
    // same for division by multiplication.
    std::span<const uint32_t> encode_entries() const noexcept { return encode_entries_; }
    std::span<const Reciprocal> reciprocals() const noexcept { return reciprocals_; }
    // For each table what vector encoders look up: offset in the low half; shift:3 | num_tokens - 1:13 | first:16
    // in the high half. Empty where a table does not fit.
    std::span<const uint64_t> encode_records() const noexcept { return encode_records_; }
    // For each token, beside encode_records(): 2 / g as a float, a little less than exact unless g is 1, in the low
    // half; start:16 | g - 1:16 in the high half. Of use from 12 bits up.
    std::span<const uint64_t> encode_quotients() const noexcept { return encode_quotients_; }

    Tables(const Tables&) = delete;
    Tables& operator=(const Tables&) = delete;
    ~Tables();

   private:
    Tables();
    struct Lazy;
    uint32_t bits_ = 0;
    uint32_t digest_ = 0;
    bool any_escape_ = false;
    bool any_shift_ = false;
    bool any_raw_ = false;
    std::vector<Table> tables_;
    std::vector<uint32_t> cdf_;
    std::vector<uint32_t> entropy_256_;
    std::vector<uint32_t> encode_entries_;
    std::vector<Reciprocal> reciprocals_;
    std::vector<uint64_t> encode_records_;
    std::vector<uint64_t> encode_quotients_;
    std::unique_ptr<Lazy> lazy_;
};

// Shares 2^bits units among the weights as Webster's method does, each at least one: integers only, so the
// same everywhere, never zero, and monotone (a larger weight never gets less). Within 3e-5 bit a symbol of the
// optimum at 15 bits. bad_argument unless 1 <= weights.size() <= 2^bits and a weight is positive.
[[nodiscard]] Status apportion(std::span<const uint64_t> weights, uint32_t bits, std::span<uint32_t> units);

}  // namespace narrows
