// Feeds hostile packets, losses, jumps and saved states to the decoder of `speech` and `music`, and hostile samples
// and states to the encoder, under random tables: no read or write out of bounds, no undefined arithmetic, and a
// refused packet changes nothing.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "narrows/audio.hpp"
#include "narrows/resampler.hpp"

using namespace narrows;

namespace {

std::shared_ptr<const AudioModel> model() {
    const AudioSizes sizes = AudioModel::sizes();
    std::vector<int16_t> a(sizes.coefficients), b(sizes.envelope), c(sizes.bands), d(sizes.flags), e(sizes.steps);
    uint64_t state = 11;
    for (auto* values : {&a, &b, &c, &d, &e}) {
        for (int16_t& v : *values) {
            state = state * 6364136223846793005ull + 1442695040888963407ull;
            v = static_cast<int16_t>(static_cast<int>((state >> 33) % 300) - 150);
        }
    }
    std::shared_ptr<const AudioModel> out;
    if (AudioModel::load({a, b, c, d, e}, out) != Status::ok) __builtin_trap();
    return out;
}

constexpr uint32_t kRates[] = {16'000, 24'000, 44'100, 48'000};
constexpr uint32_t kSignals[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8'000, 11'025, 22'050, 96'000, 44'056};

struct Setting {
    AudioFormat format;
    uint32_t signal_hz;
    size_t channels;
};

// The first eight bytes.
Setting setting_of(const uint8_t* head) {
    Setting s;
    s.format = {.rate_hz = kRates[head[0] % 4],
                .packet_frames = 1u + head[1] % 3,
                .step = 1'536u + 20u * head[2],
                .varying = (head[3] & 1) != 0,
                .gamma = head[4] % 65u,
                .fill = head[5] % 65u,
                .floor = head[6] % 65u};
    s.signal_hz = kSignals[head[7] % 16];
    if (s.signal_hz == 0) s.signal_hz = s.format.rate_hz;
    s.channels = 1 + (head[3] >> 1) % 3;
    return s;
}

// Sound of the bytes: noise whose loudness they say.
std::vector<int32_t> sound_of(const uint8_t* bytes, size_t size, size_t count) {
    std::vector<int32_t> samples(count);
    uint32_t state = 1;
    for (size_t i = 0; i < count; ++i) {
        state = state * 1'664'525u + 1'013'904'223u;
        const int loudness = size ? bytes[i / 64 % size] % 24 : 12;
        samples[i] = loudness == 23 ? (state >> 31 ? 8'388'607 : -8'388'608) : static_cast<int32_t>(state) >> (31 - loudness);
    }
    return samples;
}

}  // namespace

// Sound streams to mutate: packets of every rate, one and two channels.
extern "C" size_t NarrowsFuzzSeed(unsigned number, uint8_t* data, size_t capacity) {
    if (number >= 8) return 0;
    const std::vector<uint8_t> head = {static_cast<uint8_t>(number % 4), static_cast<uint8_t>(number / 4), 110, static_cast<uint8_t>(1 + number / 4 * 2),
                                       16, 32, 58, static_cast<uint8_t>(number < 4 ? 0 : 8 + number)};
    const Setting s = setting_of(head.data());
    std::unique_ptr<AudioEncoder> encoder;
    if (AudioEncoder::create(model(), s.format, {}, s.signal_hz, s.channels, encoder) != Status::ok) return 0;
    std::vector<AudioPacket> packets;
    const uint8_t loudness[] = {10, 14, 18, 0, 16};
    encoder->push(sound_of(loudness, 5, s.signal_hz / 8 * s.channels), packets);
    encoder->finish(packets);
    std::vector<uint8_t> out = head;
    for (const AudioPacket& p : packets) {
        out.insert(out.end(), {static_cast<uint8_t>(p.last ? 1 : 0), static_cast<uint8_t>(p.count), static_cast<uint8_t>(p.count >> 8),
                               static_cast<uint8_t>(p.payload.size()), static_cast<uint8_t>(p.payload.size() >> 8)});
        out.insert(out.end(), p.payload.begin(), p.payload.end());
    }
    if (out.size() > capacity) return 0;
    std::memcpy(data, out.data(), out.size());
    return out.size();
}

// Bytes: a setting (8), then operations: kind, and for packets count and length (two bytes each) and payload.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const std::shared_ptr<const AudioModel> shared = model();
    // Kept, so that they are made once.
    static std::vector<std::shared_ptr<const ResamplerTables>> tables;
    if (tables.empty()) {
        for (const uint32_t inside : kRates) {
            for (const uint32_t signal : kSignals) {
                if (signal) tables.insert(tables.end(), {ResamplerTables::get(signal, inside), ResamplerTables::get(inside, signal)});
            }
        }
    }
    if (size < 8) return 0;
    const Setting s = setting_of(data);
    std::unique_ptr<AudioDecoder> decoder;
    if (AudioDecoder::create(shared, s.format, s.signal_hz, s.channels, decoder) != Status::ok) __builtin_trap();
    std::vector<int32_t> samples;
    size_t at = 8;
    for (int operations = 0; at + 5 <= size && operations < 24; ++operations) {
        const uint8_t kind = data[at];
        const uint64_t count = data[at + 1] | uint64_t{data[at + 2]} << 8;
        const size_t length = std::min<size_t>(data[at + 3] | size_t{data[at + 4]} << 8, size - at - 5);
        const uint8_t* body = data + at + 5;
        at += 5 + length;
        samples.clear();
        if (kind % 16 < 10) {
            AudioPacket packet{decoder->next(), kind & 64 ? decoder->samples_before(decoder->next() + s.format.packet_frames) - decoder->samples_before(decoder->next()) : count,
                               kind % 2 != 0, {body, body + length}, {}};
            const std::vector<uint8_t> before = decoder->save();
            if (decoder->push(packet, samples) != Status::ok) {
                if (!samples.empty() || decoder->save() != before) __builtin_trap();
            } else if (samples.size() != packet.count * s.channels) {
                __builtin_trap();
            }
        } else if (kind % 16 < 12) {
            decoder->conceal(samples);
        } else if (kind % 16 == 12) {
            decoder->seek(count * s.format.packet_frames << (kind >> 4));
        } else if (kind % 16 == 13) {
            // A saved state comes back, with some bytes changed.
            std::vector<uint8_t> state = decoder->save();
            for (size_t i = 0; i < length && !state.empty(); ++i) state[(size_t{body[i]} * 257 + count) % state.size()] ^= static_cast<uint8_t>(i + 1);
            if (kind & 128) state.resize(state.size() / 2);
            const Status status = decoder->restore(state);
            if (length == 0 && !(kind & 128) && status != Status::ok) __builtin_trap();
            if (status != Status::ok) return 0;
        } else {
            // An encoder that is given sound and a state.
            std::unique_ptr<AudioEncoder> encoder;
            AudioRate rate;
            if (s.format.varying && (kind & 64)) rate = {static_cast<uint32_t>(count << 5), (kind & 32) != 0};
            if (AudioEncoder::create(shared, s.format, rate, s.signal_hz, s.channels, encoder) != Status::ok) continue;
            std::vector<AudioPacket> packets;
            const auto sound = sound_of(body, length, std::min<size_t>(s.signal_hz / 12, 2000) * s.channels);
            encoder->push(sound, packets);
            std::vector<uint8_t> state = encoder->save();
            if (encoder->restore(state) != Status::ok) __builtin_trap();
            if (kind & 128) {
                for (size_t i = 0; i < length; ++i) state[(size_t{body[i]} * 251 + count) % state.size()] ^= static_cast<uint8_t>(i * 7 + 1);
                if (encoder->restore(state) != Status::ok) continue;
            }
            encoder->push(sound, packets);
            encoder->finish(packets);
            for (const AudioPacket& p : packets) {
                if (rate.constant && rate.bytes_256 != 0 && p.payload.size() != rate.bytes_256 >> 8) __builtin_trap();
            }
        }
        for (const int32_t v : samples) {
            if (v < -8'388'608 || v > 8'388'607) __builtin_trap();
        }
    }
    return 0;
}
