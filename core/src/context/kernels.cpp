#include "context/kernels.hpp"

#include <algorithm>

#if defined(__SSE4_1__)
#include <smmintrin.h>
#endif

namespace narrows::context {
namespace {

#if defined(__SSE4_1__)

__m128i load(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
__m128i products(uint32_t four, const int8_t* weights) {
    const __m128i in = _mm_set1_epi32(static_cast<int>(four));
    return _mm_madd_epi16(_mm_maddubs_epi16(in, load(weights)), _mm_set1_epi16(1));
}

void rows_plain(const uint32_t* groups, size_t stride, size_t count, size_t num_groups, const int8_t* weights,
                const int32_t* bias, size_t num_outputs, int32_t* acc) {
    for (size_t x = 0; x < count; ++x)
        for (size_t o = 0; o < num_outputs; o += 8) {
            __m128i a = load(bias + o), b = load(bias + o + 4);
            for (size_t g = 0; g < num_groups; ++g) {
                const uint32_t four = groups[g * stride + x];
                if (four == 0) continue;
                const int8_t* w = weights + (g * num_outputs + o) * 4;
                a = _mm_add_epi32(a, products(four, w));
                b = _mm_add_epi32(b, products(four, w + 16));
            }
            _mm_storeu_si128(reinterpret_cast<__m128i*>(acc + x * num_outputs + o), a);
            _mm_storeu_si128(reinterpret_cast<__m128i*>(acc + x * num_outputs + o + 4), b);
        }
}

void last_plain(const uint32_t* groups, size_t num_groups, const int8_t* weights, const int32_t* start,
                const int32_t* multiplier, uint32_t shift, size_t num_outputs, int32_t* out) {
    const __m128i half = _mm_set1_epi32(1 << (shift - 1)), by = _mm_cvtsi32_si128(static_cast<int>(shift));
    for (size_t o = 0; o < num_outputs; o += 4) {
        __m128i a = load(start + o);
        for (size_t g = 0; g < num_groups; ++g)
            a = _mm_add_epi32(a, products(groups[g], weights + (g * num_outputs + o) * 4));
        a = _mm_sra_epi32(_mm_add_epi32(_mm_mullo_epi32(a, load(multiplier + o)), half), by);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + o), a);
    }
}

void hidden_plain(const uint32_t* groups, size_t num_groups, const int8_t* weights, const int32_t* start,
                  const int32_t* multiplier, uint32_t shift, size_t num_outputs, uint8_t* out) {
    const __m128i half = _mm_set1_epi32(1 << (shift - 1)), by = _mm_cvtsi32_si128(static_cast<int>(shift));
    for (size_t o = 0; o < num_outputs; o += 8) {
        __m128i a = load(start + o), b = load(start + o + 4);
        for (size_t g = 0; g < num_groups; ++g) {
            const int8_t* w = weights + (g * num_outputs + o) * 4;
            a = _mm_add_epi32(a, products(groups[g], w));
            b = _mm_add_epi32(b, products(groups[g], w + 16));
        }
        a = _mm_sra_epi32(_mm_add_epi32(_mm_mullo_epi32(a, load(multiplier + o)), half), by);
        b = _mm_sra_epi32(_mm_add_epi32(_mm_mullo_epi32(b, load(multiplier + o + 4)), half), by);
        const __m128i words = _mm_packs_epi32(a, b);
        const __m128i bytes = _mm_min_epu8(_mm_packus_epi16(words, words), _mm_set1_epi8(127));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(out + o), bytes);
    }
}

#else

int32_t total(const uint32_t* groups, size_t step, size_t num_groups, const int8_t* weights, size_t num_outputs, size_t o) {
    int32_t sum = 0;
    for (size_t g = 0; g < num_groups; ++g)
        for (size_t k = 0; k < 4; ++k)
            sum += static_cast<int32_t>((groups[g * step] >> (8 * k)) & 255) * weights[(g * num_outputs + o) * 4 + k];
    return sum;
}

void rows_plain(const uint32_t* groups, size_t stride, size_t count, size_t num_groups, const int8_t* weights,
                const int32_t* bias, size_t num_outputs, int32_t* acc) {
    for (size_t x = 0; x < count; ++x)
        for (size_t o = 0; o < num_outputs; ++o)
            acc[x * num_outputs + o] = bias[o] + total(groups + x, stride, num_groups, weights, num_outputs, o);
}

void last_plain(const uint32_t* groups, size_t num_groups, const int8_t* weights, const int32_t* start,
                const int32_t* multiplier, uint32_t shift, size_t num_outputs, int32_t* out) {
    for (size_t o = 0; o < num_outputs; ++o) {
        const int32_t a = start[o] + total(groups, 1, num_groups, weights, num_outputs, o);
        out[o] = (a * multiplier[o] + (1 << (shift - 1))) >> shift;
    }
}

void hidden_plain(const uint32_t* groups, size_t num_groups, const int8_t* weights, const int32_t* start,
                  const int32_t* multiplier, uint32_t shift, size_t num_outputs, uint8_t* out) {
    for (size_t o = 0; o < num_outputs; ++o) {
        const int32_t a = start[o] + total(groups, 1, num_groups, weights, num_outputs, o);
        out[o] = static_cast<uint8_t>(std::clamp((a * multiplier[o] + (1 << (shift - 1))) >> shift, 0, 127));
    }
}

#endif

}  // namespace

#if defined(__x86_64__)
void rows_avx2(const uint32_t*, size_t, size_t, size_t, const int8_t*, const int32_t*, size_t, int32_t*);
void hidden_avx2(const uint32_t*, size_t, const int8_t*, const int32_t*, const int32_t*, uint32_t, size_t, uint8_t*);
#endif

const Kernels& kernels(Isa isa) noexcept {
    static constexpr Kernels plain{rows_plain, hidden_plain, last_plain};
#if defined(__x86_64__)
    static constexpr Kernels avx2{rows_avx2, hidden_avx2, last_plain};
    if (isa == Isa::avx2 || isa == Isa::avx512) return avx2;
#else
    (void)isa;
#endif
    return plain;
}

}  // namespace narrows::context
