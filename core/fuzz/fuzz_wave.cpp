// Decodes hostile wave chunks of small pictures with random networks: whatever the bytes say, no read or write out
// of bounds, no undefined arithmetic, and time bounded by the declared size.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "narrows/wave.hpp"

using namespace narrows;

namespace {

// Networks with seeded weights: the decoder must be safe for every table they may name.
std::shared_ptr<const WaveModel> model() {
    constexpr size_t nets = 12;
    uint64_t state = 7;
    const auto next = [&] {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        return static_cast<uint32_t>(state >> 33);
    };
    std::vector<int8_t> w1(nets * 32 * 44), w2(nets * 16 * 32), w3(nets * 2 * 16);
    std::vector<int16_t> b1(nets * 6 * 32), m1(nets * 32, 200), m2(nets * 16, 200), m3(nets * 2, 100);
    std::vector<int32_t> b2(nets * 16), b3(nets * 2);
    std::vector<uint8_t> costs(nets * 64 * 17, 65);
    for (auto* w : {&w1, &w2, &w3})
        for (int8_t& v : *w) v = static_cast<int8_t>(static_cast<int>(next() % 255) - 127);
    for (int16_t& v : b1) v = static_cast<int16_t>(next() % 2000) - 1000;
    const WaveWeights weights{w1, w2, w3, b1, m1, m2, m3, b2, b3, costs};
    std::shared_ptr<const WaveModel> out;
    if (WaveModel::load(weights, weights, out) != Status::ok) __builtin_trap();
    return out;
}

}  // namespace

// Sound streams to mutate: small pictures, lossy and lossless, of one and three colors.
extern "C" size_t NarrowsFuzzSeed(unsigned number, uint8_t* data, size_t capacity) {
    if (number >= 8) return 0;
    const bool lossless = number & 1, wide = number & 2;
    const size_t colors = number & 4 ? 3 : 1, width = 40, height = 33;
    std::vector<uint16_t> pixels16(width * height * colors);
    std::vector<uint8_t> pixels8(pixels16.size());
    for (size_t i = 0; i < pixels8.size(); ++i) {
        pixels8[i] = static_cast<uint8_t>((i * i / 97 + i % 13) & 255);
        pixels16[i] = static_cast<uint16_t>(pixels8[i] * 257u + i % 7);
    }
    const Pixels pixels{wide ? static_cast<const void*>(pixels16.data()) : pixels8.data(), width, height, colors, wide ? 16 : 8, wide};
    WaveEncoder encoder(model(), pixels, lossless);
    std::vector<uint8_t> params;
    std::vector<WaveChunk> chunks;
    if (encoder.encode({.lossless = lossless, .step = 2000}, params, chunks) != Status::ok) return 0;
    std::vector<uint8_t> out = {static_cast<uint8_t>(width - 1), static_cast<uint8_t>(height - 1),
                                static_cast<uint8_t>((colors == 3 ? 1 : 0) | (wide ? 2 : 0)), 0, static_cast<uint8_t>(params.size())};
    out.insert(out.end(), params.begin(), params.end());
    for (const WaveChunk& c : chunks) {
        const size_t n = c.payload.size();
        out.insert(out.end(), {static_cast<uint8_t>(c.layer), 0, static_cast<uint8_t>(n), static_cast<uint8_t>(n >> 8)});
        out.insert(out.end(), c.payload.begin(), c.payload.end());
    }
    if (out.size() > capacity) return 0;
    std::memcpy(data, out.data(), out.size());
    return out.size();
}

// Bytes: width, height, colors and depth, scale and partial, number of params, params, then chunks of
// layer, strip, length (two bytes), payload.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const std::shared_ptr<const WaveModel> shared = model();
    if (size < 5) return 0;
    const size_t width = 1 + data[0] % 96, height = data[1] & 128 ? 1030 + data[1] % 64 : 1 + data[1] % 96;
    const size_t colors = data[2] & 1 ? 3 : 1;
    const bool wide = data[2] & 2;
    const int scale = data[3] & 3;
    const bool partial = data[3] & 4;
    size_t at = 5;
    const size_t params = std::min<size_t>(data[4] % 32, size - at);
    std::unique_ptr<WaveDecoder> decoder;
    if (WaveDecoder::create(shared, {data + at, params}, width, height, colors, wide ? 16 : 8, scale, partial, decoder) != Status::ok) return 0;
    at += params;
    std::vector<uint8_t> out(decoder->out_width() * decoder->out_height() * colors * (wide ? 2 : 1));
    decoder->set_output(out.data(), colors, wide);
    while (at + 4 <= size) {
        const int layer = data[at] % 5;
        const size_t first = (data[at + 1] % 3) * kStripRows + (data[at + 1] & 128 ? 1 : 0);
        const size_t length = std::min<size_t>(data[at + 2] | static_cast<size_t>(data[at + 3]) << 8, size - at - 4);
        const WavePart part{first, {data + at + 4, length}};
        if (decoder->add(layer, {&part, 1}, 1) != Status::ok) return 0;
        at += 4 + length;
    }
    (void)decoder->finish();
    return 0;
}
