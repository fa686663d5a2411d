// Symbols that each have a distribution of their own, through the range coder: rows of weights, and mixtures given by
// integers. No tables are made. Format: docs/format.md, "Distributions of single symbols".
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "narrows/distributions.hpp"
#include "narrows/status.hpp"

namespace narrows {

// Symbol i is 0 .. size - 1 with probabilities as weights[i * size ..], none of them below one slot of 2^16;
// size <= 2^15. bad_argument for a row of zeros and a symbol outside.
[[nodiscard]] Status encode_rows(std::span<const int32_t> symbols, std::span<const uint32_t> weights, size_t size,
                                 std::vector<uint8_t>& stream, std::string& what);
[[nodiscard]] Status decode_rows(std::span<int32_t> symbols, std::span<const uint32_t> weights, size_t size,
                                 std::span<const uint8_t> stream, std::string& what);

// Symbol i is the nearest integer to a draw from the mixture of `num_components` distributions of one family; weights
// (of sum 1 to 2^15), means and scales (1 to 2^30 - 1) are [n][num_components], the latter two in 2^-fraction_bits.
struct Mixtures {
    Family family;
    uint32_t fraction_bits;  // at most 20
    size_t num_components;   // 1 to 16
    std::span<const uint16_t> weights;
    std::span<const int32_t> means, scales;
};
// Every int32 survives, whatever the mixture.
[[nodiscard]] Status encode_mixtures(const DistributionTables& tables, const Mixtures& mixtures,
                                     std::span<const int32_t> symbols, std::vector<uint8_t>& stream, std::string& what);
[[nodiscard]] Status decode_mixtures(const DistributionTables& tables, const Mixtures& mixtures, std::span<int32_t> symbols,
                                     std::span<const uint8_t> stream, std::string& what);

}  // namespace narrows
