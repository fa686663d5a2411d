// Colour transforms of `wave`, integers throughout.
//
//   lossy     a 3x3 matrix in 1/16384, near orthonormal, chosen per image: the Karhunen-Loeve transform of pixel
//             differences. The inverse is the transpose of the stored integers.
//   lossless  a permutation of the channels and one of four reversible lifting transforms (YCoCg-R: Malvar &
//             Sullivan 2003).
//
// Lossy samples are worked on with 13 bits: 8-bit pixels gain 5 fractional bits, 16-bit ones lose 3.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace narrows {

using ColorMatrix = std::array<int16_t, 9>;  // row c makes channel c from R, G, B

inline constexpr int kWorkBits = 13;
inline constexpr int kReversibleColors = 24;  // 6 permutations x 4 transforms

// Interleaved pixels of 8 or 16 bits; `channels` counts all that are stored, alpha included.
struct Pixels {
    const void* data;
    size_t width, height, channels;
    int bit_depth;   // 1..16
    bool wide;       // uint16 samples
};

[[nodiscard]] ColorMatrix principal_colors(const Pixels& pixels);
// The reversible transform with the least estimated cost.
[[nodiscard]] int best_reversible_color(const Pixels& pixels);

// Row `y` to `planes` (1 or 3 rows of `width`).
void forward_color(const Pixels& pixels, const ColorMatrix& matrix, size_t y, int32_t* const* planes);
void forward_reversible_color(const Pixels& pixels, int transform, size_t y, int32_t* const* planes);

// Back to pixels, clamped to the bit depth; `out` points at the row's first sample, `step` samples a pixel.
// `scale` (1/65536) multiplies the planes first: 65536 at full size, less for a reduced picture.
void inverse_color(const int32_t* const* planes, size_t colors, size_t width, const ColorMatrix& matrix, uint32_t scale,
                   int bit_depth, bool wide, void* out, size_t step);
void inverse_reversible_color(const int32_t* const* planes, size_t colors, size_t width, int transform, int bit_depth,
                              bool wide, void* out, size_t step);

}  // namespace narrows
