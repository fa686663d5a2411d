// From samples to what may be coded: transforms, transients, middle and side, levels. Independent of the step.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "audio/layout.hpp"
#include "audio/syntax.hpp"
#include "narrows/mdct.hpp"

namespace narrows::audio {

// One or two channels of a frame before quantization.
struct Spectrum {
    size_t channels = 1;
    bool transient = false;
    std::array<uint8_t, kMaxBands> stereo{};
    std::array<std::array<int, kMaxBands>, 2> log{};  // 256 log2 of each band's rms, as measured
    std::array<std::array<uint8_t, kMaxBands>, 2> level{};
    std::array<std::array<int32_t, kMaxFrame>, 2> c{};  // [transform][size]
    bool silent() const noexcept;
};

// Sets `log` and the levels next to it from the coefficients.
void measure(const Layout& layout, Spectrum& s);
// The level whose rms is nearest: 0 from 3/8 octave below that of level 1 on.
constexpr int nearest_level(int log) noexcept {
    return std::clamp((log - static_cast<int>(kFirstLog) + 64 * static_cast<int>(kLevelLog) + static_cast<int>(kLevelLog) / 2) / static_cast<int>(kLevelLog) - 63,
                      0, static_cast<int>(kLevels) - 1);
}

class Analysis {
   public:
    Analysis(const Layout& layout, size_t channels);
    // A frame of samples [time, channels], 24-bit integers (up to 2^24), to one spectrum a pair of channels.
    void run(std::span<const int32_t> samples, std::vector<Spectrum>& out);
    // The right halves of the last block, [channels][size / 2]: all that is kept between frames.
    std::vector<int32_t> halves;

   private:
    void transform(Spectrum& s, std::span<const int32_t> samples, size_t first);
    const Layout& layout_;
    size_t channels_;
    std::shared_ptr<const Mdct> whole_, part_;
};

// Transient spectra interleave their parts: coefficient k of part s is entry k splits + s.
void interleave(int32_t* values, size_t size, size_t splits);
void deinterleave(int32_t* values, size_t size, size_t splits);
// The transform of a transient frame's folded samples and its inverse: parts overlap fully inside the frame.
void split_forward(const Mdct& part, int32_t* values, size_t splits);
void split_inverse(const Mdct& part, int32_t* values, size_t splits);

// What transforms take without overflow: the root of the sum of squares is at most 2^29.
inline bool bounded(std::span<const int32_t> c) noexcept {
    uint64_t energy_256 = 0;
    for (const int32_t v : c) energy_256 += static_cast<uint64_t>(int64_t{v} * v) >> 8;
    return energy_256 <= uint64_t{1} << 50;
}

// (a, b) to (a + b, a - b) / sqrt(2), its own inverse.
inline void mix(int32_t& a, int32_t& b) noexcept {
    constexpr int32_t kHalfRoot = 759250125;
    const int64_t x = a, y = b;
    a = static_cast<int32_t>(times_unit(x + y, kHalfRoot));
    b = static_cast<int32_t>(times_unit(x - y, kHalfRoot));
}

}  // namespace narrows::audio
