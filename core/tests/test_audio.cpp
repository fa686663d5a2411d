// The coder of `speech` and `music` under random tables: what a session promises, whatever its tables say.
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "audio/analysis.hpp"
#include "audio/coders.hpp"
#include "audio/quantizer.hpp"
#include "audio/syntax.hpp"
#include "check.hpp"
#include "narrows/audio.hpp"
#include "narrows/crc.hpp"
#include "narrows/mdct.hpp"

using namespace narrows;

namespace {

using Samples = std::vector<int32_t>;
using Packets = std::vector<AudioPacket>;

std::shared_ptr<const AudioModel> random_model() {
    Random random{5};
    const AudioSizes sizes = AudioModel::sizes();
    std::vector<int16_t> a(sizes.coefficients), b(sizes.envelope), c(sizes.bands), d(sizes.flags), e(sizes.steps);
    for (auto* values : {&a, &b, &c, &d, &e}) {
        for (int16_t& v : *values) v = static_cast<int16_t>(static_cast<int>(random.below(300)) - 150);
    }
    std::shared_ptr<const AudioModel> out;
    CHECK(AudioModel::load({a, b, c, d, e}, out) == Status::ok);
    std::vector<int16_t> large = a;
    large.back() = -4000;
    std::shared_ptr<const AudioModel> none;
    CHECK(AudioModel::load({large, b, c, d, e}, none) == Status::bad_argument);
    a.pop_back();
    CHECK(AudioModel::load({a, b, c, d, e}, out) == Status::bad_argument);
    return out;
}

const std::shared_ptr<const AudioModel> kModel = random_model();

struct Case {
    AudioFormat format;
    AudioRate rate;
    uint32_t signal_hz;
    size_t channels;
};

Samples sound(const Case& c, double seconds) {
    Random random{9};
    Samples samples(static_cast<size_t>(c.signal_hz * seconds) * c.channels);
    int32_t low = 0;
    for (size_t i = 0; i < samples.size(); ++i) {
        // Noise through a one-pole filter, with a silent and a loud stretch.
        low += (static_cast<int32_t>(random.below(1 << 24)) - (1 << 23) - low) / 8;
        const size_t part = 8 * i / samples.size();
        samples[i] = part == 2 ? 0 : part == 5 ? std::clamp(4 * low, -(1 << 23), (1 << 23) - 1) : low / 4;
    }
    return samples;
}

std::unique_ptr<AudioEncoder> encoder_of(const Case& c) {
    std::unique_ptr<AudioEncoder> out;
    CHECK(AudioEncoder::create(kModel, c.format, c.rate, c.signal_hz, c.channels, out) == Status::ok);
    return out;
}

std::unique_ptr<AudioDecoder> decoder_of(const Case& c) {
    std::unique_ptr<AudioDecoder> out;
    CHECK(AudioDecoder::create(kModel, c.format, c.signal_hz, c.channels, out) == Status::ok);
    return out;
}

Packets encode(const Case& c, const Samples& samples, size_t piece) {
    const auto encoder = encoder_of(c);
    Packets packets;
    for (size_t at = 0; at < samples.size(); at += piece * c.channels)
        encoder->push(std::span(samples).subspan(at, std::min(piece * c.channels, samples.size() - at)), packets);
    encoder->finish(packets);
    return packets;
}

Samples decode(const Case& c, const Packets& packets) {
    const auto decoder = decoder_of(c);
    Samples samples;
    for (const AudioPacket& p : packets) CHECK(decoder->push(p, samples) == Status::ok);
    return samples;
}

bool equal(const Packets& a, const Packets& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const AudioPacket& x, const AudioPacket& y) {
        return x.seq == y.seq && x.count == y.count && x.last == y.last && x.payload == y.payload;
    });
}

std::vector<Case> cases() {
    std::vector<Case> all;
    for (const uint32_t rate : {16'000u, 24'000u, 44'100u, 48'000u}) {
        for (const size_t channels : {1u, 2u, 3u}) {
            for (const uint32_t frames : {1u, 3u}) {
                const uint32_t hz = channels == 2 ? 11'025 : rate;
                const AudioFormat format{rate, frames, 3'700, true, 13, 33, 55};
                const auto budget = static_cast<uint32_t>(256 * 60 * frames * channels);
                all.push_back({format, {}, hz, channels});
                all.push_back({format, {budget, false}, hz, channels});
                all.push_back({format, {budget, true}, hz, channels});
            }
        }
    }
    return all;
}

void pieces_and_states_change_nothing(const Case& c) {
    const Samples samples = sound(c, 0.13);
    const Packets whole = encode(c, samples, samples.size());
    const Samples heard = decode(c, whole);
    CHECK(heard.size() == samples.size());
    for (const size_t piece : {size_t{7}, size_t{441}}) CHECK(equal(encode(c, samples, piece), whole));
    auto encoder = encoder_of(c);
    Packets packets;
    const size_t third = samples.size() / c.channels / 3 * c.channels;
    for (size_t part = 0; part < 3; ++part) {
        const auto state = encoder->save();
        encoder = encoder_of(c);
        CHECK(encoder->restore(state) == Status::ok);
        CHECK(encoder->save() == state);
        encoder->push(std::span(samples).subspan(part * third, part < 2 ? third : samples.size() - 2 * third), packets);
    }
    encoder->finish(packets);
    CHECK(equal(packets, whole));
    CHECK(encoder->finished());
    encoder->push(samples, packets);
    encoder->finish(packets);
    CHECK(equal(packets, whole));
    auto decoder = decoder_of(c);
    Samples again;
    for (const AudioPacket& p : whole) {
        const auto state = decoder->save();
        decoder = decoder_of(c);
        CHECK(decoder->restore(state) == Status::ok);
        CHECK(decoder->push(p, again) == Status::ok);
    }
    CHECK(again == heard);
    CHECK(decoder->finished());
    decoder->conceal(again);
    CHECK(again == heard);
    for (const AudioPacket& p : whole) CHECK(!c.rate.constant || p.payload.size() == c.rate.bytes_256 / 256);
}

// Every change of a state is refused or gives a session that still works.
void forged_states_do_no_harm(const Case& c) {
    Random random{c.signal_hz + c.channels};
    const Samples samples = sound(c, 0.05);
    const Packets whole = encode(c, samples, samples.size());
    auto encoder = encoder_of(c);
    auto decoder = decoder_of(c);
    Packets packets;
    encoder->push(samples, packets);
    Samples heard;
    CHECK(decoder->push(whole[0], heard) == Status::ok);
    const auto encoded = encoder->save(), decoded = decoder->save();
    for (int round = 0; round < 40; ++round) {
        for (const bool encodes : {true, false}) {
            auto state = encodes ? encoded : decoded;
            const size_t near = round % 2 ? state.size() : std::min<size_t>(state.size(), 40);
            for (unsigned i = 0; i <= random.below(3); ++i) state[random.below(static_cast<unsigned>(near))] ^= static_cast<uint8_t>(1u << random.below(8));
            if (round % 5 == 0) state.resize(random.below(static_cast<unsigned>(state.size())));
            if (round % 7 == 0) state.push_back(0);
            if (encodes) {
                const auto other = encoder_of(c);
                if (other->restore(state) == Status::ok) {
                    other->push(samples, packets);
                    other->finish(packets);
                }
            } else {
                const auto other = decoder_of(c);
                if (other->restore(state) == Status::ok) {
                    other->conceal(heard);
                    AudioPacket p = whole[1 % whole.size()];
                    p.seq = other->next();
                    (void)other->push(p, heard);
                }
            }
            if (round % 5 == 0 || round % 7 == 0) {
                CHECK((encodes ? encoder_of(c)->restore(state) : decoder_of(c)->restore(state)) == Status::bad_argument);
            }
        }
    }
}

void states_belong_to_a_rate() {
    Case c{{16'000, 1, 3'700, true, 13, 33, 55}, {256 * 30, false}, 16'000, 1};
    const auto state = encoder_of(c)->save();
    CHECK(encoder_of(c)->restore(state) == Status::ok);
    Case other = c;
    other.rate.bytes_256 += 1;
    CHECK(encoder_of(other)->restore(state) == Status::bad_argument);
    other = c;
    other.rate.constant = true;
    CHECK(encoder_of(other)->restore(state) == Status::bad_argument);
}

void rates_below_silence_are_refused() {
    std::unique_ptr<AudioEncoder> out;
    const AudioFormat format{16'000, 50, 3'700, true, 13, 33, 55};
    for (const bool constant : {false, true}) {
        CHECK(AudioEncoder::create(kModel, format, {256, constant}, 16'000, 255, out) == Status::limit);
        CHECK(AudioEncoder::create(kModel, format, {256 * 20'000, constant}, 16'000, 255, out) == Status::ok);
    }
}

// Values that only a forged packet has: nothing wraps before it is checked.
void values_are_bounded() {
    audio::CoefficientEntries entries;
    static constexpr std::array<int16_t, audio::kDecisions> kEven{};
    entries.at.fill(kEven.data());
    for (uint32_t shift = 0; shift <= 12; ++shift) {
        for (const int64_t magnitude : {int64_t{0}, int64_t{1}, int64_t{15}, int64_t{16}, int64_t{70'000}, int64_t{audio::kMaxQuantized}, int64_t{audio::kMaxQuantized} + 1,
                                        int64_t{1} << 28}) {
            audio::Writing writing;
            auto q = static_cast<int32_t>(-magnitude);
            const bool sound = magnitude <= audio::kMaxQuantized;
            CHECK(audio::code_value(writing, entries, shift, q) == sound);
            if (!sound) continue;
            const auto bytes = writing.finish();
            audio::Reading reading(bytes);
            int32_t back = 0;
            CHECK(audio::code_value(reading, entries, shift, back));
            CHECK(back == -magnitude);
        }
        // All ones: the longest prefix there is.
        const std::vector<uint8_t> ones(200, 0);
        audio::Reading reading(ones);
        int32_t q = 0;
        (void)audio::code_value(reading, entries, shift, q);
        CHECK(std::abs(int64_t{q}) <= audio::kMaxQuantized);
    }
}

// Levels beside those measured take fewer bytes; magnitudes stay by those that rounding gives.
void prices_decide_what_is_coded() {
    using namespace audio;
    size_t nearest_bytes = 0, chosen_bytes = 0;
    for (const uint32_t rate : {16'000u, 48'000u}) {
        const Case c{{rate, 1, 4'200, false, 13, 33, 55}, {}, rate, 2};
        const Layout& layout = layout_of(rate);
        const AudioTables& tables = *kModel->tables;
        const Steps steps{4'200, 13, tables.steps.data()};
        Analysis analysis(layout, 2);
        Shares shares;
        const Samples samples = sound(c, 0.6);
        const size_t length = 2 * layout.frame();
        std::vector<Spectrum> spectra;
        for (size_t at = 0; at + length <= samples.size(); at += length) {
            analysis.run(std::span(samples).subspan(at, length), spectra);
            Spectrum chosen = spectra[0];
            choose_levels(tables, layout, nullptr, chosen);
            const History history;
            Frame frame;
            const auto bytes_of_levels = [&](const Spectrum& s) {
                Writing coder;
                round_to(layout, s, steps, frame, shares);
                for (size_t channel = 0; channel < 2; ++channel) code_envelope(coder, tables, layout, frame, channel, history);
                return coder.finish().size();
            };
            nearest_bytes += bytes_of_levels(spectra[0]);
            chosen_bytes += bytes_of_levels(chosen);
            // What is chosen on the way is what the bytes say.
            Choosing choosing(shares);
            History written, read;
            (void)code_frame(choosing, tables, layout, steps, frame, written);
            const auto bytes = choosing.finish();
            Reading reading(bytes);
            Frame heard;
            heard.channels = 2;
            CHECK(code_frame(reading, tables, layout, steps, heard, read));
            for (size_t channel = 0; channel < 2; ++channel) {
                CHECK(std::equal(heard.channel[channel].q.begin(), heard.channel[channel].q.begin() + static_cast<ptrdiff_t>(layout.frame()), frame.channel[channel].q.begin()));
            }
            for (size_t channel = 0; channel < 2; ++channel) {
                for (size_t b = 0; b < layout.bands; ++b) {
                    const int level = chosen.level[channel][b], log = chosen.log[channel][b];
                    CHECK((level == 0) == (spectra[0].level[channel][b] == 0));
                    // One of the two levels beside what was measured.
                    if (level > 1) CHECK(std::abs(level_log(static_cast<uint32_t>(level)) - log) <= static_cast<int>(kLevelLog));
                    // Never above what rounding gives, and lower by one step at most, or zero.
                    const double step = std::exp2(steps.log_of(b, frame.channel[channel].level[b]) / 256.0);
                    for (size_t t = 0; t < layout.transforms; ++t) {
                        for (size_t i = t * layout.size + layout.edges[b]; i < t * layout.size + layout.edges[b + 1]; ++i) {
                            const double share = std::fabs(chosen.c[channel][i]) / step, q = std::abs(frame.channel[channel].q[i]);
                            CHECK(q < share + 0.51 && (q == 0 || q > share - 1.51));
                            CHECK(q == 0 || (frame.channel[channel].q[i] < 0) == (chosen.c[channel][i] < 0));
                        }
                    }
                }
            }
        }
    }
    CHECK(10 * chosen_bytes < 9 * nearest_bytes);
}

void transforms_are_right() {
    for (const size_t n : {size_t{120}, size_t{126}, size_t{160}, size_t{240}, size_t{882}, size_t{960}}) {
        const auto mdct = Mdct::of(n);
        CHECK(mdct && mdct->size() == n);
        Random random{n};
        std::vector<int32_t> x(n);
        for (int32_t& v : x) v = static_cast<int32_t>(random.below(1 << 24)) - (1 << 23);
        std::vector<int32_t> y = x;
        mdct->dct4(y.data());
        for (size_t k = 0; k < n; ++k) {
            double sum = 0;
            for (size_t i = 0; i < n; ++i) sum += x[i] * std::cos(M_PI / static_cast<double>(n) * (static_cast<double>(i) + .5) * (static_cast<double>(k) + .5));
            CHECK(std::fabs(y[k] - sum * std::sqrt(2.0 / static_cast<double>(n))) < 12);
        }
        // The largest there may be, in all shapes that add up.
        for (const int shape : {0, 1, 2}) {
            std::vector<int32_t> most(n);
            const auto each = static_cast<int32_t>((1 << 29) / std::sqrt(static_cast<double>(n)));
            for (size_t i = 0; i < n; ++i) most[i] = shape == 0 ? each : shape == 1 ? (i % 2 ? each : -each) : i == n / 2 ? 1 << 29 : 0;
            const std::vector<int32_t> before = most;
            mdct->dct4(most.data());
            mdct->dct4(most.data());
            for (size_t i = 0; i < n; ++i) CHECK(std::abs(most[i] - before[i]) < 64);
        }
    }
    for (const size_t n : {size_t{0}, size_t{2}, size_t{22}, size_t{961}, size_t{1024}}) CHECK(!Mdct::of(n));
}

// The same packets and samples on every machine, by their CRC under the tables above.
void numbers_are_the_same_everywhere() {
    uint32_t packets_crc = 0, samples_crc = 0;
    for (const Case& c : cases()) {
        const Packets packets = encode(c, sound(c, 0.1), 1000);
        for (const AudioPacket& p : packets) packets_crc = crc32c(p.payload, packets_crc);
        for (const int32_t v : decode(c, packets)) {
            const std::array<uint8_t, 4> bytes = {static_cast<uint8_t>(v), static_cast<uint8_t>(v >> 8), static_cast<uint8_t>(v >> 16), static_cast<uint8_t>(v >> 24)};
            samples_crc = crc32c(bytes, samples_crc);
        }
    }
    CHECK(packets_crc == 0xcf105ff0u);
    CHECK(samples_crc == 0x6c95528au);
}

}  // namespace

int main() {
    transforms_are_right();
    values_are_bounded();
    prices_decide_what_is_coded();
    states_belong_to_a_rate();
    rates_below_silence_are_refused();
    for (const Case& c : cases()) {
        pieces_and_states_change_nothing(c);
        forged_states_do_no_harm(c);
    }
    numbers_are_the_same_everywhere();
    return 0;
}
