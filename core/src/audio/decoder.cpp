#include <algorithm>
#include <array>
#include <optional>

#include "audio/analysis.hpp"
#include "audio/coders.hpp"
#include "audio/concealment.hpp"
#include "audio/layout.hpp"
#include "audio/saved.hpp"
#include "audio/syntax.hpp"
#include "narrows/audio.hpp"
#include "narrows/resampler.hpp"

namespace narrows {

using namespace audio;

namespace {

constexpr int32_t kPeak = (1 << 23) - 1;
constexpr uint64_t kMostFrames = uint64_t{1} << 32;  // of a stream: products of positions stay below 2^62
// Decoded magnitudes lie this share of a step toward zero, 1/256.
constexpr int64_t kBias = 13;
// Frames in a row; what is missing after them is silence.
constexpr uint32_t kMostConcealed = 50;

// Random signs for a frame: seq and channel decide them, so that no loss changes them.
class Noise {
   public:
    Noise(uint64_t seq, size_t channel) : state_(static_cast<uint32_t>((seq & 0xFFFF) * 0x9E3779B1u + channel * 0x85EBCA6Bu + 1)) {
        state_ ^= state_ >> 15;
        state_ *= 0x2C1B3C6Du;
        state_ ^= state_ >> 12;
    }
    int32_t signed_of(int32_t magnitude) noexcept {
        state_ = state_ * 1'664'525u + 1'013'904'223u;
        return state_ >> 31 ? -magnitude : magnitude;
    }

   private:
    uint32_t state_;
};

using Coefficients = std::array<int32_t, kMaxFrame>;

// 2^(x / 256) in 1/4096, x = -512 to 512.
const std::array<uint16_t, 1025> kShape = [] {
    std::array<uint16_t, 1025> shape{};
    for (size_t i = 0; i < shape.size(); ++i) shape[i] = static_cast<uint16_t>(exp2_16(static_cast<uint32_t>(i) + 6 * 256));
    return shape;
}();

// Noise in place of a band's zeros: what is missing of its energy, along the envelope between band centers, at most
// half a step. An empty band is filled to `floor`, a full one to `fill`. `found` is the energy of the others, 1/256.
void fill_zeros(const Layout& layout, const Channel& channel, size_t b, int64_t step_16, uint64_t found, const AudioFormat& format, Noise& noise,
                Coefficients& out) {
    const size_t begin = layout.edges[b], end = layout.edges[b + 1];
    if (!channel.level[b]) {
        for (size_t t = 0; t < layout.transforms; ++t) {
            for (size_t i = t * layout.size + begin; i < t * layout.size + end; ++i) out[i] = channel.q[i] == 0 ? 0 : out[i];
        }
        return;
    }
    const auto log = [&](size_t band) { return channel.level[band] ? level_log(channel.level[band]) : static_cast<int>(kFirstLog - kLevelLog); };
    std::array<uint16_t, kMaxSize> shape;
    uint64_t weight = 0;
    for (size_t i = begin; i < end;) {
        // Bins between the same two band centers.
        const size_t near = layout.below[i];
        const int low = log(near), rise = near + 1 < layout.bands ? log(near + 1) - low : 0, beside = low - log(b);
        for (; i < end && layout.below[i] == near; ++i) {
            shape[i] = kShape[clamped(beside + (rise * layout.weight[i] >> 8), -512, 512)];
            const uint32_t square = uint32_t{shape[i]} * shape[i];
            for (size_t t = 0; t < layout.transforms; ++t) weight += channel.q[t * layout.size + i] == 0 ? square : 0;
        }
    }
    const uint64_t rms = exp2_16(static_cast<uint32_t>(level_log(channel.level[b]))) >> 4;
    const uint64_t all = (rms * rms >> 8) * layout.width(b) * layout.transforms;
    const uint64_t missing = all > found ? all - found : 0;
    // Amplitude where the envelope is the band's level, and what is kept of it, 1/64.
    const uint64_t each = root(std::min((missing << 8) / (weight >> 16), uint64_t{1} << 54) << 8);
    const auto empty = static_cast<int>((missing << 6) / all);  // 64 where nothing was found
    const auto share = static_cast<uint64_t>(static_cast<int>(format.fill) + (static_cast<int>(format.floor) - static_cast<int>(format.fill)) * empty * empty / 4096);
    const auto most = static_cast<uint64_t>(step_16) >> 5;
    for (size_t t = 0; t < layout.transforms; ++t) {
        for (size_t i = begin; i < end; ++i) {
            const size_t at = t * layout.size + i;
            if (channel.q[at] != 0) continue;
            out[at] = each ? noise.signed_of(static_cast<int32_t>(std::min(each * shape[i] >> 12, most) * share >> 6)) : 0;
        }
    }
}

// Coefficients of a channel from its integers. False if they are beyond what a signal can have.
bool dequantize(const Layout& layout, const Channel& channel, const Steps& steps, const AudioFormat& format, Noise noise, Coefficients& out) {
    for (size_t b = 0; b < layout.bands; ++b) {
        const auto step_16 = static_cast<int64_t>(exp2_16(static_cast<uint32_t>(steps.log_of(b, channel.level[b]))));
        uint64_t found = 0;  // energy of what is not zero
        size_t zeros = 0;
        for (size_t t = 0; t < layout.transforms; ++t) {
            for (size_t i = t * layout.size + layout.edges[b]; i < t * layout.size + layout.edges[b + 1]; ++i) {
                const int64_t q = channel.q[i];
                if (q == 0) {
                    ++zeros;
                    continue;
                }
                const int64_t magnitude = q < 0 ? -q : q;
                if (magnitude * step_16 > int64_t{1} << 33) return false;
                const int64_t value = (magnitude * step_16 - (step_16 * kBias >> 8) + 8) >> 4;
                out[i] = static_cast<int32_t>(q < 0 ? -value : value);
                found += static_cast<uint64_t>(value) * static_cast<uint64_t>(value) >> 8;
            }
        }
        if (zeros) fill_zeros(layout, channel, b, step_16, found, format, noise, out);
    }
    return true;
}

}  // namespace

struct AudioDecoder::Impl {
    std::shared_ptr<const AudioModel> model;
    AudioFormat format;
    uint32_t signal_hz;
    size_t channels;
    const Layout& layout;
    std::shared_ptr<const Mdct> whole, part;
    const std::optional<Concealment> concealment;  // of speech; music repeats its last spectrum

    // What a packet may change, and a refused one has not.
    struct State {
        uint64_t frames = 0;   // heard or concealed
        uint64_t told = 0;     // samples of the signal given out
        uint32_t lost = 0;     // frames concealed since the last sound one
        bool finished = false;
        std::vector<int32_t> halves;  // left halves of the block begun, [channels][size / 2]
        std::vector<Past> past;       // of each channel, for `concealment`
        std::vector<int32_t> last;    // without: coefficients of the last transform, [channels][size]
        std::optional<Resampler> resampler;
    } state;

    Impl(std::shared_ptr<const AudioModel> m, const AudioFormat& f, uint32_t hz, size_t c)
        : model(std::move(m)), format(f), signal_hz(hz), channels(c), layout(layout_of(f.rate_hz)), whole(Mdct::of(layout.size)),
          part(layout.splits ? Mdct::of(layout.size / layout.splits) : nullptr), concealment(made_for(layout, *whole)) {
        forget();
    }

    static std::optional<Concealment> made_for(const Layout& layout, const Mdct& whole) {
        return layout.transforms == 1 ? std::nullopt : std::optional<Concealment>(std::in_place, layout, whole);
    }

    void forget() {
        state = State{};
        state.halves.assign(channels * layout.size / 2, 0);
        if (concealment) state.past.assign(channels, concealment->silence());
        else state.last.assign(channels * layout.size, 0);
        if (signal_hz != format.rate_hz) state.resampler.emplace(format.rate_hz, signal_hz, channels);
    }

    size_t groups() const noexcept { return (channels + 1) / 2; }

    // One channel's transforms to blocks, into inside[time][channels].
    void synthesize(const int32_t* c, bool transient, size_t channel, std::vector<int32_t>& inside) {
        const size_t n = layout.size;
        int32_t* half = state.halves.data() + channel * (n / 2);
        std::array<int32_t, kMaxSize> values, block;
        for (size_t t = 0; t < layout.transforms; ++t) {
            std::copy_n(c + t * n, n, values.begin());
            if (transient) split_inverse(*part, values.data(), layout.splits);
            else whole->dct4(values.data());
            std::copy_n(half, n / 2, block.begin());
            std::copy_n(values.begin(), n / 2, block.begin() + static_cast<ptrdiff_t>(n / 2));
            std::copy_n(values.begin() + static_cast<ptrdiff_t>(n / 2), n / 2, half);
            whole->unrotate(block.data());
            give(std::span(block).first(n), t, channel, inside);
        }
    }

    void give(std::span<int32_t> block, size_t t, size_t channel, std::vector<int32_t>& inside) {
        for (int32_t& v : block) v = std::clamp(v, -(1 << 24), 1 << 24);
        for (size_t i = 0; i < block.size(); ++i) inside[(t * block.size() + i) * channels + channel] = block[i];
        if (concealment) concealment->heard(block, state.past[channel]);
    }

    // Gives out a frame of samples at the internal rate.
    void deliver(std::span<const int32_t> inside, std::vector<int32_t>& out) {
        // The first block is before the signal.
        const auto part_of = state.frames == 0 ? inside.subspan(layout.size * channels) : inside;
        ++state.frames;
        const size_t before = out.size();
        if (state.resampler) state.resampler->push(part_of, out);
        else out.insert(out.end(), part_of.begin(), part_of.end());
        state.told += (out.size() - before) / channels;
    }

    uint64_t inside_of(uint64_t frames) const noexcept { return frames ? frames * layout.frame() - layout.size : 0; }

    uint64_t outputs_of(uint64_t frames) const noexcept {
        return state.resampler ? state.resampler->outputs_of(inside_of(frames)) : inside_of(frames);
    }

    [[nodiscard]] Status read(const AudioPacket& packet, std::vector<int32_t>& out) {
        Reading coder(packet.payload);
        uint32_t count = 0;
        int offset = 0;
        code_head(coder, *model->tables, format.packet_frames, format.varying, count, offset);
        if (count < 1 || count > format.packet_frames || (!packet.last && count != format.packet_frames)) return Status::corrupt;
        // What the packet says to add must be what its frames can give.
        const uint64_t end = state.told + packet.count, total = state.frames + count;
        if (packet.last ? end < state.told || end < outputs_of(total - 1) || end > largest(total) : end != outputs_of(total))
            return Status::corrupt;
        const Steps steps{static_cast<int>(format.step) + 32 * offset, static_cast<int>(format.gamma), model->tables->steps.data()};
        std::vector<History> history(groups());
        std::vector<int32_t> inside(layout.frame() * channels);
        const size_t begun = out.size();
        Frame frame;
        std::array<Coefficients, 2> c;
        for (uint32_t f = 0; f < count; ++f) {
            for (size_t g = 0; g < groups(); ++g) {
                frame.channels = std::min<size_t>(2, channels - 2 * g);
                if (!code_frame(coder, *model->tables, layout, steps, frame, history[g])) return Status::corrupt;
                if (coder.padded() > 4) return Status::corrupt;
                for (size_t i = 0; i < frame.channels; ++i) {
                    if (!dequantize(layout, frame.channel[i], steps, format, Noise(state.frames, 2 * g + i), c[i])) return Status::corrupt;
                }
                if (frame.channels == 2 && !frame.silent) unmix(frame, c);
                for (size_t i = 0; i < frame.channels; ++i) {
                    for (size_t t = 0; t < layout.transforms; ++t) {
                        if (!bounded(std::span(c[i]).subspan(t * layout.size, layout.size))) return Status::corrupt;
                    }
                    synthesize(c[i].data(), frame.transient, 2 * g + i, inside);
                    // A transient frame leaves its parts' shared spectrum.
                    if (!concealment) std::copy_n(c[i].begin(), layout.size, state.last.begin() + static_cast<ptrdiff_t>((2 * g + i) * layout.size));
                }
            }
            deliver(inside, out);
        }
        // Behind the coder's bytes there may be zeros, which a constant rate fills up with.
        const size_t left = coder.bytes_left();
        for (size_t i = packet.payload.size() - left; i < packet.payload.size(); ++i) {
            if (packet.payload[i] != 0) return Status::corrupt;
        }
        if (packet.last) {
            if (state.resampler) state.resampler->finish(end, out);
            out.resize(begun + static_cast<size_t>(packet.count) * channels);
            state.told = end;
            state.finished = true;
        }
        state.lost = 0;
        return Status::ok;
    }

    // The most samples that a stream of so many frames can have.
    uint64_t largest(uint64_t frames) const noexcept {
        const uint64_t inside = inside_of(frames);
        if (!state.resampler) return inside;
        uint64_t most = outputs_of(frames);
        while (state.resampler->inputs_of(most + 1) <= inside) ++most;
        return most;
    }

    void unmix(const Frame& frame, std::array<Coefficients, 2>& c) const {
        for (size_t b = 0; b < layout.bands; ++b) {
            if (!frame.stereo[b]) continue;
            for (size_t t = 0; t < layout.transforms; ++t) {
                for (size_t i = t * layout.size + layout.edges[b]; i < t * layout.size + layout.edges[b + 1]; ++i) mix(c[0][i], c[1][i]);
            }
        }
    }

    void conceal(std::vector<int32_t>& out) {
        std::vector<int32_t> inside(layout.frame() * channels);
        for (uint32_t f = 0; f < format.packet_frames; ++f) {
            ++state.lost;
            for (size_t channel = 0; channel < channels; ++channel) {
                if (concealment) go_on(channel, inside);
                else fade(channel, inside);
            }
            deliver(inside, out);
        }
    }

    // The sound so far, repeated.
    void go_on(size_t channel, std::vector<int32_t>& inside) {
        const size_t n = layout.size;
        std::array<int32_t, kMaxFrame + kMaxSize> frame;
        const std::span half = std::span(state.halves).subspan(channel * (n / 2), n / 2);
        const std::span made = std::span(frame).first(layout.frame() + n);
        concealment->run(half, state.lost, state.past[channel], made);
        if (state.lost > kMostConcealed) std::fill(made.begin(), made.end(), 0);
        for (size_t t = 0; t < layout.transforms; ++t) give(made.subspan(t * n, n), t, channel, inside);
        int32_t* const next = made.data() + layout.frame();
        whole->rotate(next);
        std::copy_n(next, n / 2, half.begin());
    }

    // The last spectrum, a little softer each time.
    void fade(size_t channel, std::vector<int32_t>& inside) {
        int32_t* const last = state.last.data() + channel * layout.size;
        for (size_t i = 0; i < layout.size; ++i)
            last[i] = static_cast<int32_t>(state.lost > kMostConcealed ? 0 : int64_t{last[i]} * 29 / 32);
        synthesize(last, false, channel, inside);
    }
};

AudioDecoder::AudioDecoder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AudioDecoder::~AudioDecoder() = default;

Status AudioDecoder::create(std::shared_ptr<const AudioModel> model, const AudioFormat& format, uint32_t signal_hz, size_t channels,
                            std::unique_ptr<AudioDecoder>& out) {
    if (!model || !format.valid() || signal_hz < kLeastRate || signal_hz > kLargestRate || channels < 1 || channels > 255)
        return Status::bad_argument;
    out.reset(new AudioDecoder(std::make_unique<Impl>(std::move(model), format, signal_hz, channels)));
    return Status::ok;
}

Status AudioDecoder::push(const AudioPacket& packet, std::vector<int32_t>& samples) {
    Impl& self = *impl_;
    if (packet.seq != self.state.frames || self.state.finished) return Status::bad_argument;
    const Impl::State before = self.state;
    const size_t size = samples.size();
    const Status status = self.read(packet, samples);
    if (status != Status::ok) {
        self.state = before;
        samples.resize(size);
        return status;
    }
    for (size_t i = size; i < samples.size(); ++i) samples[i] = std::clamp(samples[i], -kPeak - 1, kPeak);
    return Status::ok;
}

void AudioDecoder::conceal(std::vector<int32_t>& samples) {
    if (impl_->state.finished) return;
    const size_t size = samples.size();
    impl_->conceal(samples);
    for (size_t i = size; i < samples.size(); ++i) samples[i] = std::clamp(samples[i], -kPeak - 1, kPeak);
}

uint64_t AudioDecoder::next() const noexcept { return impl_->state.frames; }
bool AudioDecoder::finished() const noexcept { return impl_->state.finished; }
uint64_t AudioDecoder::samples_before(uint64_t seq) const noexcept { return impl_->outputs_of(seq); }

void AudioDecoder::seek(uint64_t seq) {
    Impl& self = *impl_;
    self.forget();
    self.state.frames = seq;
    self.state.told = self.outputs_of(seq);
    if (self.state.resampler) {
        Resampler::State at = self.state.resampler->state();
        at.taken = self.inside_of(seq);
        at.made = self.state.told;
        (void)self.state.resampler->restore(at);
    }
}

std::vector<uint8_t> AudioDecoder::save() const {
    const Impl::State& state = impl_->state;
    Saver saver;
    saver.put(state.frames);
    saver.put(static_cast<uint8_t>(state.finished));
    if (state.finished) return saver.take();
    saver.put(state.lost);
    saver.put_all(std::span<const int32_t>(state.halves));
    for (const Past& past : state.past) {
        saver.put_all(std::span<const int32_t>(past.samples));
        saver.put_all(std::span<const int32_t>(past.period));
        saver.put(past.lag);
        saver.put(past.at);
        saver.put(past.gain);
    }
    saver.put_all(std::span<const int32_t>(state.last));
    if (state.resampler) saver.put_all(std::span<const int32_t>(state.resampler->state().history));
    return saver.take();
}

Status AudioDecoder::restore(std::span<const uint8_t> bytes) {
    Impl& self = *impl_;
    self.forget();
    Loader loader(bytes);
    Impl::State state = self.state;
    state.frames = loader.get<uint64_t>();
    const auto finished = loader.get<uint8_t>();
    if (state.frames > kMostFrames || finished > 1) return Status::bad_argument;
    state.finished = finished != 0;
    if (!state.finished) {
        if (state.frames % self.format.packet_frames != 0) return Status::bad_argument;
        state.told = self.outputs_of(state.frames);
        state.lost = loader.get<uint32_t>();
        loader.get_all(std::span(state.halves));
        for (Past& past : state.past) {
            loader.get_all(std::span(past.samples));
            loader.get_all(std::span(past.period));
            past.lag = loader.get<uint32_t>();
            past.at = loader.get<uint32_t>();
            past.gain = loader.get<int32_t>();
        }
        loader.get_all(std::span(state.last));
        if (state.resampler) {
            Resampler::State resampler{self.inside_of(state.frames), state.told, state.resampler->state().history};
            loader.get_all(std::span(resampler.history));
            if (!state.resampler->restore(resampler)) return Status::bad_argument;
        }
        const size_t size = self.layout.size;
        for (size_t channel = 0; channel < self.channels; ++channel) {
            if (self.concealment ? !self.concealment->valid(state.past[channel]) : !bounded(std::span(state.last).subspan(channel * size, size)))
                return Status::bad_argument;
        }
        for (const int32_t v : state.halves) {
            if (std::abs(int64_t{v}) > int64_t{1} << 30) return Status::bad_argument;
        }
    }
    if (!loader.done()) return Status::bad_argument;
    self.state = std::move(state);
    return Status::ok;
}

}  // namespace narrows
