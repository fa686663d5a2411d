// Gaussian, Laplace and logistic distribution functions in integers, and which of many scales is meant: what an
// entropy model needs to name or make a table without floats. Format: docs/format.md, "Distributions".
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "narrows/status.hpp"

namespace narrows {

enum class Family : uint8_t { gaussian, laplace, logistic };

// Two tables made by mpmath (tests/golden/make_distributions.py), which the caller keeps: the Gaussian's upper tail
// 2^32 (1 - Phi(i / 1024)), i = 0 .. 6656, and 2^31 2^(-i / 1024), i = 0 .. 1024.
struct DistributionTables {
    static constexpr size_t kTailSize = 6657;
    static constexpr size_t kExponentialSize = 1025;
    std::span<const uint32_t> gaussian_tail, exponential;
    // Sizes as above, nothing rises, both begin at 2^31 and the second ends at 2^30: then all below is monotone.
    [[nodiscard]] bool valid() const noexcept;
};

// 2^32 P(X <= distance) for X of scale `scale` about 0, both in the same unit: within 2^-23 of the true value, never
// falling in `distance`, and F(d) + F(-d) = 2^32. |distance| <= 2^56, 1 <= scale < 2^31.
[[nodiscard]] uint64_t cumulative(const DistributionTables& tables, Family family, int64_t distance, uint32_t scale) noexcept;

// out[i] = number of thresholds at or below values[i]. bad_argument unless the thresholds never fall, there are fewer
// than 2^8 (2^16) of them, and sizes are equal.
[[nodiscard]] Status count_thresholds(std::span<const int32_t> values, std::span<const int32_t> thresholds,
                                      std::span<uint8_t> out);
[[nodiscard]] Status count_thresholds(std::span<const int32_t> values, std::span<const int32_t> thresholds,
                                      std::span<uint16_t> out);

}  // namespace narrows
