// One level of a two-dimensional lifting wavelet on int32 samples, exactly reversible.
//
//   cdf97  Cohen-Daubechies-Feauveau 9/7 in four lifting steps (Daubechies & Sweldens 1998) without the final
//          scaling, constants in 1/4096: x += (k (a + b) + 2048) >> 12.
//   cdf53  LeGall 5/3 as in JPEG 2000's reversible path.
//
// Symmetric extension; length 1 is left alone. Analysis runs columns then rows, synthesis rows then columns.
// Arithmetic wraps modulo 2^32, so any input has one result. 9/7 is meant for samples below 2^13 in magnitude.
#pragma once

#include <cstddef>
#include <cstdint>

namespace narrows {

enum class Wavelet { cdf97, cdf53 };

// The four bands of a block: `low`/`high` along rows first. Each is [rows][row stride].
struct Bands {
    int32_t* ll;
    int32_t* hl;  // high along x, low along y
    int32_t* lh;
    int32_t* hh;
    size_t ll_stride, hl_stride, lh_stride, hh_stride;
};

// Splits `rows` [height][width] (destroyed) into bands of ceil and floor halves.
void analyze(Wavelet wavelet, int32_t* rows, size_t width, size_t height, size_t stride, const Bands& bands);

// The inverse; the bands are read only.
void synthesize(Wavelet wavelet, const Bands& bands, int32_t* rows, size_t width, size_t height, size_t stride);

// The 9/7 low pass multiplies a constant by this much a level (both directions), in 1/65536.
inline constexpr uint32_t kDcGain97 = 99182;

// Rows beyond a strip that its interior depends on, per side, in samples of the finer level.
inline constexpr size_t kStripMargin = 8;

}  // namespace narrows
