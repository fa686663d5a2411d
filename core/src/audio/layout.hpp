// Frames of the audio coder: sizes, bands and levels.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "narrows/fixed_point.hpp"

namespace narrows::audio {

inline constexpr size_t kMaxSize = 960;        // coefficients of a transform
inline constexpr size_t kMaxTransforms = 2;    // of a frame
inline constexpr size_t kMaxFrame = kMaxSize;  // samples of a frame
inline constexpr size_t kMaxBands = 24;

// Bins of 50 Hz up to 12 kHz; 16 kHz ends at band 16.
inline constexpr std::array<uint16_t, 21> kSpeechEdges = {0,  4,  8,  12, 16, 20,  25,  30,  36,  43, 51,
                                                          61, 73, 88, 106, 130, 160, 176, 194, 216, 240};
// Bins of 25 Hz up to 24 kHz; 44.1 kHz cuts the last band.
inline constexpr std::array<uint16_t, 25> kMusicEdges = {0,  4,  8,  12,  16,  20,  24,  30,  36,  44,  52,  62, 74,
                                                         88, 106, 128, 154, 186, 224, 270, 330, 410, 520, 680, 960};

// An envelope level is 3/4 octave (4.5 dB); level 0 is silence, level 1 an rms of 2^7, half a 16-bit step.
inline constexpr uint32_t kLevels = 32;
inline constexpr uint32_t kLevelLog = 192;
inline constexpr uint32_t kFirstLog = 7 * 256;

// 256 log2 of the rms that an envelope level above 0 stands for.
constexpr int level_log(uint32_t level) noexcept { return static_cast<int>(kFirstLog + (level - 1) * kLevelLog); }

struct Layout {
    size_t size;        // coefficients of a transform
    size_t transforms;  // of a frame
    size_t splits;      // parts of a transient frame; 0 where there are none
    size_t bands;
    std::array<uint16_t, kMaxBands + 1> edges;
    // For every bin the band whose center lies below it (or the first), and the weight of the next one in 1/256.
    std::array<uint8_t, kMaxSize> below;
    std::array<uint8_t, kMaxSize> weight;
    std::array<uint8_t, kMaxSize> third;  // of its band: 0 to 2

    size_t frame() const noexcept { return size * transforms; }
    size_t width(size_t band) const noexcept { return size_t{edges[band + 1]} - edges[band]; }
};

// Of 16,000, 24,000, 44,100 or 48,000 Hz.
const Layout& layout_of(uint32_t rate_hz) noexcept;

}  // namespace narrows::audio
