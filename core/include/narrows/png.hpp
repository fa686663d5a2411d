// The row filters of PNG (PNG Specification, Third Edition, section 9). Chunks and zlib stay in Python.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "narrows/status.hpp"

namespace narrows {

// Undoes the filters of whole rows in place. A row is its filter byte and above.size() bytes. `above` is the row
// over the first one (zeros at the top of an image) and receives the last row. A filter above 4 is corrupt.
[[nodiscard]] Status png_unfilter(std::span<uint8_t> rows, std::span<uint8_t> above, size_t pixel_bytes);

// Filters rows of above.size() bytes each into `rows`, which holds a filter byte more per row. Each row takes the
// filter with the smallest sum of absolute differences (section 12.7). `above` as in png_unfilter.
[[nodiscard]] Status png_filter(std::span<const uint8_t> pixels, std::span<uint8_t> above, size_t pixel_bytes,
                                std::span<uint8_t> rows);

}  // namespace narrows
