// Bytes of four rows side by side, as the kernels of integer networks read their inputs.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace narrows {

// out[x] = in[0][x] | in[1][x] << 8 | in[2][x] << 16 | in[3][x] << 24 for x < width. Reads and writes whole blocks of
// 16: up to 15 bytes and words behind the last, which the caller has.
inline void interleave(const uint8_t* const* in, size_t width, uint32_t* out) {
#if defined(__SSE2__)
    for (size_t x = 0; x < width; x += 16) {
        const auto load = [&](int k) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(in[k] + x)); };
        const __m128i a = load(0), b = load(1), c = load(2), d = load(3);
        const __m128i ab0 = _mm_unpacklo_epi8(a, b), ab1 = _mm_unpackhi_epi8(a, b);
        const __m128i cd0 = _mm_unpacklo_epi8(c, d), cd1 = _mm_unpackhi_epi8(c, d);
        __m128i* to = reinterpret_cast<__m128i*>(out + x);
        _mm_storeu_si128(to, _mm_unpacklo_epi16(ab0, cd0));
        _mm_storeu_si128(to + 1, _mm_unpackhi_epi16(ab0, cd0));
        _mm_storeu_si128(to + 2, _mm_unpacklo_epi16(ab1, cd1));
        _mm_storeu_si128(to + 3, _mm_unpackhi_epi16(ab1, cd1));
    }
#else
    for (size_t x = 0; x < width; ++x)
        out[x] = in[0][x] | uint32_t{in[1][x]} << 8 | uint32_t{in[2][x]} << 16 | uint32_t{in[3][x]} << 24;
#endif
}

}  // namespace narrows
