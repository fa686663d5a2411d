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

#include "narrows/adaptive.hpp"
#include "narrows/cpu.hpp"
#include "narrows/log2.hpp"
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
    int8_t w1[kGroups + 1][kHidden1][4];  // the last group reads the row's own left neighbors
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
    // The table's number from one row of acc and the four left neighbors.
    int (*table)(const int32_t* acc, uint32_t left, const Net& net);
};
[[nodiscard]] const Kernels& kernels(Isa isa) noexcept;

// ---- magnitudes ---------------------------------------------------------------------------------------------

inline constexpr int kMagnitudes = 2048;
inline constexpr std::array<uint8_t, kMagnitudes> kMagnitude = [] {
    std::array<uint8_t, kMagnitudes> table{};
    for (uint32_t a = 0; a < kMagnitudes; ++a) {
        const int m = (12 * static_cast<int>(log2_256(a + 1)) + 128) / 256;
        table[a] = static_cast<uint8_t>(m > 127 ? 127 : m);
    }
    return table;
}();

inline uint8_t magnitude(int32_t q) {
    const uint32_t a = q < 0 ? 0u - static_cast<uint32_t>(q) : static_cast<uint32_t>(q);
    return a < kMagnitudes ? kMagnitude[a] : 127;
}

using Bit = AdaptiveBit;
using Table = AdaptiveTable;

inline Table uniform_table(uint32_t weight, uint32_t max_shift) {
    std::array<uint16_t, kTokens> frequencies;
    frequencies.fill(32768 / kTokens);
    frequencies[0] += 32768 % kTokens;
    Table table;
    (void)table.start(frequencies, weight, max_shift);
    return table;
}

// Whole model: networks, first tables, and the initial adaptive tables of escapes.
struct Model {
    std::array<Net, kNets> nets;
    std::array<std::array<Table, kTables>, kNets> tables;
};

}  // namespace narrows::wave
