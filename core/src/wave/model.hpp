// The context model of `wave`: small int8 networks that name a table, and tables that adapt while coding.
//
// A network reads 44 magnitudes in 0..127 (40 known before the row begins, 4 to the left in the row) and gives a
// cell of a 32 x 2 grid of tables. Products of 7-bit activations and int8 weights cannot saturate the pairwise
// int16 sums of `maddubs` (127 * 127 * 2 = 32,258), and all accumulators stay below 2^31 (see `valid`).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#if defined(__SSE4_1__)
#include <smmintrin.h>
#endif

#include "narrows/range.hpp"

namespace narrows::wave {

inline constexpr int kStaticInputs = 40;
inline constexpr int kGroups = kStaticInputs / 4;
inline constexpr int kHidden1 = 32;
inline constexpr int kHidden2 = 16;
inline constexpr int kGridU = 32;
inline constexpr int kGridV = 2;
inline constexpr int kTables = kGridU * kGridV;
inline constexpr int kTokens = 17;  // 16 values and the escape
inline constexpr int kNets = 12;    // 3 channels x (HL, LH, HH, LL)
inline constexpr int kMaxLevels = 6;
inline constexpr int kShift1 = 16, kShift2 = 15, kShift3 = 18;

struct alignas(64) Net {
    int8_t w1[kGroups + 1][kHidden1][4];  // the last group reads the row's own left neighbours
    int8_t w2[kHidden1 / 4][kHidden2][4];
    int8_t w3[2][kHidden2];
    int32_t b1[kMaxLevels][kHidden1];
    int32_t b2[kHidden2];
    int32_t b3[2];
    int32_t m1[kHidden1], m2[kHidden2], m3[2];  // 0..1023: requantizing multipliers
};

// Sums stay inside int32: |b| <= 2^20, multipliers below 2^10, 44 * 127 * 127 < 2^20.
[[nodiscard]] inline bool valid(const Net& n) {
    const auto small = [](const int32_t* p, size_t count, int32_t low, int32_t high) {
        for (size_t i = 0; i < count; ++i)
            if (p[i] < low || p[i] > high) return false;
        return true;
    };
    return small(&n.b1[0][0], kMaxLevels * kHidden1, -(1 << 20), 1 << 20) && small(n.b2, kHidden2, -(1 << 20), 1 << 20) &&
           small(n.b3, 2, -(1 << 20), 1 << 20) && small(n.m1, kHidden1, 0, 1023) && small(n.m2, kHidden2, 0, 1023) &&
           small(n.m3, 2, 0, 1023);
}

// The two inner products, one variant an instruction set; equal bits. See kernels_*.cpp.
struct Kernels {
    // acc [count][32] = bias + the static inputs, `groups` [kGroups][stride] holding four inputs a word.
    void (*first_layer)(const uint32_t* groups, size_t stride, size_t count, const Net& net, const int32_t* bias,
                        int32_t* acc);
    // The table's number from one row of acc and the four left neighbours.
    int (*table)(const int32_t* acc, uint32_t left, const Net& net);
};
[[nodiscard]] const Kernels& kernels() noexcept;

// ---- magnitudes ---------------------------------------------------------------------------------------------

// floor(256 log2(x / 2^15)) + 256 * 15 for 1 <= x <= 2^16, by repeated squaring: no libm, the same everywhere.
constexpr int log2_256(uint32_t x) {
    int whole = 0;
    while ((x >> whole) > 1) ++whole;
    uint64_t y = static_cast<uint64_t>(x) << (31 - whole);  // [2^31, 2^32)
    int fraction = 0;
    for (int i = 0; i < 8; ++i) {
        y = (y * y) >> 31;
        fraction *= 2;
        if (y >> 32) {
            fraction += 1;
            y >>= 1;
        }
    }
    return whole * 256 + fraction;
}

inline constexpr int kMagnitudes = 2048;
inline constexpr std::array<uint8_t, kMagnitudes> kMagnitude = [] {
    std::array<uint8_t, kMagnitudes> table{};
    for (uint32_t a = 0; a < kMagnitudes; ++a) {
        const int m = (12 * log2_256(a + 1) + 128) / 256;
        table[a] = static_cast<uint8_t>(m > 127 ? 127 : m);
    }
    return table;
}();

inline uint8_t magnitude(int32_t q) {
    const uint32_t a = q < 0 ? 0u - static_cast<uint32_t>(q) : static_cast<uint32_t>(q);
    return a < kMagnitudes ? kMagnitude[a] : 127;
}

// ---- adaptive tables ----------------------------------------------------------------------------------------

inline constexpr uint32_t kTableBits = 15;
inline constexpr uint32_t kFloor = 4;  // least width of a token in the 16-bit state: 2 of 2^15 when coded

// Boundaries after tokens 0..15 on a scale of 2^16. `code` uses them halved. An update moves every boundary by
// a shift towards its limit for the coded token; limits are kFloor apart and a step never overtakes, so every
// token keeps a width of at least kFloor.
struct Adaptive {
    uint16_t bound[16];
    uint16_t count;

    uint32_t low(uint32_t token) const { return token ? bound[token - 1] >> 1 : 0; }
    uint32_t high(uint32_t token) const { return token < 16 ? bound[token] >> 1 : 1u << kTableBits; }

    uint32_t find(uint32_t target) const {
#if defined(__SSE4_1__)
        const __m128i t = _mm_set1_epi16(static_cast<short>(target));
        const __m128i a = _mm_srli_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(bound)), 1);
        const __m128i b = _mm_srli_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(bound + 8)), 1);
        // bound <= target, both below 2^15.
        const __m128i above = _mm_packs_epi16(_mm_cmpgt_epi16(a, t), _mm_cmpgt_epi16(b, t));
        return static_cast<uint32_t>(__builtin_ctz(static_cast<uint32_t>(_mm_movemask_epi8(above)) | 0x10000u));
#else
        uint32_t token = 0;
        while (token < 16 && static_cast<uint32_t>(bound[token] >> 1) <= target) ++token;
        return token;
#endif
    }

    void update(uint32_t token, int first_rate, int last_rate) {
        // The step is about 1 / (200 + count): shifts grow by one each time the count doubles from there.
        const int grown = count < 96 ? 0 : count < 288 ? 1 : count < 672 ? 2 : 3;
        const int rate = first_rate + grown < last_rate ? first_rate + grown : last_rate;
        if (count < 1023) ++count;
#if defined(__SSE4_1__)
        const __m128i shift = _mm_cvtsi32_si128(rate);
        const __m128i mark = _mm_set1_epi16(static_cast<short>(token));
        for (int half = 0; half < 2; ++half) {
            __m128i* at = reinterpret_cast<__m128i*>(bound + 8 * half);
            const __m128i b = _mm_load_si128(at);
            const __m128i index = _mm_add_epi16(_mm_set_epi16(7, 6, 5, 4, 3, 2, 1, 0), _mm_set1_epi16(static_cast<short>(8 * half)));
            const __m128i four = _mm_set1_epi16(kFloor);
            const __m128i low = _mm_mullo_epi16(_mm_add_epi16(index, _mm_set1_epi16(1)), four);
            const __m128i high = _mm_add_epi16(low, _mm_set1_epi16(static_cast<short>(65536 - 17 * kFloor)));
            const __m128i down = _mm_cmpgt_epi16(mark, index);  // boundaries below the token fall
            const __m128i fall = _mm_srl_epi16(_mm_sub_epi16(b, low), shift);
            const __m128i rise = _mm_srl_epi16(_mm_sub_epi16(high, b), shift);
            const __m128i moved = _mm_blendv_epi8(_mm_add_epi16(b, rise), _mm_sub_epi16(b, fall), down);
            _mm_store_si128(at, moved);
        }
#else
        for (uint32_t i = 0; i < 16; ++i) {
            const uint32_t low = (i + 1) * kFloor, high = low + 65536 - 17 * kFloor;
            if (i < token)
                bound[i] = static_cast<uint16_t>(bound[i] - ((bound[i] - low) >> rate));
            else
                bound[i] = static_cast<uint16_t>(bound[i] + ((high - bound[i]) >> rate));
        }
#endif
    }
};

struct alignas(16) Table : Adaptive {};

inline Table uniform_table() {
    Table t{};
    for (uint32_t i = 0; i < 16; ++i) t.bound[i] = static_cast<uint16_t>((i + 1) * 65536 / 17);
    return t;
}

// Adaptive probability of a bit, 16 bits, one rate.
struct Bit {
    uint16_t p1 = 32768;
    void update(uint32_t bit) { p1 = static_cast<uint16_t>(bit ? p1 + ((65535 - p1) >> 5) : p1 - (p1 >> 5)); }
    uint32_t p() const { return p1 < 32 ? 32 : p1 > 65535 - 32 ? 65535 - 32 : p1; }
};

// ---- cost ---------------------------------------------------------------------------------------------------

// Cost of probability f / 2^15 in 1/256 bit, by the leading bits of f.
inline constexpr std::array<uint16_t, 2048> kCost = [] {
    std::array<uint16_t, 2048> table{};
    table[0] = 15 * 256;
    for (uint32_t i = 1; i < 2048; ++i) table[i] = static_cast<uint16_t>(15 * 256 - log2_256(i * 16 + 8));
    return table;
}();
inline uint32_t cost(uint32_t f) { return f < 256 ? static_cast<uint32_t>(15 * 256 - log2_256(f ? f : 1)) : kCost[(f - 1) >> 4]; }

// Whole model: networks, first tables, and the initial adaptive tables of escapes.
struct Model {
    std::array<Net, kNets> nets;
    std::array<std::array<Table, kTables>, kNets> tables;
};

}  // namespace narrows::wave
