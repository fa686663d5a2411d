// Every variant of the network kernels against the plain one: random networks, and the worst ones for overflow.
#include <vector>

#include "check.hpp"
#include "wave/model.hpp"

using namespace narrows;
using namespace narrows::wave;

int main() {
    Random random{3};
    for (int round = 0; round < 300; ++round) {
        Net net{};
        // Extremes: all weights +-127 and all inputs 127 must not saturate anything.
        const bool extreme = round % 3 == 0;
        const auto weight = [&] { return static_cast<int8_t>(extreme ? (round % 2 ? 127 : -127) : static_cast<int>(random.below(255)) - 127); };
        for (auto& g : net.w1)
            for (auto& o : g)
                for (int8_t& w : o) w = weight();
        for (auto& g : net.w2)
            for (auto& o : g)
                for (int8_t& w : o) w = weight();
        for (auto& o : net.w3)
            for (int8_t& w : o) w = weight();
        const auto bias = [&] { return extreme ? (round % 2 ? 1 << 20 : -(1 << 20)) : static_cast<int32_t>(random.below(1 << 21)) - (1 << 20); };
        for (auto& l : net.b1)
            for (int32_t& b : l) b = bias();
        for (int32_t& b : net.b2) b = bias();
        for (int32_t& b : net.b3) b = bias();
        for (int32_t& m : net.m1) m = extreme ? 1023 : static_cast<int32_t>(random.below(300));
        for (int32_t& m : net.m2) m = extreme ? 1023 : static_cast<int32_t>(random.below(300));
        for (int32_t& m : net.m3) m = extreme ? 1023 : static_cast<int32_t>(random.below(60));
        CHECK(valid(net));

        const size_t count = 1 + random.below(70), stride = count + random.below(9);
        std::vector<uint32_t> groups(stride * kGroups);
        const auto four = [&] { return extreme ? 0x7F7F7F7Fu : random.below(3) ? static_cast<unsigned>(random.next()) & 0x7F7F7F7Fu : 0u; };
        for (uint32_t& g : groups) g = four();
        std::vector<int32_t> expected(count * kHidden1), got(count * kHidden1);
        kernels(Isa::scalar).first_layer(groups.data(), stride, count, net, net.b1[0], expected.data());
        for (Isa isa : available_isas()) {
            const Kernels& k = kernels(isa);
            k.first_layer(groups.data(), stride, count, net, net.b1[0], got.data());
            CHECK(got == expected);
            for (size_t x = 0; x < count; ++x) {
                const uint32_t left = four();
                CHECK(k.table(expected.data() + x * kHidden1, left, net) == kernels(Isa::scalar).table(expected.data() + x * kHidden1, left, net));
            }
        }
    }
    return 0;
}
