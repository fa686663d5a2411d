// The bitstream of CompressAI (Begaint et al. 2020), byte for byte: one 64-bit rANS state (Giesen's rans64), 32-bit
// words, 16-bit probabilities, symbols outside a table as 4-bit nibbles. Layout: docs/compat.md; readable twin:
// tests/twins/compressai.py. Unlike the original this one divides by multiplication, looks symbols up in buckets,
// codes strings side by side, and checks everything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "narrows/status.hpp"

namespace narrows::compressai {

using Indexes = std::variant<std::span<const uint8_t>, std::span<const uint16_t>, std::span<const int32_t>>;

// Quantized cdfs as `EntropyModel` holds them. The last token of a table is its escape.
class Tables {
   public:
    static constexpr size_t kMaxTables = size_t{1} << 22;
    static constexpr size_t kMaxTokens = size_t{1} << 26;

    // What an encoder needs of a token. With q = high 64 bits of x * reciprocal, shifted right: q = x / frequency.
    struct Token {
        uint64_t reciprocal;
        uint32_t bias;
        uint16_t frequency;
        uint8_t shift;
    };
    // What both need of a table; `first` is its place among the tokens, `first` + its number the one in cdf().
    struct Row {
        int32_t offset;
        uint32_t escape;        // the escape's token
        uint32_t first;
        uint32_t first_bucket;
        uint32_t bucket_shift;  // a bucket is 2^bucket_shift slots
    };

    // `cdf` holds a row of `stride` entries for each table, of which the first `lengths` count: 0 first, never
    // falling, 65,536 last. bad_argument, with `what`, for anything else and for a token that owns every slot.
    [[nodiscard]] static Status make(std::span<const int32_t> cdf, size_t stride, std::span<const int32_t> lengths,
                                     std::span<const int32_t> offsets, std::shared_ptr<const Tables>& tables,
                                     const char*& what);

    size_t size() const noexcept { return rows_.size(); }
    std::span<const Row> rows() const noexcept { return rows_; }
    std::span<const Token> tokens() const noexcept { return tokens_; }
    std::span<const uint32_t> cdf() const noexcept { return cdf_; }
    // start:16 | frequency:16 | frequency of the next token:16 | token:16, of the token of a bucket's first slot.
    std::span<const uint64_t> buckets() const noexcept { return buckets_; }
    // True if some token owns no slots, so that coding it is an error.
    bool any_empty() const noexcept { return any_empty_; }

   private:
    void make_buckets();
    std::vector<Row> rows_;
    std::vector<Token> tokens_;
    std::vector<uint32_t> cdf_;
    std::vector<uint64_t> buckets_;
    bool any_empty_ = false;
};

// Collects symbols over several calls; finish() makes one string of all of them, as BufferedRansEncoder does.
class Encoder {
   public:
    // bad_argument, with `what`, if lengths differ, an index names no table or a token owns no slots; the encoder is
    // then unchanged.
    [[nodiscard]] Status put(std::span<const int32_t> symbols, const Indexes& index,
                             std::shared_ptr<const Tables> tables, std::string& what);
    // `num_beyond` counts the symbols so far outside their table that CompressAI itself cannot decode them.
    [[nodiscard]] std::vector<uint8_t> finish(size_t& num_beyond);

   private:
    struct Call {
        std::vector<int32_t> symbols;
        std::vector<int32_t> index;
        std::shared_ptr<const Tables> tables;
    };
    std::vector<Call> calls_;
};

// Reads one string call by call, as RansDecoder does. Owns the bytes.
class Decoder {
   public:
    // truncated or corrupt, with `what`, for bytes that no encoder wrote.
    [[nodiscard]] Status open(std::span<const uint8_t> string, std::string& what);
    // Fills `symbols`, as many as indexes. After anything but ok the decoder is used up.
    [[nodiscard]] Status get(const Indexes& index, const Tables& tables, std::span<int32_t> symbols,
                             std::string& what);
    // corrupt unless exactly the bytes given have been used and the state is the one that an encoder starts from.
    [[nodiscard]] Status finish(std::string& what);

   private:
    std::vector<uint8_t> bytes_;
    uint64_t state_ = 0;
    size_t at_ = 0;
};

// Codes one string for each of `counts`, of so many symbols each, back to back in `symbols` and `index`.
[[nodiscard]] Status encode(std::span<const int32_t> symbols, const Indexes& index, std::span<const size_t> counts,
                            const Tables& tables, std::vector<std::vector<uint8_t>>& strings, size_t& num_beyond,
                            std::string& what);

// The inverse. Every string must be used up exactly and end in the state that an encoder starts from. Work and
// memory are bounded by index and strings, whatever the strings say.
[[nodiscard]] Status decode(std::span<const std::span<const uint8_t>> strings, const Indexes& index,
                            std::span<const size_t> counts, const Tables& tables, std::span<int32_t> symbols,
                            std::string& what);

// CompressAI's quantizer of a pmf, exactly: `cdf` gets pmf.size() + 1 entries, the last of them 2^precision, each
// token at least one slot. bad_argument, with `what`, for a negative, infinite or all-zero pmf, and for more tokens
// than slots.
[[nodiscard]] Status pmf_to_quantized_cdf(std::span<const float> pmf, unsigned precision, std::span<uint32_t> cdf,
                                          std::string& what);

}  // namespace narrows::compressai
