#include "narrows/color.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace narrows {
namespace {

constexpr uint8_t kPermutations[6][3] = {{0, 1, 2}, {1, 2, 0}, {2, 0, 1}, {0, 2, 1}, {1, 0, 2}, {2, 1, 0}};

template <class T>
const T* row_of(const Pixels& p, size_t y) {
    return static_cast<const T*>(p.data) + y * p.width * p.channels;
}

template <class T>
void covariance(const Pixels& p, int64_t sums[6]) {
    const auto add = [&](const T* a, const T* b) {
        const int64_t r = static_cast<int64_t>(a[0]) - b[0], g = static_cast<int64_t>(a[1]) - b[1],
                      bl = static_cast<int64_t>(a[2]) - b[2];
        sums[0] += r * r;
        sums[1] += r * g;
        sums[2] += r * bl;
        sums[3] += g * g;
        sums[4] += g * bl;
        sums[5] += bl * bl;
    };
    // Large pictures are sampled by rows: 2^31 differences of 16 bits stay inside int64.
    const size_t every = std::max<size_t>(1, p.height / 2048);
    for (size_t y = 0; y < p.height; y += every) {
        const T* row = row_of<T>(p, y);
        const T* below = y + 1 < p.height ? row_of<T>(p, y + 1) : nullptr;
        for (size_t x = 0; x < p.width; ++x) {
            const T* at = row + x * p.channels;
            if (x + 1 < p.width) add(at, at + p.channels);
            if (below) add(at, below + x * p.channels);
        }
    }
}

// Eigenvectors of a symmetric 3x3 matrix by cyclic Jacobi rotations in a fixed order (columns of v).
void eigenvectors(double a[3][3], double v[3][3]) {
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) v[i][j] = i == j;
    for (int sweep = 0; sweep < 24; ++sweep)
        for (int p = 0; p < 2; ++p)
            for (int q = p + 1; q < 3; ++q) {
                if (a[p][q] == 0) continue;
                const double theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
                const double t = (theta >= 0 ? 1.0 : -1.0) / (std::fabs(theta) + std::sqrt(theta * theta + 1));
                const double c = 1 / std::sqrt(t * t + 1), s = t * c;
                for (int k = 0; k < 3; ++k) {
                    const double x = a[k][p], y = a[k][q];
                    a[k][p] = c * x - s * y;
                    a[k][q] = s * x + c * y;
                }
                for (int k = 0; k < 3; ++k) {
                    const double x = a[p][k], y = a[q][k];
                    a[p][k] = c * x - s * y;
                    a[q][k] = s * x + c * y;
                }
                for (int k = 0; k < 3; ++k) {
                    const double x = v[k][p], y = v[k][q];
                    v[k][p] = c * x - s * y;
                    v[k][q] = s * x + c * y;
                }
            }
}

inline int32_t wrap_mul(int32_t a, int32_t b) { return static_cast<int32_t>(static_cast<uint32_t>(a) * static_cast<uint32_t>(b)); }
inline int32_t wrap_add(int32_t a, int32_t b) { return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b)); }
inline int32_t wrap_sub(int32_t a, int32_t b) { return static_cast<int32_t>(static_cast<uint32_t>(a) - static_cast<uint32_t>(b)); }

template <class T>
void forward(const Pixels& p, const ColorMatrix& m, size_t y, int32_t* const* planes) {
    const T* row = row_of<T>(p, y);
    const int up = kWorkBits - p.bit_depth;
    const int32_t half = 1 << (kWorkBits - 1);
    const auto center = [&](T v) { return (up >= 0 ? static_cast<int32_t>(v) << up : static_cast<int32_t>(v) >> -up) - half; };
    if (p.channels < 3) {
        for (size_t x = 0; x < p.width; ++x) planes[0][x] = center(row[x * p.channels]);
        return;
    }
    for (size_t x = 0; x < p.width; ++x) {
        const T* at = row + x * p.channels;
        const int32_t r = center(at[0]), g = center(at[1]), b = center(at[2]);
        for (size_t c = 0; c < 3; ++c) planes[c][x] = (m[3 * c] * r + m[3 * c + 1] * g + m[3 * c + 2] * b + 8192) >> 14;
    }
}

template <class T>
void inverse(const int32_t* const* planes, size_t colors, size_t width, const ColorMatrix& m, uint32_t scale, int bit_depth,
             T* out, size_t step) {
    const int down = kWorkBits - bit_depth;
    const int32_t half = 1 << (kWorkBits - 1), peak = (1 << bit_depth) - 1;
    const auto finish = [&](int32_t v) {
        const int32_t full = wrap_add(v, half);
        const int32_t x = down > 0 ? wrap_add(full, 1 << (down - 1)) >> down : down < 0 ? wrap_mul(full, 1 << -down) : full;
        return static_cast<T>(std::clamp(x, 0, peak));
    };
    const auto sample = [&](size_t c, size_t x) {
        const int32_t v = planes[c][x];
        return scale == 65536 ? v : static_cast<int32_t>((static_cast<int64_t>(v) * scale + 32768) >> 16);
    };
    if (colors == 1) {
        for (size_t x = 0; x < width; ++x) out[x * step] = finish(sample(0, x));
        return;
    }
    // Working values are 13 bits and a sign; the clamp keeps three products inside int32 for any stream.
    const auto bounded = [&](size_t c, size_t x) { return std::clamp(sample(c, x), -32768, 32767); };
    const int shift = 14 + (down > 0 ? down : 0);
    for (size_t x = 0; x < width; ++x) {
        const int32_t a = bounded(0, x), b = bounded(1, x), c = bounded(2, x);
        for (size_t k = 0; k < 3; ++k) {
            const int64_t sum = static_cast<int64_t>(m[k]) * a + static_cast<int64_t>(m[3 + k]) * b + static_cast<int64_t>(m[6 + k]) * c;
            const int64_t v = (sum + (static_cast<int64_t>(half) << 14) + (int64_t{1} << (shift - 1))) >> shift;
            const int64_t scaled = down < 0 ? v << -down : v;
            out[x * step + k] = static_cast<T>(std::clamp<int64_t>(scaled, 0, peak));
        }
    }
}

// a, b, c in place.
void lift(int op, int32_t& a, int32_t& b, int32_t& c) {
    if (op == 1) {
        b = wrap_sub(b, a);
        c = wrap_sub(c, a);
    } else if (op == 2) {
        c = wrap_sub(c, a);
        b = wrap_sub(b, wrap_add(a, c >> 1));
    } else if (op == 3) {  // a = R, b = G, c = B: to Y, Co, Cg
        const int32_t co = wrap_sub(a, c), t = wrap_add(c, co >> 1), cg = wrap_sub(b, t);
        a = wrap_add(t, cg >> 1);
        b = co;
        c = cg;
    }
}

void unlift(int op, int32_t& a, int32_t& b, int32_t& c) {
    if (op == 1) {
        b = wrap_add(b, a);
        c = wrap_add(c, a);
    } else if (op == 2) {
        b = wrap_add(b, wrap_add(a, c >> 1));
        c = wrap_add(c, a);
    } else if (op == 3) {
        const int32_t y = a, co = b, cg = c, t = wrap_sub(y, cg >> 1);
        b = wrap_add(cg, t);
        c = wrap_sub(t, co >> 1);
        a = wrap_add(c, co);
    }
}

template <class T>
void forward_reversible(const Pixels& p, int transform, size_t y, int32_t* const* planes) {
    const T* row = row_of<T>(p, y);
    if (p.channels < 3) {
        for (size_t x = 0; x < p.width; ++x) planes[0][x] = row[x * p.channels];
        return;
    }
    const uint8_t* order = kPermutations[transform / 4];
    for (size_t x = 0; x < p.width; ++x) {
        const T* at = row + x * p.channels;
        int32_t a = at[order[0]], b = at[order[1]], c = at[order[2]];
        lift(transform % 4, a, b, c);
        planes[0][x] = a;
        planes[1][x] = b;
        planes[2][x] = c;
    }
}

template <class T>
void inverse_reversible(const int32_t* const* planes, size_t colors, size_t width, int transform, int bit_depth, T* out, size_t step) {
    const int32_t peak = (1 << bit_depth) - 1;
    const auto finish = [&](int32_t v) { return static_cast<T>(std::clamp(v, 0, peak)); };
    if (colors == 1) {
        for (size_t x = 0; x < width; ++x) out[x * step] = finish(planes[0][x]);
        return;
    }
    const uint8_t* order = kPermutations[transform / 4];
    for (size_t x = 0; x < width; ++x) {
        int32_t a = planes[0][x], b = planes[1][x], c = planes[2][x];
        unlift(transform % 4, a, b, c);
        out[x * step + order[0]] = finish(a);
        out[x * step + order[1]] = finish(b);
        out[x * step + order[2]] = finish(c);
    }
}

}  // namespace

ColorMatrix principal_colors(const Pixels& pixels) {
    int64_t s[6] = {};
    if (pixels.channels >= 3) pixels.wide ? covariance<uint16_t>(pixels, s) : covariance<uint8_t>(pixels, s);
    double a[3][3] = {{static_cast<double>(s[0]), static_cast<double>(s[1]), static_cast<double>(s[2])},
                      {static_cast<double>(s[1]), static_cast<double>(s[3]), static_cast<double>(s[4])},
                      {static_cast<double>(s[2]), static_cast<double>(s[4]), static_cast<double>(s[5])}};
    double v[3][3];
    eigenvectors(a, v);
    int order[3] = {0, 1, 2};
    std::stable_sort(order, order + 3, [&](int i, int j) { return a[i][i] > a[j][j]; });
    ColorMatrix m;
    for (size_t c = 0; c < 3; ++c) {
        const int e = order[c];
        const double sign = v[0][e] + v[1][e] + v[2][e] < 0 ? -1.0 : 1.0;
        for (size_t k = 0; k < 3; ++k) m[3 * c + k] = static_cast<int16_t>(std::floor(sign * v[k][e] * 16384 + 0.5));
    }
    return m;
}

int best_reversible_color(const Pixels& pixels) {
    if (pixels.channels < 3) return 0;
    std::vector<int32_t> rows[2][3];
    for (auto& row : rows)
        for (auto& plane : row) plane.resize(pixels.width);
    const size_t every = std::max<size_t>(8, pixels.height / 64);
    uint64_t least = ~uint64_t{0};
    int best = 0;
    for (int transform = 0; transform < kReversibleColors; ++transform) {
        uint64_t total = 0;
        for (size_t y = every / 2; y < pixels.height; y += every) {
            for (size_t k = 0; k < 2; ++k) {
                int32_t* planes[3] = {rows[k][0].data(), rows[k][1].data(), rows[k][2].data()};
                forward_reversible_color(pixels, transform, y && k == 0 ? y - 1 : y, planes);
            }
            for (size_t c = 0; c < 3; ++c)
                for (size_t x = 1; x < pixels.width; ++x) {
                    const int32_t w = rows[1][c][x - 1], n = rows[0][c][x], nw = rows[0][c][x - 1];
                    const int32_t low = std::min(w, n), high = std::max(w, n);
                    const int32_t p = nw >= high ? low : nw <= low ? high : wrap_sub(wrap_add(w, n), nw);
                    const uint32_t e = static_cast<uint32_t>(std::abs(wrap_sub(rows[1][c][x], p))) + 1;
                    // log2 in 1/16 by whole and linear part: enough to rank.
                    const int whole = 31 - __builtin_clz(e);
                    total += static_cast<uint64_t>(whole) * 16 + (((e << 4) >> whole) & 15);
                }
        }
        if (total < least) {
            least = total;
            best = transform;
        }
    }
    return best;
}

void forward_color(const Pixels& pixels, const ColorMatrix& matrix, size_t y, int32_t* const* planes) {
    pixels.wide ? forward<uint16_t>(pixels, matrix, y, planes) : forward<uint8_t>(pixels, matrix, y, planes);
}

void forward_reversible_color(const Pixels& pixels, int transform, size_t y, int32_t* const* planes) {
    pixels.wide ? forward_reversible<uint16_t>(pixels, transform, y, planes) : forward_reversible<uint8_t>(pixels, transform, y, planes);
}

void inverse_color(const int32_t* const* planes, size_t colors, size_t width, const ColorMatrix& matrix, uint32_t scale,
                   int bit_depth, bool wide, void* out, size_t step) {
    wide ? inverse(planes, colors, width, matrix, scale, bit_depth, static_cast<uint16_t*>(out), step)
         : inverse(planes, colors, width, matrix, scale, bit_depth, static_cast<uint8_t*>(out), step);
}

void inverse_reversible_color(const int32_t* const* planes, size_t colors, size_t width, int transform, int bit_depth,
                              bool wide, void* out, size_t step) {
    wide ? inverse_reversible(planes, colors, width, transform, bit_depth, static_cast<uint16_t*>(out), step)
         : inverse_reversible(planes, colors, width, transform, bit_depth, static_cast<uint8_t*>(out), step);
}

}  // namespace narrows
