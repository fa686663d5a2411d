#include "narrows/distributions.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <limits>
#include <vector>

namespace narrows {
namespace {

// Position in units of scale, 24 fraction bits; the tables have 1,024 steps a unit, the rest interpolates.
constexpr uint32_t kPositionBits = 24;
constexpr uint32_t kStepBits = kPositionBits - 10;
constexpr uint64_t kGaussianEnd = (DistributionTables::kTailSize - 1) << kStepBits;
constexpr uint64_t kExponentialEnd = uint64_t{23} << kPositionBits;  // e^-23 < 2^-33
constexpr uint64_t kLog2E = 1549082005;                             // 2^30 log2(e)

uint64_t interpolated(std::span<const uint32_t> table, uint64_t position) noexcept {
    const size_t i = static_cast<size_t>(position >> kStepBits);
    const uint64_t part = position & ((1u << kStepBits) - 1);
    return table[i] - ((uint64_t{table[i] - table[i + 1]} * part) >> kStepBits);
}

// 2^31 e^-x.
uint64_t exponential(const DistributionTables& tables, uint64_t position) noexcept {
    const uint64_t octaves = (position * kLog2E) >> 30;
    const uint64_t part = octaves & ((1u << kPositionBits) - 1);
    return interpolated(tables.exponential, part) >> (octaves >> kPositionBits);
}

// 2^32 P(X > x), x >= 0.
uint64_t tail(const DistributionTables& tables, Family family, uint64_t position) noexcept {
    if (family == Family::gaussian) {
        return position >= kGaussianEnd ? 0 : interpolated(tables.gaussian_tail, position);
    }
    if (position >= kExponentialEnd) return 0;
    const uint64_t e = exponential(tables, position);
    if (family == Family::laplace) return e;
    return (e << 32) / ((uint64_t{1} << 31) + e);
}

template <typename Index>
Status count_all(std::span<const int32_t> values, std::span<const int32_t> thresholds, std::span<Index> out) {
    if (values.size() != out.size() || thresholds.size() > static_cast<size_t>(Index(-1)) ||
        !std::is_sorted(thresholds.begin(), thresholds.end()))
        return Status::bad_argument;
    // Scales are spread over octaves: the five bits behind the leading one leave few thresholds to compare.
    constexpr uint32_t kFine = 5;
    const auto bucket = [](uint32_t v) {
        const uint32_t width = static_cast<uint32_t>(std::bit_width(v | 1u));
        const uint32_t down = width > kFine + 1 ? width - kFine - 1 : 0;
        return (down << kFine) + (v >> down);
    };
    const auto below = [&](int64_t v) {
        return static_cast<Index>(std::upper_bound(thresholds.begin(), thresholds.end(), v) - thresholds.begin());
    };
    std::array<Index, 1024> first;
    for (uint32_t b = 0; b < first.size(); ++b) {
        const uint32_t down = b < 2u << kFine ? 0 : (b >> kFine) - 1;
        first[b] = below(static_cast<int64_t>(b - (down << kFine)) << down);
    }
    const size_t n = thresholds.size();
    bool single = n > 0 && thresholds.front() > 0;
    for (size_t b = 1; b < first.size(); ++b) single = single && first[b] - first[b - 1] <= 1;
    if (single) {
        // At most one threshold in a bucket, and none at or below 0: no branch.
        std::vector<int64_t> next(thresholds.begin(), thresholds.end());
        next.push_back(std::numeric_limits<int64_t>::max());
        for (size_t i = 0; i < values.size(); ++i) {
            const uint32_t v = static_cast<uint32_t>(std::max(values[i], 0));
            const size_t at = first[bucket(v)];
            out[i] = static_cast<Index>(at + (next[at] <= v));
        }
        return Status::ok;
    }
    for (size_t i = 0; i < values.size(); ++i) {
        const int32_t v = values[i];
        if (v < 0) {
            out[i] = below(v);
            continue;
        }
        size_t at = first[bucket(static_cast<uint32_t>(v))];
        while (at < n && thresholds[at] <= v) ++at;
        out[i] = static_cast<Index>(at);
    }
    return Status::ok;
}

}  // namespace

bool DistributionTables::valid() const noexcept {
    const auto falls = [](std::span<const uint32_t> t) { return std::is_sorted(t.begin(), t.end(), std::greater<>()); };
    return gaussian_tail.size() == kTailSize && exponential.size() == kExponentialSize && falls(gaussian_tail) &&
           falls(exponential) && gaussian_tail.front() == 1u << 31 && exponential.front() == 1u << 31 &&
           exponential.back() == 1u << 30;
}

uint64_t cumulative(const DistributionTables& tables, Family family, int64_t distance, uint32_t scale) noexcept {
    const uint64_t size = distance < 0 ? 0u - static_cast<uint64_t>(distance) : static_cast<uint64_t>(distance);
    // Below 2^5 x 2^31 a shift by 24 stays within 60 bits.
    const uint64_t position = size >> 5 >= scale ? UINT64_MAX : (size << kPositionBits) / scale;
    const uint64_t upper = tail(tables, family, position);
    return distance < 0 ? upper : (uint64_t{1} << 32) - upper;
}

Status count_thresholds(std::span<const int32_t> values, std::span<const int32_t> thresholds, std::span<uint8_t> out) {
    return count_all(values, thresholds, out);
}
Status count_thresholds(std::span<const int32_t> values, std::span<const int32_t> thresholds, std::span<uint16_t> out) {
    return count_all(values, thresholds, out);
}

}  // namespace narrows
