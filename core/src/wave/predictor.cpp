#include "wave/predictor.hpp"

#include <algorithm>
#include <cmath>

namespace narrows::wave {
namespace {

constexpr int kPad = 4;

}  // namespace

int num_taps(const Surroundings& s) {
    int n = 6 + 11;
    for (const Band* b : {s.sibling[0], s.sibling[1], s.channel[0], s.channel[1]}) n += b ? 5 : 0;
    return n;
}

Prediction::Prediction(const Surroundings& where, const LowPass& low, int orientation)
    : where_(where), low_(low), orientation_(orientation), width_(where.self->width), num_taps_(wave::num_taps(where)),
      stride_(static_cast<size_t>(width_) + 2 * kPad + 8), rows_(stride_ * 24, 0) {}

const int32_t* Prediction::padded(const Band* band, int y, int begin, int end) {
    int32_t* row = rows_.data() + used_++ * stride_ + kPad;
    const int32_t* from = band && y >= begin && y < std::min(end, band->first + band->height) ? band->row(y) : nullptr;
    const int n = from ? std::min(band->width, width_ + 1) : 0;
    std::copy_n(from ? from : row, n, row);
    std::fill(row + n, row + width_ + kPad, 0);
    return row;
}

const int32_t* Prediction::padded_low(int y) {
    // The low-pass picture repeats its edge.
    int32_t* row = rows_.data() + used_++ * stride_ + kPad;
    const int32_t* from = low_.data + static_cast<size_t>(std::clamp(y, 0, low_.height - 1)) * static_cast<size_t>(low_.width);
    const int n = std::min(low_.width, width_ + 2);
    std::copy_n(from, n, row);
    std::fill(row + n, row + width_ + kPad, from[low_.width - 1]);
    row[-1] = row[-2] = from[0];
    return row;
}

void Prediction::begin_row(int y) {
    used_ = 0;
    const Surroundings& s = where_;
    const int32_t* n = padded(s.self, y - 1, s.begin, s.end);
    const int32_t* nn = padded(s.self, y - 2, s.begin, s.end);
    const int32_t** out = taps_ + 2;
    *out++ = n;
    *out++ = n - 1;
    *out++ = n + 1;
    *out++ = nn;
    const int32_t* low[3] = {padded_low(y - 1), padded_low(y), padded_low(y + 1)};
    for (const int32_t* row : low)
        for (int dx = -1; dx <= 1; ++dx) *out++ = row + dx;
    if (orientation_ == kLH) {
        *out++ = padded_low(y - 2);
        *out++ = padded_low(y + 2);
    } else {
        *out++ = low[1] - 2;
        *out++ = low[1] + 2;
    }
    for (const Band* b : {s.sibling[0], s.sibling[1], s.channel[0], s.channel[1]}) {
        if (!b) continue;
        const int32_t* c = padded(b, y, s.begin, s.end);
        *out++ = c;
        *out++ = c - 1;
        *out++ = c + 1;
        *out++ = padded(b, y - 1, s.begin, s.end);
        *out++ = padded(b, y + 1, s.begin, s.end);
    }
}

void Prediction::sum_row(const Weights& weights, int32_t* out) const {
    std::fill(out, out + width_, 0);
    for (int k = 2; k < num_taps_; ++k) {
        const int32_t w = weights.tap[k];
        if (w == 0) continue;
        const int32_t* in = taps_[k];
        for (int x = 0; x < width_; ++x)
            out[x] = static_cast<int32_t>(static_cast<uint32_t>(out[x]) + static_cast<uint32_t>(w) * static_cast<uint32_t>(in[x]));
    }
}

namespace {

// Solves a x = b for symmetric positive a [n][n] by Cholesky, in place; false if it is not.
bool solve(double a[kMaxTaps][kMaxTaps], double b[kMaxTaps], int n) {
    for (int i = 0; i < n; ++i) {
        for (int j = 0; j < i; ++j) {
            double sum = a[i][j];
            for (int k = 0; k < j; ++k) sum -= a[i][k] * a[j][k];
            a[i][j] = sum / a[j][j];
        }
        double sum = a[i][i];
        for (int k = 0; k < i; ++k) sum -= a[i][k] * a[i][k];
        if (!(sum > 0)) return false;
        a[i][i] = std::sqrt(sum);
    }
    for (int i = 0; i < n; ++i) {
        for (int k = 0; k < i; ++k) b[i] -= a[i][k] * b[k];
        b[i] /= a[i][i];
    }
    for (int i = n - 1; i >= 0; --i) {
        for (int k = i + 1; k < n; ++k) b[i] -= a[k][i] * b[k];
        b[i] /= a[i][i];
    }
    return true;
}

uint64_t log_size(int32_t r) {
    const uint32_t a = r < 0 ? 0u - static_cast<uint32_t>(r) : static_cast<uint32_t>(r);
    return log2_256(std::min(2 * a + 1, 0x7FFFFFFFu));
}

}  // namespace

Weights fit(const Surroundings& where, const LowPass& low, int orientation, const int32_t* v) {
    Weights none;
    const int width = where.self->width, rows = where.end - where.begin;
    const int n = num_taps(where);
    if (width < 8 || rows < 8 || static_cast<int64_t>(width) * rows < 40 * n) return none;

    // The band's own values must be in place for the gatherer to read them.
    for (int y = 0; y < rows; ++y) std::copy_n(v + static_cast<size_t>(y) * static_cast<size_t>(width), width, where.self->row(where.begin + y));

    Prediction taps(where, low, orientation);
    // Rows are sampled so that about 50,000 positions are seen; every sum is exact, so any order gives it.
    const int every = std::max(1, static_cast<int>(static_cast<int64_t>(width) * rows / 50000));
    std::vector<int64_t> sums(static_cast<size_t>((n + 1) * (n + 1)), 0);
    std::vector<int32_t> sample(static_cast<size_t>(n + 1));
    for (int y = where.begin + every / 2; y < where.end; y += every) {
        taps.begin_row(y);
        const int32_t* row = where.self->row(y);
        for (int x = 0; x < width; ++x) {
            sample[0] = x > 0 ? row[x - 1] : 0;
            sample[1] = x > 1 ? row[x - 2] : 0;
            for (int k = 2; k < n; ++k) sample[static_cast<size_t>(k)] = taps.tap(k)[x];
            sample[static_cast<size_t>(n)] = row[x];
            // Busy places are predicted badly whatever the weights; count them less.
            int64_t activity = 6;
            for (int k = 0; k < 5; ++k) activity += std::abs(static_cast<int64_t>(sample[static_cast<size_t>(k)]));
            const int64_t weight = std::max<int64_t>(1, 1024 / activity);
            for (int i = 0; i <= n; ++i) {
                const int64_t wi = weight * sample[static_cast<size_t>(i)];
                int64_t* out = sums.data() + static_cast<size_t>(i) * static_cast<size_t>(n + 1);
                for (int j = 0; j <= i; ++j) out[j] += wi * sample[static_cast<size_t>(j)];
            }
        }
    }
    double a[kMaxTaps][kMaxTaps], b[kMaxTaps];
    for (int i = 0; i < n; ++i) {
        for (int j = 0; j <= i; ++j) a[i][j] = static_cast<double>(sums[static_cast<size_t>(i * (n + 1) + j)]);
        a[i][i] = a[i][i] * 1.0001 + 65536.0;
        b[i] = static_cast<double>(sums[static_cast<size_t>(n * (n + 1) + i)]);
    }
    if (!solve(a, b, n)) return none;
    Weights out;
    out.num_taps = n;
    for (int k = 0; k < n; ++k) {
        if (!(std::fabs(b[k]) < 7.9)) return none;
        out.tap[k] = static_cast<int32_t>(std::floor(b[k] * (1 << kTapBits) + 0.5));
    }

    // Does it pay? Sum of log magnitudes on the sampled rows, against about 10 bits a weight.
    std::vector<int32_t> sum(static_cast<size_t>(width));
    uint64_t plain = 0, predicted = 0;
    for (int y = where.begin + every / 2; y < where.end; y += every) {
        taps.begin_row(y);
        taps.sum_row(out, sum.data());
        const int32_t* row = where.self->row(y);
        for (int x = 0; x < width; ++x) {
            const int32_t p = predict(sum[static_cast<size_t>(x)], out, x > 0 ? row[x - 1] : 0, x > 1 ? row[x - 2] : 0);
            plain += log_size(row[x]);
            predicted += log_size(static_cast<int32_t>(static_cast<uint32_t>(row[x]) - static_cast<uint32_t>(p)));
        }
    }
    const uint64_t header = static_cast<uint64_t>(n) * 10 * 256 / static_cast<uint64_t>(every);
    return predicted + header < plain ? out : none;
}

}  // namespace narrows::wave
