#include "narrows/mdct.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>

#include "narrows/fixed_point.hpp"

namespace narrows {

namespace {

constexpr int64_t kHalf = int64_t{1} << (kUnitBits - 1);
constexpr size_t kMostPoints = Mdct::kMaxSize / 2;

// In 1/2^30, rounded: -, -, 1/sqrt(2), 1/sqrt(3), -, 1/sqrt(5), -, 1/sqrt(7).
constexpr std::array<int32_t, 8> kInverseRoot = {0, 0, 759250125, 619925131, 0, 480191942, 0, 405836263};

// A sum of products by 1/2^30 as an integer, rounded. The shift is logical: only the low 32 bits are kept.
inline int32_t rounded(int64_t sum) noexcept { return static_cast<int32_t>(static_cast<uint64_t>(sum + kHalf) >> kUnitBits); }
// (a + b) / 2
inline int32_t halved(int32_t a, int32_t b) noexcept { return (a + b + 1) >> 1; }

// The outputs of a butterfly of odd radix are s (t0 + sum) and, for each j, A_j -+ i B_j with
// A_j = s (t0 + sum_q cos(2 pi j q / R) (t_q + t_{R-q})) and B_j = s sum_q sin(2 pi j q / R) (t_q - t_{R-q}), s = 1/sqrt(R).
template <size_t R>
inline void odd(const int32_t (&re)[R], const int32_t (&im)[R], const int32_t* c, int32_t (&ore)[R], int32_t (&oim)[R]) noexcept {
    constexpr size_t H = (R - 1) / 2;
    const int64_t s = c[0];
    int32_t ure[H], uim[H], vre[H], vim[H];
    int64_t sre = re[0], sim = im[0];
    for (size_t q = 0; q < H; ++q) {
        ure[q] = re[q + 1] + re[R - 1 - q];
        uim[q] = im[q + 1] + im[R - 1 - q];
        vre[q] = re[q + 1] - re[R - 1 - q];
        vim[q] = im[q + 1] - im[R - 1 - q];
        sre += ure[q];
        sim += uim[q];
    }
    ore[0] = rounded(sre * s);
    oim[0] = rounded(sim * s);
    for (size_t j = 0; j < H; ++j) {
        int64_t are = re[0] * s, aim = im[0] * s, bre = 0, bim = 0;
        for (size_t q = 0; q < H; ++q) {
            const int64_t cosine = c[1 + j * H + q], sine = c[1 + H * H + j * H + q];
            are += ure[q] * cosine;
            aim += uim[q] * cosine;
            bre += vre[q] * sine;
            bim += vim[q] * sine;
        }
        ore[j + 1] = rounded(are + bim);
        oim[j + 1] = rounded(aim - bre);
        ore[R - 1 - j] = rounded(are - bim);
        oim[R - 1 - j] = rounded(aim + bre);
    }
}

// One stage of a transform by decimation in time: `blocks` butterflies groups of R sequences of `rest` points.
// Twiddles [R - 1][rest] of cos, then of sin; none where rest is 1. Output is scaled by 1/sqrt(R).
template <size_t R, bool kTurns>
void stage(int32_t* __restrict re, int32_t* __restrict im, size_t rest, size_t blocks, const int32_t* __restrict cosines,
           const int32_t* __restrict sines, const int32_t* __restrict constants) noexcept {
    for (size_t b = 0; b < blocks; ++b, re += R * rest, im += R * rest) {
#pragma GCC ivdep
        for (size_t k = 0; k < rest; ++k) {
            int32_t tre[R], tim[R];
            tre[0] = re[k];
            tim[0] = im[k];
            for (size_t q = 1; q < R; ++q) {
                const int64_t x = re[k + q * rest], y = im[k + q * rest];
                if constexpr (kTurns) {
                    const int64_t c = cosines[(q - 1) * rest + k], s = sines[(q - 1) * rest + k];
                    tre[q] = rounded(x * c + y * s);
                    tim[q] = rounded(y * c - x * s);
                } else {
                    tre[q] = static_cast<int32_t>(x);
                    tim[q] = static_cast<int32_t>(y);
                }
            }
            if constexpr (R == 2) {
                const int64_t s = constants[0];
                re[k] = rounded((int64_t{tre[0]} + tre[1]) * s);
                im[k] = rounded((int64_t{tim[0]} + tim[1]) * s);
                re[k + rest] = rounded((int64_t{tre[0]} - tre[1]) * s);
                im[k + rest] = rounded((int64_t{tim[0]} - tim[1]) * s);
            } else if constexpr (R == 4) {
                const int32_t are = tre[0] + tre[2], aim = tim[0] + tim[2], bre = tre[0] - tre[2], bim = tim[0] - tim[2];
                const int32_t cre = tre[1] + tre[3], cim = tim[1] + tim[3], dre = tim[1] - tim[3], dim = tre[3] - tre[1];
                re[k] = halved(are, cre);
                im[k] = halved(aim, cim);
                re[k + rest] = halved(bre, dre);
                im[k + rest] = halved(bim, dim);
                re[k + 2 * rest] = halved(are, -cre);
                im[k + 2 * rest] = halved(aim, -cim);
                re[k + 3 * rest] = halved(bre, -dre);
                im[k + 3 * rest] = halved(bim, -dim);
            } else {
                int32_t ore[R], oim[R];
                odd<R>(tre, tim, constants, ore, oim);
                for (size_t q = 0; q < R; ++q) {
                    re[k + q * rest] = ore[q];
                    im[k + q * rest] = oim[q];
                }
            }
        }
    }
}

template <size_t R>
void stage(int32_t* re, int32_t* im, size_t rest, size_t blocks, const int32_t* cosines, const int32_t* sines, const int32_t* constants) noexcept {
    if (rest == 1) stage<R, false>(re, im, rest, blocks, cosines, sines, constants);
    else stage<R, true>(re, im, rest, blocks, cosines, sines, constants);
}

}  // namespace

struct MdctTables {
    static std::shared_ptr<const Mdct> make(size_t n) {
        if (n < 4 || n % 2 != 0 || n > Mdct::kMaxSize) return nullptr;
        auto mdct = std::make_shared<Mdct>();
        const size_t points = n / 2;
        mdct->n_ = n;
        // Powers of 2 first, which need the fewest products where runs are short.
        size_t length = 1, left = points;
        for (const size_t radix : {4, 2, 3, 5, 7}) {
            for (; left % radix == 0; left /= radix) {
                Mdct::Stage stage{radix, length, {}, {}, {}};
                length *= radix;
                for (size_t q = 1; q < radix && stage.rest > 1; ++q) {
                    for (size_t k = 0; k < stage.rest; ++k) {
                        const SinCos w = sin_cos(q * k, length);
                        stage.cosines.push_back(w.cos);
                        stage.sines.push_back(w.sin);
                    }
                }
                const int32_t scale = kInverseRoot[radix % 8];
                stage.constants.push_back(scale);
                const size_t half = (radix - 1) / 2;
                for (const bool sine : {false, true}) {
                    for (size_t at = 0; at < half * half; ++at) {
                        const SinCos w = sin_cos((at / half + 1) * (at % half + 1), radix);
                        stage.constants.push_back(static_cast<int32_t>(times_unit(sine ? w.sin : w.cos, scale)));
                    }
                }
                mdct->stages_.push_back(std::move(stage));
            }
        }
        if (left != 1) return nullptr;
        for (size_t at = 0; at < points; ++at) {
            // The digits of a place, the last stage's first, are those of the point that goes there, reversed.
            size_t place = at, span = points, point = 0, weight = 1;
            for (size_t i = mdct->stages_.size(); i-- > 0;) {
                span /= mdct->stages_[i].radix;
                point += place / span * weight;
                place %= span;
                weight *= mdct->stages_[i].radix;
            }
            mdct->order_.push_back(static_cast<uint16_t>(point));
            // The sine window at distance k from the boundary: sin(pi (n + 1/2 +- k) / 2n).
            mdct->window_.push_back(sin_cos(n + 2 * at + 1, 8 * n));
            mdct->turn_.push_back(sin_cos(8 * at + 1, 16 * n));
        }
        return mdct;
    }
};

std::shared_ptr<const Mdct> Mdct::of(size_t n) {
    static std::mutex lock;
    static std::map<size_t, std::shared_ptr<const Mdct>> made;
    const std::lock_guard guard(lock);
    auto& found = made[n];
    if (!found) found = MdctTables::make(n);
    return found;
}

void Mdct::rotate(int32_t* block) const noexcept {
    const size_t half = n_ / 2;
    for (size_t k = 0; k < half; ++k) {
        const int64_t x = block[half - 1 - k], y = block[half + k], c = window_[k].cos, s = window_[k].sin;
        block[half - 1 - k] = rounded(x * s - y * c);
        block[half + k] = rounded(x * c + y * s);
    }
}

void Mdct::unrotate(int32_t* block) const noexcept {
    const size_t half = n_ / 2;
    for (size_t k = 0; k < half; ++k) {
        const int64_t x = block[half - 1 - k], y = block[half + k], c = window_[k].cos, s = window_[k].sin;
        block[half - 1 - k] = rounded(x * s + y * c);
        block[half + k] = rounded(y * s - x * c);
    }
}

void Mdct::dct4(int32_t* values) const noexcept {
    alignas(64) std::array<int32_t, kMostPoints> re, im;  // the first n / 2 are used
    const size_t points = n_ / 2;
    for (size_t at = 0; at < points; ++at) {
        const size_t k = order_[at];
        const int64_t x = values[2 * k], y = values[n_ - 1 - 2 * k], c = turn_[k].cos, s = turn_[k].sin;
        re[at] = rounded(x * c + y * s);
        im[at] = rounded(y * c - x * s);
    }
    for (const Stage& s : stages_) {
        const size_t blocks = points / (s.radix * s.rest);
        const auto run = s.radix == 4 ? stage<4> : s.radix == 2 ? stage<2> : s.radix == 3 ? stage<3> : s.radix == 5 ? stage<5> : stage<7>;
        run(re.data(), im.data(), s.rest, blocks, s.cosines.data(), s.sines.data(), s.constants.data());
    }
    for (size_t k = 0; k < points; ++k) {
        const int64_t x = re[k], y = im[k], c = turn_[k].cos, s = turn_[k].sin;
        values[2 * k] = rounded(x * c + y * s);
        values[n_ - 1 - 2 * k] = rounded(x * s - y * c);
    }
}

}  // namespace narrows
