#include <vector>

#include "check.hpp"
#include "narrows/png.hpp"

using narrows::Status;

int main() {
    Random random{7};
    for (size_t pixel_bytes : {1u, 2u, 4u, 6u, 8u}) {
        for (size_t width : {1u, 2u, 33u}) {
            const size_t bytes = width * pixel_bytes, height = 9;
            std::vector<uint8_t> pixels(bytes * height);
            for (size_t i = 0; i < pixels.size(); ++i) {
                pixels[i] = static_cast<uint8_t>(i % 3 == 0 ? random.below(256) : i / bytes * 5 + i % bytes);
            }
            std::vector<uint8_t> above(bytes), rows((bytes + 1) * height);
            CHECK(narrows::png_filter(pixels, above, pixel_bytes, rows) == Status::ok);
            // In two calls, so that the row handed over in `above` is tested too.
            std::vector<uint8_t> carried(bytes);
            const std::span<uint8_t> all(rows);
            CHECK(narrows::png_unfilter(all.first((bytes + 1) * 4), carried, pixel_bytes) == Status::ok);
            CHECK(narrows::png_unfilter(all.subspan((bytes + 1) * 4), carried, pixel_bytes) == Status::ok);
            for (size_t y = 0; y < height; ++y) {
                for (size_t i = 0; i < bytes; ++i) CHECK(rows[y * (bytes + 1) + 1 + i] == pixels[y * bytes + i]);
            }
            CHECK(carried == above);
            rows[0] = 5;
            CHECK(narrows::png_unfilter(rows, carried, pixel_bytes) == Status::corrupt);
            CHECK(narrows::png_unfilter(all.first(bytes), carried, pixel_bytes) == Status::bad_argument);
            CHECK(narrows::png_filter(pixels, above, pixel_bytes, all.first(1)) == Status::bad_argument);
        }
    }
    return 0;
}
