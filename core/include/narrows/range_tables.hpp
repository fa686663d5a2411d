// Arrays of symbols through the range coder, with fixed Tables or with tables that adapt.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "narrows/adaptive.hpp"
#include "narrows/range.hpp"
#include "narrows/rans.hpp"
#include "narrows/status.hpp"
#include "narrows/tables.hpp"

namespace narrows {

// Bits so far in 1/256 bit, a little under one whole bit at the start; equal in encoder and decoder.
[[nodiscard]] inline uint64_t tell_256(uint64_t num_shifts, uint32_t range) noexcept {
    return num_shifts * 2048 + 8192 - log2_256(range);
}

// A decoder that can tell how much it has used.
class CountingDecoder : public RangeDecoder {
   public:
    explicit CountingDecoder(std::span<const uint8_t> bytes) noexcept : RangeDecoder(bytes), size_(bytes.size()) {}
    uint64_t tell_256() const noexcept {
        return narrows::tell_256(size_ - bytes_left() + padded() - 4, range());
    }

   private:
    size_t size_;
};

// Counts that begin as `tables` and follow the symbols. For tables of at most 15 bits and 17 live tokens, the
// escape among them where its frequency is not 0.
class AdaptiveTables {
   public:
    // All that a symbol needs, in one cache line.
    struct alignas(64) Entry {
        AdaptiveTable counts;
        int32_t offset;        // as of the Table
        uint32_t num_covered;  // tokens that are no escape
        uint32_t num_plain;    // as many, or 0 where the table has a shift
        uint8_t shift;
        uint8_t escape;  // 1 if the first of the counts is the escape's
        uint8_t first;   // which of the 17 symbols of the counts the first covered token is
    };

    static_assert(sizeof(Entry) == 64);

    [[nodiscard]] static Status make(std::shared_ptr<const Tables> tables, uint32_t weight, uint32_t max_shift,
                                     AdaptiveTables& adaptive, std::string& what);
    const Tables& tables() const noexcept { return *tables_; }
    std::span<Entry> entries() noexcept { return entries_; }
    const AdaptiveTable& operator[](size_t i) const noexcept { return entries_[i].counts; }

   private:
    std::shared_ptr<const Tables> tables_;
    std::vector<Entry> entries_;
};

// Code int32 symbols; every int32 survives where the table has an escape. bad_argument, with `what` and nothing
// coded, if lengths differ, an index names no table, or a symbol lies outside a table without an escape. After
// std::bad_alloc the encoder and the tables are of no use.
[[nodiscard]] Status put(RangeEncoder& encoder, std::span<const int32_t> symbols, const Indexes& index,
                         const Tables& tables, std::string& what);
[[nodiscard]] Status put(RangeEncoder& encoder, std::span<const int32_t> symbols, const Indexes& index,
                         AdaptiveTables& tables, std::string& what);
// corrupt if an escape is impossible or the stream was read beyond its end.
[[nodiscard]] Status get(RangeDecoder& decoder, std::span<int32_t> symbols, const Indexes& index,
                         const Tables& tables, std::string& what);
[[nodiscard]] Status get(RangeDecoder& decoder, std::span<int32_t> symbols, const Indexes& index,
                         AdaptiveTables& tables, std::string& what);

// Bits, each with the binary model that `contexts` names; a bit other than 0 and 1 is bad_argument.
[[nodiscard]] Status put(RangeEncoder& encoder, std::span<const int32_t> bits, const Indexes& contexts,
                         std::span<AdaptiveBit> models, std::string& what);
[[nodiscard]] Status get(RangeDecoder& decoder, std::span<int32_t> bits, const Indexes& contexts,
                         std::span<AdaptiveBit> models, std::string& what);

// Whole payloads of profile 1: one chunk, the tables adapting through it. As encode and decode of rans.hpp.
[[nodiscard]] Status encode(std::span<const int32_t> symbols, const Indexes& index, AdaptiveTables& tables,
                            const EncodeOptions& options, std::vector<uint8_t>& payload, std::string& what);
[[nodiscard]] Status decode(std::span<const uint8_t> payload, const Indexes& index, AdaptiveTables& tables,
                            const DecodeOptions& options, std::span<int32_t> symbols, std::string& what);

}  // namespace narrows
