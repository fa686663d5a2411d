#include <vector>

#include "check.hpp"
#include "narrows/graphics.hpp"

using namespace narrows;

namespace {

// Pictures of every sort: flat, noise, few colors, slopes, repeated tiles, flat with specks.
template <class Sample>
std::vector<Sample> picture(Random& random, unsigned kind, const GraphicsShape& shape) {
    const uint32_t peak = (1u << shape.bit_depth) - 1;
    std::vector<Sample> pixels;
    uint32_t palette[4][4], tile[64];
    for (auto& color : palette)
        for (uint32_t& c : color) c = random.below(peak + 1);
    for (uint32_t& t : tile) t = random.below(4);
    for (uint32_t y = 0; y < shape.height; ++y) {
        for (uint32_t x = 0; x < shape.width; ++x) {
            const uint32_t pick = kind == 2 ? random.below(4) : kind == 4 ? tile[y % 8 * 8 + x % 8] : !random.below(40);
            for (uint32_t c = 0; c < shape.channels; ++c) {
                const uint32_t sample = kind == 0   ? palette[0][c]
                                        : kind == 1 ? random.below(peak + 1)
                                        : kind == 3 ? (x * (c + 1) + y) & peak
                                                    : palette[pick][c];
                pixels.push_back(static_cast<Sample>(sample));
            }
        }
    }
    return pixels;
}

template <class Sample>
void survives(Random& random, unsigned kind, const GraphicsShape& shape) {
    const auto pixels = picture<Sample>(random, kind, shape);
    std::vector<Sample> again(pixels.size());
    std::vector<uint8_t> payload;
    CHECK(graphics_encode(std::span<const Sample>(pixels), shape, payload) == Status::ok);
    CHECK(payload.size() <= pixels.size() * sizeof(Sample) + 1);
    CHECK(graphics_decode(payload, shape, std::span(again)) == Status::ok && again == pixels);
    for (int i = 0; i < 4; ++i) {
        auto damaged = payload;
        damaged[random.below(static_cast<unsigned>(damaged.size()))] ^= static_cast<uint8_t>(1 + random.below(255));
        damaged.resize(1 + random.below(static_cast<unsigned>(damaged.size())));
        CHECK(graphics_decode(damaged, shape, std::span(again)) != Status::bad_argument);
        for (const Sample s : again) CHECK(s >> shape.bit_depth == 0);
    }
}

}  // namespace

int main() {
    Random random{7};
    for (unsigned round = 0; round < 150; ++round) {
        const bool sliver = round % 10 == 0;
        const GraphicsShape shape{sliver ? 1 : 1 + random.below(40), 1 + random.below(30), 1 + random.below(4),
                                  1 + random.below(16)};
        if (shape.bit_depth <= 8) survives<uint8_t>(random, round % 6, shape);
        survives<uint16_t>(random, round % 6, shape);
    }
    // A flat megapixel is a handful of bytes.
    const GraphicsShape flat{1024, 1024, 3, 8};
    std::vector<uint8_t> pixels(flat.width * flat.height * flat.channels, 200), payload;
    CHECK(graphics_encode(std::span<const uint8_t>(pixels), flat, payload) == Status::ok && payload.size() < 64);
    CHECK(graphics_score(std::span<const uint8_t>(pixels), flat) == 1024);
    // Every bit of a color set, the first time it is seen.
    const GraphicsShape white{3, 2, 4, 16};
    std::vector<uint16_t> wide(24, 65535), again(24);
    CHECK(graphics_encode(std::span<const uint16_t>(wide), white, payload) == Status::ok);
    CHECK(graphics_decode(payload, white, std::span(again)) == Status::ok && again == wide);
    // Arguments that do not fit together.
    CHECK(graphics_encode(std::span<const uint8_t>(pixels), {1024, 1024, 4, 8}, payload) == Status::bad_argument);
    CHECK(graphics_encode(std::span<const uint8_t>(pixels), {1024, 1024, 3, 9}, payload) == Status::bad_argument);
    CHECK(graphics_encode(std::span<const uint8_t>(pixels), {1024, 1024, 3, 7}, payload) == Status::bad_argument);
    CHECK(graphics_decode({}, flat, std::span(pixels)) == Status::truncated);
    CHECK(graphics_decode(std::vector<uint8_t>{99, 1, 2}, flat, std::span(pixels)) == Status::corrupt);
    // A million pixels are not decoded from nothing.
    CHECK(graphics_decode(std::vector<uint8_t>{5, 0x55, 0xAA, 3}, flat, std::span(pixels)) != Status::bad_argument);
    return 0;
}
