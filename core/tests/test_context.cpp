// Every variant of the context networks' kernels against plain sums: random layers, and those at the edge of int32.
#include <algorithm>
#include <vector>

#include "check.hpp"
#include "context/kernels.hpp"

using namespace narrows;
using namespace narrows::context;

int main() {
    Random random{5};
    for (int round = 0; round < 400; ++round) {
        const bool extreme = round % 4 == 0;
        const size_t outputs = 8 * (1 + random.below(9)), num_groups = random.below(14), count = 1 + random.below(9);
        const size_t stride = count + random.below(5);
        std::vector<uint32_t> groups(num_groups * stride + 1);
        for (uint32_t& g : groups)
            g = extreme ? 0x7F7F7F7Fu : random.below(3) ? static_cast<uint32_t>(random.next()) & 0x7F7F7F7Fu : 0u;
        std::vector<int8_t> weights(num_groups * outputs * 4);
        for (int8_t& w : weights) w = static_cast<int8_t>(extreme ? (round % 8 ? 127 : -128) : static_cast<int>(random.below(256)) - 128);
        std::vector<int32_t> bias(outputs), multiplier(outputs);
        for (int32_t& b : bias) b = static_cast<int32_t>(random.below(1 << 21)) - (1 << 20);
        const uint32_t shift = 1 + static_cast<uint32_t>(random.below(30));
        for (size_t o = 0; o < outputs; ++o) {
            int64_t most = std::abs(bias[o]);
            for (size_t g = 0; g < num_groups; ++g)
                for (size_t k = 0; k < 4; ++k) most += 127 * std::abs(int{weights[(g * outputs + o) * 4 + k]});
            const int64_t room = ((int64_t{1} << 31) - 1 - (int64_t{1} << (shift - 1))) / std::max<int64_t>(most, 1);
            multiplier[o] = static_cast<int32_t>(extreme ? std::min<int64_t>(room, INT32_MAX) : random.below(static_cast<unsigned>(std::min<int64_t>(room, 1 << 20)) + 1));
        }
        // Sums of position x, and what a layer makes of them, by definition.
        const auto sums = [&](size_t x) {
            std::vector<int64_t> a(bias.begin(), bias.end());
            for (size_t o = 0; o < outputs; ++o)
                for (size_t g = 0; g < num_groups; ++g)
                    for (size_t k = 0; k < 4; ++k)
                        a[o] += static_cast<int64_t>(groups[g * stride + x] >> (8 * k) & 255) * weights[(g * outputs + o) * 4 + k];
            return a;
        };
        std::vector<uint32_t> own(num_groups);
        for (size_t g = 0; g < num_groups; ++g) own[g] = groups[g * stride];
        for (Isa isa : available_isas()) {
            const Kernels& k = kernels(isa);
            std::vector<int32_t> acc(count * outputs), last(outputs);
            std::vector<uint8_t> hidden(outputs);
            k.rows(groups.data(), stride, count, num_groups, weights.data(), bias.data(), outputs, acc.data());
            for (size_t x = 0; x < count; ++x) {
                const auto expected = sums(x);
                for (size_t o = 0; o < outputs; ++o) CHECK(acc[x * outputs + o] == expected[o]);
            }
            k.last(own.data(), num_groups, weights.data(), bias.data(), multiplier.data(), shift, outputs, last.data());
            k.hidden(own.data(), num_groups, weights.data(), bias.data(), multiplier.data(), shift, outputs, hidden.data());
            const auto a = sums(0);
            for (size_t o = 0; o < outputs; ++o) {
                const int64_t y = (a[o] * multiplier[o] + (int64_t{1} << (shift - 1))) >> shift;
                CHECK(last[o] == y);
                CHECK(hidden[o] == std::clamp<int64_t>(y, 0, 127));
            }
        }
    }
    return 0;
}
