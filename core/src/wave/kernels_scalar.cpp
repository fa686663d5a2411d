#include "wave/model.hpp"

namespace narrows::wave {

void first_layer_scalar(const uint32_t* groups, size_t stride, size_t count, const Net& net, const int32_t* bias, int32_t* acc) {
    for (size_t x = 0; x < count; ++x) {
        int32_t* a = acc + x * kHidden1;
        for (int o = 0; o < kHidden1; ++o) a[o] = bias[o];
        for (int g = 0; g < kGroups; ++g) {
            const uint32_t four = groups[static_cast<size_t>(g) * stride + x];
            if (four == 0) continue;
            for (int k = 0; k < 4; ++k) {
                const int32_t v = static_cast<int32_t>((four >> (8 * k)) & 255);
                if (v == 0) continue;
                for (int o = 0; o < kHidden1; ++o) a[o] += v * net.w1[g][o][k];
            }
        }
    }
}

int table_scalar(const int32_t* acc, uint32_t left, const Net& net) {
    const auto squash = [](int32_t x, int32_t m, int shift) {
        const int32_t y = (x * m + (1 << (shift - 1))) >> shift;
        return y < 0 ? 0 : y > 127 ? 127 : y;
    };
    int32_t h1[kHidden1], h2[kHidden2];
    for (int o = 0; o < kHidden1; ++o) {
        int32_t a = acc[o];
        for (int k = 0; k < 4; ++k) a += static_cast<int32_t>((left >> (8 * k)) & 255) * net.w1[kGroups][o][k];
        h1[o] = squash(a, net.m1[o], kShift1);
    }
    for (int o = 0; o < kHidden2; ++o) {
        int32_t a = net.b2[o];
        for (int i = 0; i < kHidden1; ++i) a += h1[i] * net.w2[i / 4][o][i % 4];
        h2[o] = squash(a, net.m2[o], kShift2);
    }
    int32_t cell[2];
    for (int o = 0; o < 2; ++o) {
        int32_t a = net.b3[o];
        for (int i = 0; i < kHidden2; ++i) a += h2[i] * net.w3[o][i];
        cell[o] = (a * net.m3[o] + (1 << (kShift3 - 1))) >> kShift3;
    }
    const int u = cell[0] < 0 ? 0 : cell[0] >= kGridU ? kGridU - 1 : cell[0];
    const int v = cell[1] < 0 ? 0 : cell[1] >= kGridV ? kGridV - 1 : cell[1];
    return u * kGridV + v;
}

}  // namespace narrows::wave
