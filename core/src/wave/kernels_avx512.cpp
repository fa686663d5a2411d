// Only intrinsics and raw pointers here: shared inline functions must not be compiled with these flags.
#if defined(__AVX512BW__) && defined(__AVX512VL__)
#include <immintrin.h>

#include "wave/model.hpp"

namespace narrows::wave {
namespace {

inline __m512i load(const void* p) { return _mm512_loadu_si512(p); }

inline __m512i products(__m512i four, const int8_t (*weights)[4]) {
    return _mm512_madd_epi16(_mm512_maddubs_epi16(four, load(weights)), _mm512_set1_epi16(1));
}

inline __m512i squash(__m512i x, const int32_t* m, int shift) {
    const __m512i half = _mm512_set1_epi32(1 << (shift - 1));
    const __m512i y = _mm512_srai_epi32(_mm512_add_epi32(_mm512_mullo_epi32(x, load(m)), half), static_cast<unsigned>(shift));
    return _mm512_min_epi32(_mm512_max_epi32(y, _mm512_setzero_si512()), _mm512_set1_epi32(127));
}

}  // namespace

void first_layer_avx512(const uint32_t* groups, size_t stride, size_t count, const Net& net, const int32_t* bias, int32_t* acc) {
    size_t x = 0;
    for (; x + 4 <= count; x += 4) {
        __m512i a[4][2];
        for (int j = 0; j < 4; ++j) a[j][0] = load(bias), a[j][1] = load(bias + 16);
        for (int g = 0; g < kGroups; ++g) {
            const uint32_t* in = groups + static_cast<size_t>(g) * stride + x;
            if ((in[0] | in[1] | in[2] | in[3]) == 0) continue;
            for (int j = 0; j < 4; ++j) {
                const __m512i f = _mm512_set1_epi32(static_cast<int>(in[j]));
                a[j][0] = _mm512_add_epi32(a[j][0], products(f, net.w1[g]));
                a[j][1] = _mm512_add_epi32(a[j][1], products(f, net.w1[g] + 16));
            }
        }
        for (size_t j = 0; j < 4; ++j) {
            _mm512_storeu_si512(acc + (x + j) * kHidden1, a[j][0]);
            _mm512_storeu_si512(acc + (x + j) * kHidden1 + 16, a[j][1]);
        }
    }
    for (; x < count; ++x) {
        __m512i a0 = load(bias), a1 = load(bias + 16);
        for (int g = 0; g < kGroups; ++g) {
            const __m512i f = _mm512_set1_epi32(static_cast<int>(groups[static_cast<size_t>(g) * stride + x]));
            a0 = _mm512_add_epi32(a0, products(f, net.w1[g]));
            a1 = _mm512_add_epi32(a1, products(f, net.w1[g] + 16));
        }
        _mm512_storeu_si512(acc + x * kHidden1, a0);
        _mm512_storeu_si512(acc + x * kHidden1 + 16, a1);
    }
}

int table_avx512(const int32_t* acc, uint32_t left, const Net& net) {
    const __m512i f = _mm512_set1_epi32(static_cast<int>(left));
    const __m512i a0 = squash(_mm512_add_epi32(load(acc), products(f, net.w1[kGroups])), net.m1, kShift1);
    const __m512i a1 = squash(_mm512_add_epi32(load(acc + 16), products(f, net.w1[kGroups] + 16)), net.m1 + 16, kShift1);
    const __m256i h1 = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm512_cvtepi32_epi8(a0)), _mm512_cvtepi32_epi8(a1), 1);

    // Sixteen outputs of the second layer in one register; four inputs a step.
    const __m512i wide = _mm512_castsi256_si512(h1);
    __m512i s[2] = {load(net.b2), _mm512_setzero_si512()};
    for (int g = 0; g < kHidden1 / 4; ++g) {
        const __m512i four = _mm512_permutexvar_epi32(_mm512_set1_epi32(g), wide);
        s[g & 1] = _mm512_add_epi32(s[g & 1], products(four, net.w2[g]));
    }
    const __m128i h2 = _mm512_cvtepi32_epi8(squash(_mm512_add_epi32(s[0], s[1]), net.m2, kShift2));

    const __m256i both = _mm256_broadcastsi128_si256(h2);
    const __m256i w3 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(net.w3));
    __m256i d = _mm256_madd_epi16(_mm256_maddubs_epi16(both, w3), _mm256_set1_epi16(1));
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
