#if defined(__aarch64__)
#include <arm_neon.h>

#include "wave/model.hpp"

namespace narrows::wave {
namespace {

// Adds to each of eight outputs the product of its four weights with the four activations (7 bits: int8 holds
// them, and two products fit int16).
inline void add_products(int32x4_t& low, int32x4_t& high, int8x16_t four, const int8_t (*weights)[4]) {
    const int8x16_t w0 = vld1q_s8(weights[0]), w1 = vld1q_s8(weights[4]);
    const int16x8_t a0 = vmull_s8(vget_low_s8(four), vget_low_s8(w0)), a1 = vmull_high_s8(four, w0);
    const int16x8_t b0 = vmull_s8(vget_low_s8(four), vget_low_s8(w1)), b1 = vmull_high_s8(four, w1);
    low = vaddq_s32(low, vpaddq_s32(vpaddlq_s16(a0), vpaddlq_s16(a1)));
    high = vaddq_s32(high, vpaddq_s32(vpaddlq_s16(b0), vpaddlq_s16(b1)));
}

inline int8x16_t repeat(uint32_t four) { return vreinterpretq_s8_u32(vdupq_n_u32(four)); }

inline int32x4_t squash(int32x4_t x, const int32_t* m, int shift) {
    const int32x4_t y = vshlq_s32(vaddq_s32(vmulq_s32(x, vld1q_s32(m)), vdupq_n_s32(1 << (shift - 1))), vdupq_n_s32(-shift));
    return vminq_s32(vmaxq_s32(y, vdupq_n_s32(0)), vdupq_n_s32(127));
}

inline int8x8_t narrow(int32x4_t a, int32x4_t b) { return vmovn_s16(vcombine_s16(vmovn_s32(a), vmovn_s32(b))); }

}  // namespace

void first_layer_neon(const uint32_t* groups, size_t stride, size_t count, const Net& net, const int32_t* bias, int32_t* acc) {
    for (size_t x = 0; x < count; ++x) {
        int32x4_t a[8];
        for (int i = 0; i < 8; ++i) a[i] = vld1q_s32(bias + 4 * i);
        for (int g = 0; g < kGroups; ++g) {
            const uint32_t in = groups[static_cast<size_t>(g) * stride + x];
            if (in == 0) continue;
            for (int i = 0; i < 4; ++i) add_products(a[2 * i], a[2 * i + 1], repeat(in), net.w1[g] + 8 * i);
        }
        for (int i = 0; i < 8; ++i) vst1q_s32(acc + x * kHidden1 + 4 * i, a[i]);
    }
}

int table_neon(const int32_t* acc, uint32_t left, const Net& net) {
    int8_t h1[kHidden1];
    for (int i = 0; i < 4; ++i) {
        int32x4_t low = vld1q_s32(acc + 8 * i), high = vld1q_s32(acc + 8 * i + 4);
        add_products(low, high, repeat(left), net.w1[kGroups] + 8 * i);
        vst1_s8(h1 + 8 * i, narrow(squash(low, net.m1 + 8 * i, kShift1), squash(high, net.m1 + 8 * i + 4, kShift1)));
    }
    int32x4_t s[4];
    for (int i = 0; i < 4; ++i) s[i] = vld1q_s32(net.b2 + 4 * i);
    for (int g = 0; g < kHidden1 / 4; ++g) {
        uint32_t four;
        std::memcpy(&four, h1 + 4 * g, 4);
        add_products(s[0], s[1], repeat(four), net.w2[g]);
        add_products(s[2], s[3], repeat(four), net.w2[g] + 8);
    }
    const int8x8_t low = narrow(squash(s[0], net.m2, kShift2), squash(s[1], net.m2 + 4, kShift2));
    const int8x8_t high = narrow(squash(s[2], net.m2 + 8, kShift2), squash(s[3], net.m2 + 12, kShift2));
    int32_t cell[2];
    for (int o = 0; o < 2; ++o) {
        const int8x16_t w = vld1q_s8(net.w3[o]);
        const int32_t sum = vaddlvq_s16(vmull_s8(low, vget_low_s8(w))) + vaddlvq_s16(vmull_s8(high, vget_high_s8(w)));
        cell[o] = ((sum + net.b3[o]) * net.m3[o] + (1 << (kShift3 - 1))) >> kShift3;
    }
    const int u = cell[0] < 0 ? 0 : cell[0] >= kGridU ? kGridU - 1 : cell[0];
    const int v = cell[1] < 0 ? 0 : cell[1] >= kGridV ? kGridV - 1 : cell[1];
    return u * kGridV + v;
}

}  // namespace narrows::wave
#endif
