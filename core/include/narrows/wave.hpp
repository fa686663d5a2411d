// `wave`: an image codec of a lifting wavelet, an integer context network and adaptive tables. docs/format.md,
// "wave". Alpha and screen graphics are coded apart (graphics.hpp); here a picture has one or three colors.
//
// Layer 0 holds the coarsest bands down to scale 1/8, layers 1 to 3 add one level each in strips of 1,024 picture
// rows. A chunk is one range-coder stream with its own adaptive tables; it needs the coarser layers only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "narrows/color.hpp"
#include "narrows/status.hpp"

namespace narrows {

inline constexpr size_t kStripRows = 1024;

// Trained integers of one model set, as arrays lie in the weights file (shapes in docs/format.md).
struct WaveWeights {
    std::span<const int8_t> w1, w2, w3;
    std::span<const int16_t> b1, m1, m2, m3;
    std::span<const int32_t> b2, b3;
    std::span<const uint8_t> costs;  // of tokens, 1/16 bit
};

class WaveModel {
   public:
    static Status load(const WaveWeights& lossy, const WaveWeights& lossless, std::shared_ptr<const WaveModel>& out);
    struct Sets;
    std::shared_ptr<const Sets> sets;
};

struct WaveOptions {
    bool lossless = false;
    uint32_t step = 0;          // 1/256 of an 8-bit pixel level
    uint32_t lambda = 369;      // rate-distortion weight, 1/4096 of squared step a bit
    int threads = 1;
    int finer[2] = {0, 0};      // quarter octaves (0..7) that levels 1 and 2 are quantized more coarsely by
    std::vector<int8_t> block_offsets;  // empty, or one quarter-octave step offset (-16..15) a 32x32 block
};

// Step offsets that follow local activity: coarser where a picture is busy, finer where it is smooth, as MS-SSIM
// weighs errors. `strength` in 1/256: the step grows with that power of the local deviation.
[[nodiscard]] std::vector<int8_t> wave_activity_offsets(const Pixels& pixels, int strength);

struct WaveChunk {
    int layer;
    size_t first, count;  // picture rows
    std::vector<uint8_t> payload;
};

// Samples for training: one row of 44 inputs, and what was coded there.
struct WaveSamples {
    std::vector<uint8_t> inputs;  // [n][44]
    std::vector<uint8_t> net, level;
    std::vector<int32_t> residual;
    std::vector<uint16_t> weight;
};

class WaveEncoder {
   public:
    // Keeps a reference to the pixels. Transforms once; `encode` may be called for many steps.
    WaveEncoder(std::shared_ptr<const WaveModel> model, const Pixels& pixels, bool lossless);
    ~WaveEncoder();
    // `params` is the codec-owned part of the header that a decoder needs.
    [[nodiscard]] Status encode(const WaveOptions& options, std::vector<uint8_t>& params, std::vector<WaveChunk>& chunks,
                                WaveSamples* samples = nullptr, uint32_t sample_seed = 0, uint32_t sample_every = 0);

   private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

struct WavePart {
    size_t first;
    std::span<const uint8_t> payload;
};

class WaveDecoder {
   public:
    // `colors`: 1 or 3. `scale_log2`: 0 for full size, k for 1/2^k (at most the number of levels, see `levels`).
    [[nodiscard]] static Status create(std::shared_ptr<const WaveModel> model, std::span<const uint8_t> params, size_t width,
                                       size_t height, size_t colors, int bit_depth, int scale_log2, bool partial,
                                       std::unique_ptr<WaveDecoder>& out);
    ~WaveDecoder();
    [[nodiscard]] static Status levels(std::span<const uint8_t> params, int& out);
    // Layers in order; the parts of a layer in order, several at once to use threads.
    [[nodiscard]] Status add(int layer, std::span<const WavePart> parts, int threads);
    // Where pixels go, before any layer is added: interleaved samples of a picture of the scaled size, `channels`
    // a pixel, of which the first `colors` are written.
    void set_output(void* out, size_t channels, bool wide);
    // Truncated unless every needed chunk came; if `partial`, missing detail counts as zero.
    [[nodiscard]] Status finish();
    size_t out_width() const;
    size_t out_height() const;
    // Layers above this one are not needed.
    int last_layer() const;

   private:
    struct Impl;
    explicit WaveDecoder(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace narrows
