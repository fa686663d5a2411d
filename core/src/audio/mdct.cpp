#include "narrows/mdct.hpp"

#include <array>
#include <map>
#include <mutex>

#include "narrows/fixed_point.hpp"

namespace narrows {

namespace {

// In 1/2^30, rounded: 1, 1/sqrt(2), 1/sqrt(3), 1/2, 1/sqrt(5), -, 1/sqrt(7).
constexpr std::array<int32_t, 8> kInverseRoot = {0, 1 << 30, 759250125, 619925131, 536870912, 480191942, 0, 405836263};

// exp(-2 pi i k / n)
Complex unit(uint64_t k, uint64_t n) noexcept {
    const SinCos s = sin_cos(k, n);
    return {s.cos, -s.sin};
}

Complex times(Complex a, Complex w) noexcept {
    constexpr int64_t kHalf = int64_t{1} << (kUnitBits - 1);
    const int64_t re = int64_t{a.re} * w.re - int64_t{a.im} * w.im;
    const int64_t im = int64_t{a.re} * w.im + int64_t{a.im} * w.re;
    return {static_cast<int32_t>((re + kHalf) >> kUnitBits), static_cast<int32_t>((im + kHalf) >> kUnitBits)};
}

}  // namespace

struct MdctTables {
    static std::shared_ptr<const Mdct> make(size_t n) {
        if (n < 4 || n % 2 != 0 || n > Mdct::kMaxSize) return nullptr;
        auto mdct = std::make_shared<Mdct>();
        mdct->n_ = n;
        size_t length = n / 2;
        for (const size_t radix : {4, 2, 3, 5, 7}) {
            for (; length % radix == 0; length /= radix) {
                Mdct::Stage stage{radix, length / radix, {}, {}};
                for (size_t k = 0; k < stage.rest; ++k) {
                    for (size_t q = 0; q < radix; ++q) {
                        const Complex w = unit(q * k, length);
                        stage.twiddle.push_back({static_cast<int32_t>(times_unit(w.re, kInverseRoot[radix])),
                                                 static_cast<int32_t>(times_unit(w.im, kInverseRoot[radix]))});
                    }
                }
                for (size_t k = 0; k < radix; ++k) stage.kernel.push_back(unit(k, radix));
                mdct->stages_.push_back(std::move(stage));
            }
        }
        if (length != 1) return nullptr;
        for (size_t k = 0; k < n / 2; ++k) {
            // The sine window at distance k from the boundary: sin(pi (n + 1/2 +- k) / 2n).
            const SinCos s = sin_cos(n + 2 * k + 1, 8 * n);
            mdct->window_.push_back({s.sin, s.cos});
            mdct->turn_.push_back(unit(8 * k + 1, 16 * n));
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
        int32_t& left = block[half - 1 - k];
        int32_t& right = block[half + k];
        const Complex turned = times({left, right}, {window_[k].re, window_[k].im});
        left = turned.re;
        right = turned.im;
    }
}

void Mdct::unrotate(int32_t* block) const noexcept {
    const size_t half = n_ / 2;
    for (size_t k = 0; k < half; ++k) {
        int32_t& left = block[half - 1 - k];
        int32_t& right = block[half + k];
        const Complex turned = times({left, right}, {window_[k].re, -window_[k].im});
        left = turned.re;
        right = turned.im;
    }
}

void Mdct::fft(const Complex* in, size_t stride, Complex* out, size_t stage) const noexcept {
    if (stage == stages_.size()) {
        *out = *in;
        return;
    }
    const Stage& s = stages_[stage];
    const size_t rest = s.rest, radix = s.radix;
    for (size_t q = 0; q < radix; ++q) fft(in + q * stride, stride * radix, out + q * rest, stage + 1);
    const Complex* w = s.twiddle.data();
    for (size_t k = 0; k < rest; ++k, w += radix) {
        std::array<Complex, 7> t;
        for (size_t q = 0; q < radix; ++q) t[q] = times(out[k + q * rest], w[q]);
        Complex* o = out + k;
        if (radix == 4) {
            const Complex a{t[0].re + t[2].re, t[0].im + t[2].im}, b{t[0].re - t[2].re, t[0].im - t[2].im};
            const Complex c{t[1].re + t[3].re, t[1].im + t[3].im}, d{t[1].im - t[3].im, t[3].re - t[1].re};
            o[0] = {a.re + c.re, a.im + c.im};
            o[rest] = {b.re + d.re, b.im + d.im};
            o[2 * rest] = {a.re - c.re, a.im - c.im};
            o[3 * rest] = {b.re - d.re, b.im - d.im};
        } else if (radix == 2) {
            o[0] = {t[0].re + t[1].re, t[0].im + t[1].im};
            o[rest] = {t[0].re - t[1].re, t[0].im - t[1].im};
        } else {
            for (size_t j = 0; j < radix; ++j) {
                int64_t re = int64_t{t[0].re} << kUnitBits, im = int64_t{t[0].im} << kUnitBits;
                for (size_t q = 1, at = j; q < radix; ++q, at = at + j < radix ? at + j : at + j - radix) {
                    const Complex u = s.kernel[at];
                    re += int64_t{t[q].re} * u.re - int64_t{t[q].im} * u.im;
                    im += int64_t{t[q].re} * u.im + int64_t{t[q].im} * u.re;
                }
                constexpr int64_t kHalf = int64_t{1} << (kUnitBits - 1);
                o[j * rest] = {static_cast<int32_t>((re + kHalf) >> kUnitBits),
                               static_cast<int32_t>((im + kHalf) >> kUnitBits)};
            }
        }
    }
}

void Mdct::dct4(int32_t* values) const noexcept {
    std::array<Complex, kMaxSize / 2> in, out;  // the first n / 2 are used
    const size_t half = n_ / 2;
    for (size_t k = 0; k < half; ++k) in[k] = times({values[2 * k], values[n_ - 1 - 2 * k]}, turn_[k]);
    fft(in.data(), 1, out.data(), 0);
    for (size_t k = 0; k < half; ++k) {
        const Complex y = times(out[k], turn_[k]);
        values[2 * k] = y.re;
        values[n_ - 1 - 2 * k] = -y.im;
    }
}

}  // namespace narrows
