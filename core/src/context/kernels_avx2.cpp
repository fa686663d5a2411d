// Only intrinsics and raw pointers here: shared inline functions must not be compiled with these flags.
#if defined(__AVX2__)
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace narrows::context {
namespace {

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline __m256i products(__m256i four, const int8_t* weights) {
    return _mm256_madd_epi16(_mm256_maddubs_epi16(four, load(weights)), _mm256_set1_epi16(1));
}
inline __m256i broadcast(uint32_t four) { return _mm256_set1_epi32(static_cast<int>(four)); }

// 8 N outputs at P positions side by side, which share each load of the weights.
template <int N, int P>
inline void block(const uint32_t* groups, size_t stride, size_t num_groups, const int8_t* weights, const int32_t* bias,
                  size_t num_outputs, int32_t* acc) {
    __m256i a[P][N];
    for (int p = 0; p < P; ++p)
        for (int i = 0; i < N; ++i) a[p][i] = load(bias + 8 * i);
    for (size_t g = 0; g < num_groups; ++g) {
        const uint32_t* in = groups + g * stride;
        if ((in[0] | in[P - 1]) == 0) continue;
        const int8_t* w = weights + g * num_outputs * 4;
        for (int p = 0; p < P; ++p)
            for (int i = 0; i < N; ++i) a[p][i] = _mm256_add_epi32(a[p][i], products(broadcast(in[p]), w + 32 * i));
    }
    for (int p = 0; p < P; ++p)
        for (int i = 0; i < N; ++i)
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(acc + static_cast<size_t>(p) * num_outputs + 8 * i), a[p][i]);
}

template <int P>
inline void position(const uint32_t* groups, size_t stride, size_t num_groups, const int8_t* weights, const int32_t* bias,
                     size_t num_outputs, int32_t* acc) {
    size_t o = 0;
    for (; o + 32 <= num_outputs; o += 32)
        block<4, P>(groups, stride, num_groups, weights + 4 * o, bias + o, num_outputs, acc + o);
    for (; o < num_outputs; o += 8)
        block<1, P>(groups, stride, num_groups, weights + 4 * o, bias + o, num_outputs, acc + o);
}

// 8 N outputs, N <= 4.
template <int N>
inline void dense(const uint32_t* groups, size_t num_groups, const int8_t* weights, const int32_t* start,
                  const int32_t* multiplier, uint32_t shift, size_t num_outputs, uint8_t* out) {
    // Two sets of sums halve the chain of additions.
    __m256i a[2][N];
    for (int i = 0; i < N; ++i) a[0][i] = load(start + 8 * i), a[1][i] = _mm256_setzero_si256();
    size_t g = 0;
    for (; g + 2 <= num_groups; g += 2)
        for (size_t k = 0; k < 2; ++k) {
            const __m256i four = broadcast(groups[g + k]);
            const int8_t* w = weights + (g + k) * num_outputs * 4;
            for (int i = 0; i < N; ++i) a[k][i] = _mm256_add_epi32(a[k][i], products(four, w + 32 * i));
        }
    if (g < num_groups) {
        const __m256i four = broadcast(groups[g]);
        const int8_t* w = weights + g * num_outputs * 4;
        for (int i = 0; i < N; ++i) a[0][i] = _mm256_add_epi32(a[0][i], products(four, w + 32 * i));
    }
    const __m256i half = _mm256_set1_epi32(1 << (shift - 1));
    const __m128i by = _mm_cvtsi32_si128(static_cast<int>(shift));
    for (int i = 0; i < N; ++i) {
        const __m256i sum = _mm256_mullo_epi32(_mm256_add_epi32(a[0][i], a[1][i]), load(multiplier + 8 * i));
        const __m256i q = _mm256_sra_epi32(_mm256_add_epi32(sum, half), by);
        const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
        const __m128i bytes = _mm_min_epu8(_mm_packus_epi16(words, words), _mm_set1_epi8(127));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(out + 8 * i), bytes);
    }
}

}  // namespace

void rows_avx2(const uint32_t* groups, size_t stride, size_t count, size_t num_groups, const int8_t* weights,
               const int32_t* bias, size_t num_outputs, int32_t* acc) {
    size_t x = 0;
    for (; x + 2 <= count; x += 2)
        position<2>(groups + x, stride, num_groups, weights, bias, num_outputs, acc + x * num_outputs);
    if (x < count) position<1>(groups + x, stride, num_groups, weights, bias, num_outputs, acc + x * num_outputs);
}

void hidden_avx2(const uint32_t* groups, size_t num_groups, const int8_t* weights, const int32_t* start,
                 const int32_t* multiplier, uint32_t shift, size_t num_outputs, uint8_t* out) {
    size_t o = 0;
    for (; o + 32 <= num_outputs; o += 32)
        dense<4>(groups, num_groups, weights + 4 * o, start + o, multiplier + o, shift, num_outputs, out + o);
    if (o + 16 <= num_outputs) {
        dense<2>(groups, num_groups, weights + 4 * o, start + o, multiplier + o, shift, num_outputs, out + o);
        o += 16;
    }
    if (o < num_outputs)
        dense<1>(groups, num_groups, weights + 4 * o, start + o, multiplier + o, shift, num_outputs, out + o);
}

}  // namespace narrows::context
#endif
