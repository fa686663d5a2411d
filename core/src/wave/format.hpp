// Geometry, parameters and quantizer steps that encoder and decoder share.
#pragma once

#include <bit>
#include <span>
#include <vector>

#include "narrows/color.hpp"
#include "narrows/status.hpp"
#include "narrows/wave.hpp"
#include "wave/coder.hpp"

namespace narrows {

struct WaveModel::Sets {
    wave::Model lossy, lossless;
};

namespace wave {

inline constexpr int kBlockLog2 = 5;
inline constexpr int kLayers = 4;
inline constexpr uint32_t kMaxStep = 1u << 20;

struct Params {
    bool lossless = false;
    int levels = 0;
    uint32_t step = 256;
    ColorMatrix matrix{};
    int transform = 0;
    bool block_map = false;
    int finer[2] = {0, 0};  // step offsets of levels 1 and 2

    std::vector<uint8_t> serialize(size_t colors) const;
    [[nodiscard]] static Status parse(std::span<const uint8_t> bytes, size_t colors, Params& out);
};

inline int levels_for(size_t width, size_t height) {
    const int log = static_cast<int>(std::bit_width(std::min(width, height))) - 1;
    return std::clamp(log - 2, 3, kMaxLevels);
}

struct Geometry {
    int width, height, levels;
    int w(int level) const { return static_cast<int>((static_cast<int64_t>(width) + (int64_t{1} << level) - 1) >> level); }
    int h(int level) const { return static_cast<int>((static_cast<int64_t>(height) + (int64_t{1} << level) - 1) >> level); }
    // A detail band of `level`, or LL when `o` is kLL.
    int band_width(int level, int o) const { return o == kLL || o == kLH ? w(level) : w(level - 1) / 2; }
    int band_height(int level, int o) const { return o == kLL || o == kHL ? h(level) : h(level - 1) / 2; }
    int strips() const { return (height + static_cast<int>(kStripRows) - 1) / static_cast<int>(kStripRows); }
    // Rows of a band at `level` that belong to strip `s`.
    int strip_begin(int level, int o, int s) const {
        return std::min(static_cast<int>((static_cast<int64_t>(s) * static_cast<int64_t>(kStripRows)) >> level), band_height(level, o));
    }
    int strip_end(int level, int o, int s) const { return s + 1 >= strips() ? band_height(level, o) : strip_begin(level, o, s + 1); }
    static int layer(int level) { return level > 3 ? 0 : 4 - level; }
};

[[nodiscard]] Quantizer quantizer(uint32_t step, int level, int orientation);
[[nodiscard]] uint8_t step_feature(uint32_t step);

// Symbols of every band that is held whole: all but level 1, which passes strip by strip.
struct Symbols {
    Band ll[3];
    Band detail[kMaxLevels + 1][3][3];  // [level][channel][orientation]
};

// The task of one band. `local`: bands of the strip being coded when level is 1, else null.
[[nodiscard]] BandTask band_task(const Params& params, const Geometry& geometry, Symbols& symbols, Band (*local)[3], int level,
                                 int channel, int orientation, int strip);

}  // namespace wave
}  // namespace narrows
