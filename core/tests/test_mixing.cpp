#include <vector>

#include "check.hpp"
#include "narrows/bytes.hpp"
#include "narrows/mixing.hpp"

using namespace narrows;

namespace {

// FNV-1a over bytes: the tables are part of the format, and this freezes them.
uint32_t digest(const void* data, size_t size) {
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < size; ++i) h = (h ^ static_cast<const uint8_t*>(data)[i]) * 16777619u;
    return h;
}

void tables_are_monotone_and_frozen() {
    for (size_t i = 1; i < kLogistic.squash.size(); ++i) CHECK(kLogistic.squash[i] >= kLogistic.squash[i - 1]);
    for (size_t i = 1; i < 4096; ++i) CHECK(kLogistic.stretch[i] >= kLogistic.stretch[i - 1]);
    CHECK(squash(0) == 32768 && squash(-4000) >= 1 && squash(4000) <= 65535);
    CHECK(squash(256) == 47911);  // 65536 / (1 + 1 / e)
    for (uint32_t p = 64; p < 65472; p += 37) {
        const int back = static_cast<int>(squash(stretch(p)));
        CHECK(back >= static_cast<int>(p) - 80 && back <= static_cast<int>(p) + 80);
    }
    for (uint32_t s = 0; s < kHistory.num_states; ++s) {
        for (uint32_t bit = 0; bit < 2; ++bit) {
            const uint32_t to = kHistory.next[s][bit];
            CHECK(to > 0 && to < kHistory.num_states);
            CHECK(bit ? kHistory.start[to] > 32768 - 32000 : kHistory.start[to] < 65000);
        }
    }
    CHECK(digest(&kLogistic, sizeof kLogistic) == 4188637245u);
    CHECK(digest(&kHistory.next, sizeof kHistory.next) == 2665435203u);
}

std::vector<uint8_t> sample(Random& random, unsigned kind, size_t size) {
    std::vector<uint8_t> block(size);
    for (size_t i = 0; i < size; ++i) {
        switch (kind) {
            case 0:
                block[i] = static_cast<uint8_t>(random.below(256));
                break;
            case 1:
                block[i] = 0;
                break;
            case 2:
                block[i] = static_cast<uint8_t>('a' + random.below(3));
                break;
            case 3:
                block[i] = static_cast<uint8_t>(i > 50 && random.below(50) ? block[i - 50] : random.below(256));
                break;
            default:
                block[i] = static_cast<uint8_t>(i * i >> 3);
                break;
        }
    }
    return block;
}

void blocks_survive_and_damage_is_refused_or_harmless() {
    Random random{2};
    for (unsigned round = 0; round < 150; ++round) {
        const auto block = sample(random, round % 5, round < 40 ? round : random.below(3000));
        std::vector<uint8_t> payload, again(block.size());
        CHECK(bytes_encode(block, payload) == Status::ok);
        CHECK(payload.size() <= block.size() + 1);
        CHECK(bytes_decode(payload, again) == Status::ok && again == block);
        for (size_t cut = 0; cut < payload.size(); cut += 1 + payload.size() / 7)
            CHECK(bytes_decode(std::span(payload).first(cut), again) != Status::bad_argument);
        auto damaged = payload;
        damaged[random.below(static_cast<unsigned>(damaged.size()))] ^= static_cast<uint8_t>(1 + random.below(255));
        const Status status = bytes_decode(damaged, again);
        CHECK(status == Status::ok || status == Status::corrupt || status == Status::truncated);
    }
    std::vector<uint8_t> payload;
    CHECK(bytes_decode({}, {}) == Status::truncated);
    const std::vector<uint8_t> unknown_mode{2, 0, 0};
    std::vector<uint8_t> two(2);
    CHECK(bytes_decode(unknown_mode, two) == Status::corrupt);
    // A block of nothing but padding is given up early, not decoded to its declared end.
    std::vector<uint8_t> large(kMaxBlockBytes);
    CHECK(bytes_decode(std::vector<uint8_t>{kBytesMixed, 1, 2, 3}, large) == Status::truncated);
}

void vector_and_scalar_mixers_agree() {
    Random random{3};
    Mixer<16> mixer(4, 3000);
    std::array<std::array<int, 16>, 4> weights;
    for (auto& w : weights) w.fill(3000);
    for (int round = 0; round < 20000; ++round) {
        Mixer<16>::Inputs inputs;
        for (int16_t& x : inputs)
            x = static_cast<int16_t>(static_cast<int>(random.below(2 * kStretchMax + 1)) - kStretchMax);
        const size_t context = random.below(4);
        int32_t sum = 0;
        for (size_t i = 0; i < 16; ++i) sum += inputs[i] * weights[context][i];
        const int expected = std::clamp(sum >> 14, -kSquashMax, kSquashMax);
        CHECK(mixer.mix(inputs, context) == expected);
        const uint32_t bit = random.below(2);
        const int rate = 1 + static_cast<int>(random.below(15));
        mixer.update(inputs, bit, rate);
        const int error = (static_cast<int>(bit << 16) - static_cast<int>(squash(expected))) * rate >> 5;
        for (size_t i = 0; i < 16; ++i)
            weights[context][i] =
                std::clamp(weights[context][i] + ((inputs[i] * error + (1 << 14)) >> 15), -32768, 32767);
    }
}

}  // namespace

int main() {
    tables_are_monotone_and_frozen();
    vector_and_scalar_mixers_agree();
    blocks_survive_and_damage_is_refused_or_harmless();
    return 0;
}
