#include "audio/concealment.hpp"

#include <cmath>
#include <vector>

#include "check.hpp"

using namespace narrows;
using namespace narrows::audio;

namespace {

struct Channel {
    explicit Channel(uint32_t rate_hz) : layout(layout_of(rate_hz)), mdct(Mdct::of(layout.size)), concealment(layout, *mdct), past(concealment.silence()) {}

    // Notes a block that came; at the last one also the half of the block behind it.
    std::vector<int32_t> half_of(std::vector<int32_t> block) const {
        mdct->rotate(block.data());
        block.resize(layout.size / 2);
        return block;
    }
    std::vector<int32_t> conceal(std::span<const int32_t> half, uint32_t lost) {
        std::vector<int32_t> frame(layout.frame() + layout.size);
        concealment.run(half, lost, past, frame);
        return frame;
    }

    const Layout& layout;
    std::shared_ptr<const Mdct> mdct;
    Concealment concealment;
    Past past;
};

std::vector<int32_t> part(const std::vector<int32_t>& v, size_t from, size_t count) {
    return {v.begin() + static_cast<ptrdiff_t>(from), v.begin() + static_cast<ptrdiff_t>(from + count)};
}

// A harmonic tone goes on as it was, until it fades.
void a_tone_goes_on(uint32_t rate_hz) {
    Channel channel(rate_hz);
    const size_t size = channel.layout.size;
    std::vector<int32_t> tone(40 * size);
    for (size_t i = 0; i < tone.size(); ++i) {
        const double t = static_cast<double>(i) / rate_hz;
        for (int k = 1; k <= 5; ++k) tone[i] += static_cast<int32_t>(2e6 / k * std::sin(2 * 3.14159265358979 * 210 * k * t + k));
    }
    const size_t known = 30;
    for (size_t b = 0; b < known; ++b) channel.concealment.heard(part(tone, b * size, size), channel.past);
    const auto frame = channel.conceal(channel.half_of(part(tone, known * size, size)), 1);
    double error = 0, energy = 0;
    for (size_t i = 0; i < size / 2; ++i) {
        const double wanted = tone[known * size + i], found = frame[i];
        error += (wanted - found) * (wanted - found);
        energy += wanted * wanted;
    }
    CHECK(error < energy / 100);
    double before = 1e300;
    for (uint32_t lost = 2; lost < 20; ++lost) {
        const auto later = channel.conceal({}, lost);
        double now = 0;
        for (const int32_t v : later) now += static_cast<double>(v) * v;
        CHECK(lost < 7 || now < before);
        before = now;
    }
    CHECK(before < energy / 4);
}

void nothing_heard_is_silence(uint32_t rate_hz) {
    Channel channel(rate_hz);
    const std::vector<int32_t> half(channel.layout.size / 2, 0);
    for (const int32_t v : channel.conceal(half, 1)) CHECK(v == 0);
}

// Whatever was heard, what is made of it stays within what the transform takes.
void extremes_stay_bounded(uint32_t rate_hz) {
    Random random{rate_hz};
    for (int round = 0; round < 20; ++round) {
        Channel channel(rate_hz);
        const size_t size = channel.layout.size;
        const int bits = round % 5 * 6;
        const auto draw = [&] { return static_cast<int32_t>(random.below(3)) - 1; };
        for (int b = 0; b < 8; ++b) {
            std::vector<int32_t> block(size);
            for (auto& v : block) v = draw() * (1 << bits);
            channel.concealment.heard(block, channel.past);
        }
        CHECK(channel.concealment.valid(channel.past));
        std::vector<int32_t> half(size / 2);
        for (auto& v : half) v = draw() * (round % 2 ? 1 << 24 : 1 << bits);
        for (uint32_t f = 0; f < 3; ++f) {
            for (const int32_t v : channel.conceal(half, f + 1)) CHECK(v >= -(1 << 26) && v <= 1 << 26);
            CHECK(channel.concealment.valid(channel.past));
        }
    }
}

void states_that_cannot_be_are_refused() {
    Channel channel(16'000);
    Past past = channel.past;
    past.lag = 0;
    CHECK(!channel.concealment.valid(past));
    past = channel.past;
    past.lag = 1'000'000;
    CHECK(!channel.concealment.valid(past));
    past = channel.past;
    past.at = past.lag;
    CHECK(!channel.concealment.valid(past));
    past = channel.past;
    past.gain = 1 << 20;
    CHECK(!channel.concealment.valid(past));
    past = channel.past;
    past.samples[3] = (1 << 24) + 1;
    CHECK(!channel.concealment.valid(past));
    past = channel.past;
    past.period[3] = -(1 << 24) - 1;
    CHECK(!channel.concealment.valid(past));
}

}  // namespace

int main() {
    for (const uint32_t rate_hz : {16'000u, 24'000u}) {
        a_tone_goes_on(rate_hz);
        nothing_heard_is_silence(rate_hz);
        extremes_stay_bounded(rate_hz);
    }
    states_that_cannot_be_are_refused();
    return 0;
}
