// The optional map of step offsets, one a block of 32 x 32 pixels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "wave/format.hpp"

namespace narrows::wave {

struct BlockGrid {
    int columns, rows;
    BlockGrid(size_t width, size_t height)
        : columns(static_cast<int>((width + (1u << kBlockLog2) - 1) >> kBlockLog2)),
          rows(static_cast<int>((height + (1u << kBlockLog2) - 1) >> kBlockLog2)) {}
    size_t size() const { return static_cast<size_t>(columns) * static_cast<size_t>(rows); }
};

inline int32_t predict_block(const int8_t* offsets, const BlockGrid& grid, int x, int y) {
    const int8_t* at = offsets + y * grid.columns + x;
    const int w = x ? at[-1] : y ? at[-grid.columns] : 0;
    const int n = y ? at[-grid.columns] : w;
    return (w + n) >> 1;
}

// Differences from the mean of the blocks to the left and above: one adaptive table, raw signs.
inline void encode_blocks(RangeEncoder& out, const BlockGrid& grid, std::span<const int8_t> offsets) {
    Table table = uniform_table(16, 7);
    for (int y = 0; y < grid.rows; ++y)
        for (int x = 0; x < grid.columns; ++x) {
            const int value = std::clamp<int>(offsets[static_cast<size_t>(y * grid.columns + x)], -16, 15);
            const int r = value - predict_block(offsets.data(), grid, x, y);
            const uint32_t a = static_cast<uint32_t>(r < 0 ? -r : r), token = std::min(a, 16u);
            table.encode(out, token);
            if (token == 16) out.encode_raw(a - 16, 5);
            if (a) out.encode_raw(r < 0, 1);
        }
}

// False if an offset leaves -16..15.
[[nodiscard]] inline bool decode_blocks(RangeDecoder& in, const BlockGrid& grid, std::vector<int8_t>& offsets) {
    offsets.assign(grid.size(), 0);
    Table table = uniform_table(16, 7);
    for (int y = 0; y < grid.rows; ++y)
        for (int x = 0; x < grid.columns; ++x) {
            const uint32_t token = table.decode(in);
            const int a = static_cast<int>(token == 16 ? 16 + in.decode_raw(5) : token);
            const int r = a && in.decode_raw(1) ? -a : a;
            const int value = predict_block(offsets.data(), grid, x, y) + r;
            if (value < -16 || value > 15) return false;
            offsets[static_cast<size_t>(y * grid.columns + x)] = static_cast<int8_t>(value);
        }
    return true;
}

}  // namespace narrows::wave
