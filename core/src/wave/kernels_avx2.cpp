// Only intrinsics and raw pointers here: shared inline functions must not be compiled with these flags.
#if defined(__AVX2__)
#include <immintrin.h>

#include "wave/model.hpp"

namespace narrows::wave {
namespace {

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

inline __m256i products(__m256i four, const int8_t (*weights)[4]) {
    return _mm256_madd_epi16(_mm256_maddubs_epi16(four, load(weights)), _mm256_set1_epi16(1));
}

inline __m256i squash(__m256i x, const int32_t* m, int shift) {
    const __m256i half = _mm256_set1_epi32(1 << (shift - 1));
    return _mm256_srai_epi32(_mm256_add_epi32(_mm256_mullo_epi32(x, load(m)), half), shift);
}

}  // namespace

void first_layer_avx2(const uint32_t* groups, size_t stride, size_t count, const Net& net, const int32_t* bias, int32_t* acc) {
    // Two positions share each load of the weights: 15 registers in use.
    size_t x = 0;
    for (; x + 2 <= count; x += 2) {
        __m256i a[2][4];
        for (int i = 0; i < 4; ++i) a[0][i] = a[1][i] = load(bias + 8 * i);
        for (int g = 0; g < kGroups; ++g) {
            const uint32_t* in = groups + static_cast<size_t>(g) * stride + x;
            if ((in[0] | in[1]) == 0) continue;
            const __m256i f0 = _mm256_set1_epi32(static_cast<int>(in[0]));
            const __m256i f1 = _mm256_set1_epi32(static_cast<int>(in[1]));
            for (int i = 0; i < 4; ++i) {
                a[0][i] = _mm256_add_epi32(a[0][i], products(f0, net.w1[g] + 8 * i));
                a[1][i] = _mm256_add_epi32(a[1][i], products(f1, net.w1[g] + 8 * i));
            }
        }
        for (int j = 0; j < 2; ++j)
            for (int i = 0; i < 4; ++i)
                _mm256_storeu_si256(reinterpret_cast<__m256i*>(acc + (x + static_cast<size_t>(j)) * kHidden1 + 8 * i), a[j][i]);
    }
    for (; x < count; ++x) {
        __m256i a[4];
        for (int i = 0; i < 4; ++i) a[i] = load(bias + 8 * i);
        for (int g = 0; g < kGroups; ++g) {
            const __m256i f = _mm256_set1_epi32(static_cast<int>(groups[static_cast<size_t>(g) * stride + x]));
            for (int i = 0; i < 4; ++i) a[i] = _mm256_add_epi32(a[i], products(f, net.w1[g] + 8 * i));
        }
        for (int i = 0; i < 4; ++i) _mm256_storeu_si256(reinterpret_cast<__m256i*>(acc + x * kHidden1 + 8 * i), a[i]);
    }
}

int table_avx2(const int32_t* acc, uint32_t left, const Net& net) {
    __m256i a[4];
    const __m256i f = _mm256_set1_epi32(static_cast<int>(left));
    for (int i = 0; i < 4; ++i)
        a[i] = squash(_mm256_add_epi32(load(acc + 8 * i), products(f, net.w1[kGroups] + 8 * i)), net.m1 + 8 * i, kShift1);
    // Packing works within 128-bit halves; the permutation restores the order 0..31.
    const __m256i p01 = _mm256_packs_epi32(a[0], a[1]), p23 = _mm256_packs_epi32(a[2], a[3]);
    const __m256i packed = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(p01, p23), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    const __m256i h1 = _mm256_min_epu8(packed, _mm256_set1_epi8(127));

    __m256i s[4] = {load(net.b2), load(net.b2 + 8), _mm256_setzero_si256(), _mm256_setzero_si256()};
    for (int g = 0; g < kHidden1 / 4; ++g) {
        const __m256i four = _mm256_permutevar8x32_epi32(h1, _mm256_set1_epi32(g));
        s[2 * (g & 1)] = _mm256_add_epi32(s[2 * (g & 1)], products(four, net.w2[g]));
        s[2 * (g & 1) + 1] = _mm256_add_epi32(s[2 * (g & 1) + 1], products(four, net.w2[g] + 8));
    }
    const __m256i q0 = squash(_mm256_add_epi32(s[0], s[2]), net.m2, kShift2);
    const __m256i q1 = squash(_mm256_add_epi32(s[1], s[3]), net.m2 + 8, kShift2);
    const __m256i p = _mm256_permute4x64_epi64(_mm256_packs_epi32(q0, q1), 0xD8);
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(p), _mm256_extracti128_si256(p, 1));
    const __m128i h2 = _mm_min_epu8(bytes, _mm_set1_epi8(127));

    const __m256i both = _mm256_broadcastsi128_si256(h2);
    __m256i d = _mm256_madd_epi16(_mm256_maddubs_epi16(both, load(net.w3)), _mm256_set1_epi16(1));
    d = _mm256_add_epi32(d, _mm256_shuffle_epi32(d, 0x4E));
    d = _mm256_add_epi32(d, _mm256_shuffle_epi32(d, 0xB1));
    const int32_t u = ((_mm256_cvtsi256_si32(d) + net.b3[0]) * net.m3[0] + (1 << (kShift3 - 1))) >> kShift3;
    const int32_t v = ((_mm_cvtsi128_si32(_mm256_extracti128_si256(d, 1)) + net.b3[1]) * net.m3[1] + (1 << (kShift3 - 1))) >> kShift3;
    const int cu = u < 0 ? 0 : u >= kGridU ? kGridU - 1 : u;
    const int cv = v < 0 ? 0 : v >= kGridV ? kGridV - 1 : v;
    return cu * kGridV + cv;
}

}  // namespace narrows::wave
#endif
