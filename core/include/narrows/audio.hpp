// `speech` and `music`: one MDCT coder with a coded envelope, one step a packet, noise filling and frozen integer
// context tables. docs/format.md, "speech and music". Everything that reaches a packet or a sample is integers.
//
// A frame is 20 ms. At 16 and 24 kHz it has two transforms of 10 ms that share an envelope, at 44.1 and 48 kHz one
// of 20 ms, which a transient frame splits in 7 or 8 without touching its neighbors. A packet is one or more
// frames in one range-coder stream and needs no other packet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "narrows/status.hpp"

namespace narrows {

inline constexpr size_t kMaxPacketFrames = 250;

// The codec's params in the stream header: 8 bytes.
struct AudioFormat {
    uint32_t rate_hz = 16'000;   // inside: 16,000, 24,000, 44,100 or 48,000
    uint32_t packet_frames = 1;  // 1 to kMaxPacketFrames
    uint32_t step = 4096;        // 256 log2 of the step in 24-bit samples, at the lowest envelope level
    bool varying = false;        // packets carry an offset to the step
    uint32_t gamma = 13;         // how steps grow with a band's level, 1/64
    // Share of a band's missing energy that noise replaces, 1/64 of the amplitude: in a full band and an empty one.
    uint32_t fill = 20, floor = 48;

    std::vector<uint8_t> params() const;
    // corrupt for anything that `params` cannot have written.
    [[nodiscard]] static Status parse(std::span<const uint8_t> params, AudioFormat& out);
    bool valid() const noexcept;
};

// What a stream's numbers follow from.
struct AudioTiming {
    uint32_t rate_hz;        // inside
    uint32_t packet_frames;
    size_t frame;            // samples inside of a frame
    size_t overlap;          // samples inside that come a transform later
    size_t reach;            // samples of the signal that both resamplers wait for
};
[[nodiscard]] AudioTiming timing_of(const AudioFormat& format, uint32_t signal_hz);

// Trained logits in 1/256 nat, and what bands add to the step's log, as they lie in the weights file (shapes in docs/format.md).
struct AudioWeights {
    std::span<const int16_t> coefficients, envelope, bands, flags, steps;
};
// Entries that each has.
struct AudioSizes {
    size_t coefficients, envelope, bands, flags, steps;
};

struct AudioTables;

class AudioModel {
   public:
    [[nodiscard]] static Status load(const AudioWeights& weights, std::shared_ptr<const AudioModel>& out);
    static AudioSizes sizes() noexcept;
    std::shared_ptr<const AudioTables> tables;
};

struct AudioPacket {
    uint64_t seq = 0;    // of its first frame
    uint64_t count = 0;  // samples of the signal that it adds
    bool last = false;
    std::vector<uint8_t> payload;
    std::vector<uint8_t> coarse;  // from an encoder that was asked for it: the same at about a third of the bytes
};

// What the encoder aims at. `bytes_256` is the budget of a packet in 1/256 byte, 0 for a fixed step.
struct AudioRate {
    uint32_t bytes_256 = 0;
    bool constant = false;  // every packet has exactly the budget, rounded down
    bool coarse = false;    // packets come with coarse ones; needs a format that varies
};

// Decisions for training: which table entries met, and what came. One row a binary decision.
struct AudioSamples {
    uint32_t every = 1;                 // frames sampled: one in so many
    std::vector<uint32_t> coefficient;  // [n][kCoefficientTables] entries
    std::vector<uint8_t> coefficient_bit;
    std::vector<uint32_t> envelope;  // [n][kEnvelopeTables] entries
    std::vector<uint8_t> envelope_bit;
    std::vector<uint32_t> band;  // [n][kBandTables] entries
    std::vector<uint8_t> band_bit;
    std::vector<uint32_t> flag;  // [n] entries
    std::vector<uint8_t> flag_bit;
};

class AudioEncoder {
   public:
    // `signal_hz` and `channels` of what is pushed: kLeastRate to kLargestRate, 1 to 255. limit for a rate
    // whose packets cannot hold silence.
    [[nodiscard]] static Status create(std::shared_ptr<const AudioModel> model, const AudioFormat& format, const AudioRate& rate,
                                       uint32_t signal_hz, size_t channels, std::unique_ptr<AudioEncoder>& out);
    ~AudioEncoder();
    // Samples [time, channels], 24-bit integers; whole packets are appended.
    void push(std::span<const int32_t> samples, std::vector<AudioPacket>& packets);
    // The rest, at least one packet; the last has `last` set.
    void finish(std::vector<AudioPacket>& packets);
    // What follows is ignored after `finish`.
    bool finished() const noexcept;
    std::vector<uint8_t> save() const;
    // bad_argument, and the session of no use, unless `state` was saved by a session of the same arguments.
    [[nodiscard]] Status restore(std::span<const uint8_t> state);
    void sample(AudioSamples* samples) noexcept;

   private:
    struct Impl;
    explicit AudioEncoder(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

class AudioDecoder {
   public:
    [[nodiscard]] static Status create(std::shared_ptr<const AudioModel> model, const AudioFormat& format, uint32_t signal_hz,
                                       size_t channels, std::unique_ptr<AudioDecoder>& out);
    ~AudioDecoder();
    // Appends the samples [time, channels] that `packet` adds, 24-bit integers. corrupt, and nothing changed, for
    // a payload that does not parse or a count that cannot be; bad_argument for a seq other than `next`.
    [[nodiscard]] Status push(const AudioPacket& packet, std::vector<int32_t>& samples);
    // The same for a packet that was lost.
    void conceal(std::vector<int32_t>& samples);
    // The packet expected next.
    uint64_t next() const noexcept;
    bool finished() const noexcept;
    // Forgets everything heard, as if `seq` were the first packet: for seeking. What the next packet then adds is
    // right from its second half on.
    void seek(uint64_t seq);
    // Samples of the signal that packets below `seq` add, in all.
    uint64_t samples_before(uint64_t seq) const noexcept;
    std::vector<uint8_t> save() const;
    [[nodiscard]] Status restore(std::span<const uint8_t> state);

   private:
    struct Impl;
    explicit AudioDecoder(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace narrows
