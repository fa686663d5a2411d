// Graphics: the first bytes make a shape; decodes arbitrary payloads, and round-trips the rest as pixels.
#include <cstdlib>
#include <vector>

#include "narrows/graphics.hpp"

namespace {

template <class Sample>
void run(std::span<const uint8_t> data, narrows::GraphicsShape shape) {
    using namespace narrows;
    const size_t num_samples = size_t{shape.width} * shape.height * shape.channels;
    std::vector<Sample> pixels(num_samples), again(num_samples);
    static_cast<void>(graphics_decode(data, shape, std::span<Sample>(pixels)));
    for (size_t i = 0; i < num_samples; ++i) {
        const uint32_t sample = data.empty() ? 0 : data[i % data.size()] * 257u + static_cast<uint32_t>(i >> 12);
        pixels[i] = static_cast<Sample>(sample & ((1u << shape.bit_depth) - 1));
    }
    std::vector<uint8_t> payload;
    if (graphics_encode(std::span<const Sample>(pixels), shape, payload) != Status::ok) std::abort();
    if (payload.size() > num_samples * sizeof(Sample) + 1) std::abort();
    if (graphics_decode(payload, shape, std::span<Sample>(again)) != Status::ok || again != pixels) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 3) return 0;
    const narrows::GraphicsShape shape{1u + data[0] % 61, 1u + data[1] % 37, 1u + data[2] % 4, 1u + data[2] / 4 % 16};
    const std::span<const uint8_t> rest(data + 3, size - 3);
    if (shape.bit_depth <= 8) {
        run<uint8_t>(rest, shape);
    } else {
        run<uint16_t>(rest, shape);
    }
    return 0;
}
