#include "narrows/lifting.hpp"

#include <algorithm>
#include <vector>

namespace narrows {
namespace {

// 9/7: alpha, beta, gamma, delta in 1/4096.
constexpr int32_t kSteps97[4] = {-6497, -217, 3616, 1817};

inline int32_t add(int32_t a, int32_t b) { return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b)); }
inline int32_t sub(int32_t a, int32_t b) { return static_cast<int32_t>(static_cast<uint32_t>(a) - static_cast<uint32_t>(b)); }

// What a sample of one parity gains from its two neighbors. Steps 0 to 3 are the 9/7's, 4 and 5 the 5/3's.
template <int step>
inline int32_t gain(int32_t a, int32_t b) {
    const int32_t sum = add(a, b);
    if constexpr (step < 4) {
        const uint32_t product = static_cast<uint32_t>(kSteps97[step]) * static_cast<uint32_t>(sum);
        return static_cast<int32_t>(product + 2048u) >> 12;
    } else if constexpr (step == 4) {
        return sub(0, sum >> 1);
    } else {
        return add(sum, 2) >> 2;
    }
}

template <int step, bool forward>
inline void lift_row(int32_t* x, const int32_t* a, const int32_t* b, size_t n) {
    for (size_t i = 0; i < n; ++i) x[i] = forward ? add(x[i], gain<step>(a[i], b[i])) : sub(x[i], gain<step>(a[i], b[i]));
}

// One step along a row held as `even` [ceil(n/2)] and `odd` [floor(n/2)]. Even-numbered steps change odds.
template <int step, bool forward>
void lift_halves(int32_t* even, int32_t* odd, size_t n) {
    const size_t evens = (n + 1) / 2, odds = n / 2;
    if (odds == 0) return;
    const auto apply = [](int32_t& x, int32_t a, int32_t b) {
        x = forward ? add(x, gain<step>(a, b)) : sub(x, gain<step>(a, b));
    };
    if constexpr (step % 2 == 0) {
        const size_t inner = std::min(odds, evens - 1);
        lift_row<step, forward>(odd, even, even + 1, inner);
        if (inner < odds) apply(odd[odds - 1], even[evens - 1], even[evens - 1]);
    } else {
        apply(even[0], odd[0], odd[0]);
        if (evens > 1) lift_row<step, forward>(even + 1, odd, odd + 1, odds - 1);
        if (evens > odds) apply(even[evens - 1], odd[odds - 1], odd[odds - 1]);
    }
}

// One step on row `i` of `rows`; neighbors mirror at the edges.
template <int step, bool forward>
void lift_rows(int32_t* rows, ptrdiff_t i, size_t width, size_t height, size_t stride) {
    const ptrdiff_t h = static_cast<ptrdiff_t>(height);
    if (i < 0 || i >= h || h < 2) return;
    const ptrdiff_t above = i > 0 ? i - 1 : 1;
    const ptrdiff_t below = i + 1 < h ? i + 1 : h - 2;
    const ptrdiff_t s = static_cast<ptrdiff_t>(stride);
    lift_row<step, forward>(rows + i * s, rows + above * s, rows + below * s, width);
}

void analyze_rows(Wavelet wavelet, int32_t* rows, size_t width, size_t height, size_t stride) {
    // The steps run one behind the other down the rows, so that a row is touched while it is in cache.
    const ptrdiff_t end = static_cast<ptrdiff_t>(height) + 4;
    for (ptrdiff_t i = 1; i < end; i += 2) {
        if (wavelet == Wavelet::cdf97) {
            lift_rows<0, true>(rows, i, width, height, stride);
            lift_rows<1, true>(rows, i - 1, width, height, stride);
            lift_rows<2, true>(rows, i - 2, width, height, stride);
            lift_rows<3, true>(rows, i - 3, width, height, stride);
        } else {
            lift_rows<4, true>(rows, i, width, height, stride);
            lift_rows<5, true>(rows, i - 1, width, height, stride);
        }
    }
}

void synthesize_rows(Wavelet wavelet, int32_t* rows, size_t width, size_t height, size_t stride) {
    const ptrdiff_t end = static_cast<ptrdiff_t>(height) + 4;
    for (ptrdiff_t i = 0; i < end; i += 2) {
        if (wavelet == Wavelet::cdf97) {
            lift_rows<3, false>(rows, i, width, height, stride);
            lift_rows<2, false>(rows, i - 1, width, height, stride);
            lift_rows<1, false>(rows, i - 2, width, height, stride);
            lift_rows<0, false>(rows, i - 3, width, height, stride);
        } else {
            lift_rows<5, false>(rows, i, width, height, stride);
            lift_rows<4, false>(rows, i - 1, width, height, stride);
        }
    }
}

void analyze_halves(Wavelet wavelet, int32_t* even, int32_t* odd, size_t n) {
    if (wavelet == Wavelet::cdf97) {
        lift_halves<0, true>(even, odd, n);
        lift_halves<1, true>(even, odd, n);
        lift_halves<2, true>(even, odd, n);
        lift_halves<3, true>(even, odd, n);
    } else {
        lift_halves<4, true>(even, odd, n);
        lift_halves<5, true>(even, odd, n);
    }
}

void synthesize_halves(Wavelet wavelet, int32_t* even, int32_t* odd, size_t n) {
    if (wavelet == Wavelet::cdf97) {
        lift_halves<3, false>(even, odd, n);
        lift_halves<2, false>(even, odd, n);
        lift_halves<1, false>(even, odd, n);
        lift_halves<0, false>(even, odd, n);
    } else {
        lift_halves<5, false>(even, odd, n);
        lift_halves<4, false>(even, odd, n);
    }
}

}  // namespace

void analyze(Wavelet wavelet, int32_t* rows, size_t width, size_t height, size_t stride, const Bands& b) {
    analyze_rows(wavelet, rows, width, height, stride);
    for (size_t y = 0; y < height; ++y) {
        const int32_t* row = rows + y * stride;
        int32_t* even = y % 2 ? b.lh + y / 2 * b.lh_stride : b.ll + y / 2 * b.ll_stride;
        int32_t* odd = y % 2 ? b.hh + y / 2 * b.hh_stride : b.hl + y / 2 * b.hl_stride;
        for (size_t x = 0; x < width / 2; ++x) {
            even[x] = row[2 * x];
            odd[x] = row[2 * x + 1];
        }
        if (width % 2) even[width / 2] = row[width - 1];
        analyze_halves(wavelet, even, odd, width);
    }
}

void synthesize(Wavelet wavelet, const Bands& b, int32_t* rows, size_t width, size_t height, size_t stride) {
    std::vector<int32_t> halves(width + 16);
    int32_t* even = halves.data();
    int32_t* odd = halves.data() + (width + 1) / 2;
    for (size_t y = 0; y < height; ++y) {
        const int32_t* low = y % 2 ? b.lh + y / 2 * b.lh_stride : b.ll + y / 2 * b.ll_stride;
        const int32_t* high = y % 2 ? b.hh + y / 2 * b.hh_stride : b.hl + y / 2 * b.hl_stride;
        std::copy_n(low, (width + 1) / 2, even);
        if (width > 1) std::copy_n(high, width / 2, odd);
        synthesize_halves(wavelet, even, odd, width);
        int32_t* row = rows + y * stride;
        for (size_t x = 0; x < width / 2; ++x) {
            row[2 * x] = even[x];
            row[2 * x + 1] = odd[x];
        }
        if (width % 2) row[width - 1] = even[width / 2];
    }
    synthesize_rows(wavelet, rows, width, height, stride);
}

}  // namespace narrows
