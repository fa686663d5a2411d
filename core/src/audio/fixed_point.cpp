#include "narrows/fixed_point.hpp"

#include <array>
#include <cstddef>

namespace narrows {

namespace {

__extension__ typedef __int128 Wide;

constexpr int kAngleBits = 60;
constexpr int64_t kHalfPi = 1811004864519280711;  // pi / 2 in 1/2^60

// x y / 2^60, for values of a few units at most.
int64_t times(int64_t x, int64_t y) noexcept { return static_cast<int64_t>((Wide{x} * y) >> kAngleBits); }

// Taylor series about 0, at angles up to pi / 4, where 20 terms are below 2^-60.
SinCos series(int64_t angle) noexcept {
    int64_t term = int64_t{1} << kAngleBits, sine = 0, cosine = term;
    for (int n = 1; n <= 20; ++n) {
        term = times(term, angle) / n;
        switch (n & 3) {
            case 0: cosine += term; break;
            case 1: sine += term; break;
            case 2: cosine -= term; break;
            default: sine -= term; break;
        }
    }
    constexpr int kDrop = kAngleBits - kUnitBits;
    const auto rounded = [](int64_t v) { return static_cast<int32_t>((v + (int64_t{1} << (kDrop - 1))) >> kDrop); };
    return {rounded(sine), rounded(cosine)};
}

// Of pi/2 times r / n, r <= n.
SinCos of_quarter(uint64_t r, uint64_t n) noexcept {
    const bool swapped = 2 * r > n;
    const uint64_t part = swapped ? n - r : r;
    const SinCos s = series(static_cast<int64_t>(Wide{kHalfPi} * static_cast<Wide>(part) / static_cast<Wide>(n)));
    return swapped ? SinCos{s.cos, s.sin} : s;
}

// 2^(1/2), 2^(1/4) ... 2^(1/256) in 1/2^62.
constexpr std::array<uint64_t, 8> kRoots = {
    6521908912666391106u, 5484249825272419512u, 5029079263719320435u, 4815862801830788490u,
    4712668792719003884u, 4661903986662671290u, 4636727017470743990u, 4624189567668517720u,
};

// 2^(i / 256) in 1/2^62.
std::array<uint64_t, 256> powers() noexcept {
    std::array<uint64_t, 256> p{};
    for (size_t i = 0; i < p.size(); ++i) {
        p[i] = uint64_t{1} << 62;
        for (size_t bit = 0; bit < 8; ++bit) {
            if (i >> (7 - bit) & 1) p[i] = static_cast<uint64_t>((static_cast<unsigned __int128>(p[i]) * kRoots[bit]) >> 62);
        }
    }
    return p;
}

}  // namespace

SinCos sin_cos(uint64_t k, uint64_t n) noexcept {
    const uint64_t quarters = 4 * (k % n);
    const SinCos s = of_quarter(quarters % n, n);
    switch (quarters / n) {
        case 0: return s;
        case 1: return {s.cos, -s.sin};
        case 2: return {-s.sin, -s.cos};
        default: return {-s.cos, s.sin};
    }
}

SinCos sin_cos_quarter(uint32_t x) noexcept { return of_quarter(x, uint64_t{1} << kUnitBits); }

uint64_t exp2_16(uint32_t x) noexcept {
    static const std::array<uint64_t, 256> kPowers = powers();
    const uint32_t shift = 58 - (x >> 8);
    return shift > 58 ? ~uint64_t{0} : kPowers[x & 255] >> shift;
}

}  // namespace narrows
