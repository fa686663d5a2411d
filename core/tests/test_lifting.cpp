#include <cstdlib>
#include <vector>

#include "check.hpp"
#include "narrows/lifting.hpp"

using namespace narrows;

struct Split {
    std::vector<int32_t> ll, hl, lh, hh;
    Bands bands;
    Split(size_t w, size_t h)
        : ll((w + 1) / 2 * ((h + 1) / 2)), hl(w / 2 * ((h + 1) / 2)), lh((w + 1) / 2 * (h / 2)), hh(w / 2 * (h / 2)),
          bands{ll.data(), hl.data(), lh.data(), hh.data(), (w + 1) / 2, w / 2, (w + 1) / 2, w / 2} {}
};

int main() {
    Random random{2};
    for (Wavelet wavelet : {Wavelet::cdf97, Wavelet::cdf53})
        for (size_t w = 1; w < 20; ++w)
            for (size_t h = 1; h < 20; ++h) {
                std::vector<int32_t> x(w * h);
                // Also values that wrap: the transform must still invert.
                for (int32_t& v : x)
                    v = w % 3 ? static_cast<int32_t>(random.below(8192)) - 4096 : static_cast<int32_t>(random.next());
                auto work = x;
                Split s(w, h);
                analyze(wavelet, work.data(), w, h, w, s.bands);
                std::vector<int32_t> back(w * h);
                synthesize(wavelet, s.bands, back.data(), w, h, w);
                CHECK(back == x);
            }
    // A strip with its margin gives the rows of the whole.
    const size_t w = 33, h = 64;
    std::vector<int32_t> x(w * h);
    for (int32_t& v : x) v = static_cast<int32_t>(random.below(8192)) - 4096;
    auto work = x;
    Split whole(w, h);
    analyze(Wavelet::cdf97, work.data(), w, h, w, whole.bands);
    std::vector<int32_t> strip(x.begin() + static_cast<long>((24 - kStripMargin) * w),
                               x.begin() + static_cast<long>((40 + kStripMargin) * w));
    Split part(w, 16 + 2 * kStripMargin);
    analyze(Wavelet::cdf97, strip.data(), w, 16 + 2 * kStripMargin, w, part.bands);
    for (size_t y = 0; y < 8; ++y)
        for (size_t i = 0; i < (w + 1) / 2; ++i) {
            CHECK(part.ll[(y + kStripMargin / 2) * ((w + 1) / 2) + i] == whole.ll[(y + 12) * ((w + 1) / 2) + i]);
            CHECK(part.lh[(y + kStripMargin / 2) * ((w + 1) / 2) + i] == whole.lh[(y + 12) * ((w + 1) / 2) + i]);
        }
    // A constant keeps its value times the DC gain, and the details vanish.
    std::fill(work.begin(), work.end(), 4000);
    analyze(Wavelet::cdf97, work.data(), w, h, w, whole.bands);
    for (int32_t v : whole.ll) CHECK(std::abs(v - static_cast<int32_t>((4000ull * kDcGain97) >> 16)) <= 2);
    for (int32_t v : whole.hh) CHECK(std::abs(v) <= 1);
    return 0;
}
