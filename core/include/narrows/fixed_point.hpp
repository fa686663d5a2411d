// Sines, powers of two, roots and logarithms in integers, for codecs whose samples must be the same everywhere.
// Nothing here depends on a math library or on floating point.
#pragma once

#include <bit>
#include <cstdint>

#include "narrows/log2.hpp"

namespace narrows {

// 1.0 of sines, windows and twiddles.
inline constexpr int kUnitBits = 30;

struct SinCos {
    int32_t sin, cos;  // 1/2^30, rounded
};
// Of 2 pi k / n; k, n < 2^32, n > 0.
[[nodiscard]] SinCos sin_cos(uint64_t k, uint64_t n) noexcept;
// Of pi/2 times x / 2^30, 0 <= x <= 2^30.
[[nodiscard]] SinCos sin_cos_quarter(uint32_t x) noexcept;

// 2^(x / 256) in 1/16, 0 <= x <= 256 * 58; rounded down.
[[nodiscard]] uint64_t exp2_16(uint32_t x) noexcept;

// 256 log2(value), rounded down to the precision of nine leading bits; value > 0.
[[nodiscard]] constexpr uint32_t log2_256_wide(uint64_t value) noexcept {
    const int excess = static_cast<int>(std::bit_width(value)) - 32;
    return excess <= 0 ? log2_256(static_cast<uint32_t>(value))
                       : log2_256(static_cast<uint32_t>(value >> excess)) + 256 * static_cast<uint32_t>(excess);
}

// floor(sqrt(value)).
[[nodiscard]] constexpr uint32_t root(uint64_t value) noexcept {
    if (value == 0) return 0;
    uint64_t result = 0;
    for (uint64_t bit = uint64_t{1} << ((std::bit_width(value) - 1) & ~1); bit != 0; bit >>= 2) {
        if (value >= result + bit) {
            value -= result + bit;
            result = (result >> 1) + bit;
        } else {
            result >>= 1;
        }
    }
    return static_cast<uint32_t>(result);
}

// x y / 2^30, rounded half up.
[[nodiscard]] inline int64_t times_unit(int64_t x, int32_t y) noexcept {
    return (x * y + (int64_t{1} << (kUnitBits - 1))) >> kUnitBits;
}

}  // namespace narrows
