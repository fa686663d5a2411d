// Exact coding of screens, charts, icons, scans and palette art, and of any picture whose pixels repeat: flat
// areas cost next to nothing, what was drawn once is recognised when it is drawn again, and the rest goes
// through context mixing (mixing.hpp), as palette indices or as differences channel by channel.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "narrows/status.hpp"

namespace narrows {

// A band of rows, coded by itself. Samples are [height, width, channels], each below 2^bit_depth. Channels 2
// and 4 end in alpha.
struct GraphicsShape {
    uint32_t width = 0;      // 1 to 2^20
    uint32_t height = 0;     // 1 to 2^20
    uint32_t channels = 0;   // 1 to 4
    uint32_t bit_depth = 0;  // 1 to 16; 8-bit samples up to 8
};

// Replaces `payload`. Never more than a byte longer than the samples packed to whole bytes.
[[nodiscard]] Status graphics_encode(std::span<const uint8_t> pixels, const GraphicsShape& shape,
                                     std::vector<uint8_t>& payload);
[[nodiscard]] Status graphics_encode(std::span<const uint16_t> pixels, const GraphicsShape& shape,
                                     std::vector<uint8_t>& payload);

// Fills `pixels`, which the caller has sized by `shape`, or reports corrupt or truncated.
[[nodiscard]] Status graphics_decode(std::span<const uint8_t> payload, const GraphicsShape& shape,
                                     std::span<uint8_t> pixels);
[[nodiscard]] Status graphics_decode(std::span<const uint8_t> payload, const GraphicsShape& shape,
                                     std::span<uint16_t> pixels);

// How much a picture looks like graphics, 0 to 1024: the share of pixels that equal the one to their left or
// above, or 1024 if there are few colors. Takes a millisecond or two a megapixel. Photographs are below
// kGraphicsWorthwhile, where trying this coder is not.
inline constexpr uint32_t kGraphicsWorthwhile = 256;
[[nodiscard]] uint32_t graphics_score(std::span<const uint8_t> pixels, const GraphicsShape& shape);
[[nodiscard]] uint32_t graphics_score(std::span<const uint16_t> pixels, const GraphicsShape& shape);

}  // namespace narrows
