#include <algorithm>

#include "narrows/log2.hpp"
#include "wave/blocks.hpp"

namespace narrows {

using namespace wave;

namespace {

// Luma of an 8-bit picture, 0..255, halved twice by 2 x 2 means: [3] planes.
struct Luma {
    size_t width, height;
    std::vector<uint8_t> v;
};

template <class T>
Luma luma_of(const Pixels& p) {
    Luma out{p.width, p.height, std::vector<uint8_t>(p.width * p.height)};
    const T* in = static_cast<const T*>(p.data);
    const int down = std::max(0, p.bit_depth - 8), up = std::max(0, 8 - p.bit_depth);
    for (uint8_t& v : out.v) {
        const uint32_t sum = p.channels >= 3 ? in[0] + 2u * in[1] + in[2] : 4u * in[0];
        v = static_cast<uint8_t>((sum >> 2) >> down << up);
        in += p.channels;
    }
    return out;
}

Luma halved(const Luma& in) {
    Luma out{std::max<size_t>(1, in.width / 2), std::max<size_t>(1, in.height / 2), {}};
    out.v.resize(out.width * out.height);
    for (size_t y = 0; y < out.height; ++y)
        for (size_t x = 0; x < out.width; ++x) {
            const uint8_t* a = in.v.data() + std::min(2 * y, in.height - 1) * in.width;
            const uint8_t* b = in.v.data() + std::min(2 * y + 1, in.height - 1) * in.width;
            const size_t l = std::min(2 * x, in.width - 1), r = std::min(2 * x + 1, in.width - 1);
            out.v[y * out.width + x] = static_cast<uint8_t>((a[l] + a[r] + b[l] + b[r] + 2) >> 2);
        }
    return out;
}

// Mean variance, in 1/16, of the 8 x 8 windows that tile [x, x + size) x [y, y + size).
uint32_t variance(const Luma& p, size_t x, size_t y, size_t size) {
    uint64_t total = 0, windows = 0;
    for (size_t wy = y; wy < std::min(y + size, p.height); wy += 8)
        for (size_t wx = x; wx < std::min(x + size, p.width); wx += 8) {
            uint64_t n = 0, sum = 0, squares = 0;
            for (size_t i = wy; i < std::min(wy + 8, p.height); ++i)
                for (size_t j = wx; j < std::min(wx + 8, p.width); ++j) {
                    const uint64_t v = p.v[i * p.width + j];
                    ++n;
                    sum += v;
                    squares += v * v;
                }
            total += 16 * (n * squares - sum * sum) / (n * n);
            ++windows;
        }
    return static_cast<uint32_t>(windows ? total / windows : 0);
}

}  // namespace

std::vector<int8_t> wave_activity_offsets(const Pixels& pixels, int strength) {
    const BlockGrid grid(pixels.width, pixels.height);
    Luma scales[3];
    scales[0] = pixels.wide ? luma_of<uint16_t>(pixels) : luma_of<uint8_t>(pixels);
    scales[1] = halved(scales[0]);
    scales[2] = halved(scales[1]);
    // Half log2 of the variance plus MS-SSIM's stabilizer, averaged over three scales, in 1/256.
    std::vector<int64_t> activity(grid.size());
    int64_t total = 0;
    for (int by = 0; by < grid.rows; ++by)
        for (int bx = 0; bx < grid.columns; ++bx) {
            int64_t sum = 0;
            for (size_t s = 0; s < 3; ++s) {
                const size_t side = size_t{1} << (kBlockLog2 - static_cast<int>(s));
                const size_t x = std::min(static_cast<size_t>(bx) * side, scales[s].width - 1);
                const size_t y = std::min(static_cast<size_t>(by) * side, scales[s].height - 1);
                sum += log2_256(2 * variance(scales[s], x, y, side) + 936);
            }
            const int64_t a = sum / 6;
            activity[static_cast<size_t>(by * grid.columns + bx)] = a;
            total += a;
        }
    const int64_t mean = total / static_cast<int64_t>(grid.size());
    std::vector<int8_t> offsets(grid.size());
    for (size_t i = 0; i < offsets.size(); ++i) {
        // Quarter octaves: 4 x strength / 256 x (a - mean) / 256, rounded.
        const int64_t o = (4 * strength * (activity[i] - mean) + 32768) >> 16;
        offsets[i] = static_cast<int8_t>(std::clamp<int64_t>(o, -12, 12));
    }
    return offsets;
}

}  // namespace narrows
