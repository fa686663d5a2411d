#include <algorithm>
#include <array>
#include <deque>
#include <optional>

#include "audio/analysis.hpp"
#include "audio/coders.hpp"
#include "audio/layout.hpp"
#include "audio/quantizer.hpp"
#include "audio/rate_control.hpp"
#include "audio/saved.hpp"
#include "audio/syntax.hpp"
#include "narrows/audio.hpp"
#include "narrows/resampler.hpp"

namespace narrows {

using namespace audio;

namespace {

constexpr int kCoarser = 24;        // of a coarse packet's offset above the packet's own
constexpr int kPasses = 4;          // codings of a packet before something is left out
// What a saved state may have: samples taken (products of positions stay below 2^62), their sizes.
constexpr uint64_t kMostTaken = uint64_t{1} << 46;
constexpr int64_t kLargestSample = 1 << 24, kLargestCoefficient = 1 << 29;
constexpr int kNear = 2;          // from so many offsets off a packet is coded again

}  // namespace

struct AudioEncoder::Impl {
    std::shared_ptr<const AudioModel> model;
    AudioFormat format;
    AudioRate rate;
    uint32_t signal_hz;
    size_t channels;
    const Layout& layout;
    Analysis analysis;
    std::optional<Resampler> resampler;
    AudioSamples* samples = nullptr;

    std::vector<int32_t> pending;   // [time][channels] at the internal rate, less than a frame
    std::deque<Spectrum> spectra;   // frames of the packet begun, a spectrum a pair of channels
    uint64_t taken = 0;             // samples of the signal
    uint64_t frames = 0;            // analyzed
    uint64_t emitted = 0;           // frames in packets
    bool finished = false;
    int last_offset = 0;            // of a constant rate
    std::optional<RateControl> control;  // of another
    uint64_t sampled = 0;
    Shares shares;                  // of the frame that is coded

    Impl(std::shared_ptr<const AudioModel> m, const AudioFormat& f, const AudioRate& r, uint32_t hz, size_t c)
        : model(std::move(m)), format(f), rate(r), signal_hz(hz), channels(c), layout(layout_of(f.rate_hz)), analysis(layout, c) {
        if (hz != f.rate_hz) resampler.emplace(hz, f.rate_hz, c);
        if (r.bytes_256 != 0 && !r.constant) control.emplace(r.bytes_256, f.packet_frames, c);
    }

    size_t groups() const noexcept { return (channels + 1) / 2; }
    Steps steps(int offset) const noexcept { return {static_cast<int>(format.step) + 32 * offset, static_cast<int>(format.gamma), model->tables->steps.data()}; }

    std::vector<uint8_t> write(int offset) {
        Choosing coder(shares);
        uint32_t count = static_cast<uint32_t>(spectra.size() / groups());
        code_head(coder, *model->tables, format.packet_frames, format.varying, count, offset);
        std::vector<History> history(groups());
        Frame frame;
        for (size_t i = 0; i < spectra.size(); ++i) {
            round_to(layout, spectra[i], steps(offset), frame, shares);
            (void)code_frame(coder, *model->tables, layout, steps(offset), frame, history[i % groups()]);
        }
        auto bytes = coder.finish();
        return bytes.empty() ? std::vector<uint8_t>(1) : bytes;
    }

    // Records the decisions of a packet at the format's step, as they are coded.
    void sample() {
        Sampling coder(*model->tables, *samples);
        uint32_t count = static_cast<uint32_t>(spectra.size() / groups());
        int offset = 0;
        code_head(coder, *model->tables, format.packet_frames, format.varying, count, offset);
        std::vector<History> history(groups());
        Frame frame;
        for (size_t i = 0; i < spectra.size(); ++i) {
            round_to(layout, spectra[i], steps(0), frame, shares);
            Choosing choosing(shares);
            History before = history[i % groups()];
            (void)code_frame(choosing, *model->tables, layout, steps(0), frame, before);
            (void)code_frame(coder, *model->tables, layout, steps(0), frame, history[i % groups()]);
        }
    }

    // 256 log2 of a size.
    static int log_of(size_t bytes) { return static_cast<int>(log2_256_wide(static_cast<uint64_t>(bytes) << 8 | 1)); }

    // How many offsets change a packet's size by an octave, as two codings of it tell; in tenths, first as usual.
    struct Slope {
        int tenths, at = 0;
        size_t bytes = 0;
        void saw(int offset, size_t size) {
            const int fall = bytes ? log_of(bytes) - log_of(size) : 0;
            if (fall * (offset - at) > 0) tenths = std::clamp((offset - at) * 2560 / fall, 30, 400);
            at = offset;
            bytes = size;
        }
        // Offsets that make up for so much of an excess, and at least that.
        int against(int excess) const { return (excess * tenths + 2559) / 2560; }
    };

    // A payload of at most `allowed` bytes, the nearest to it that kPasses codings find or, where no step is coarse
    // enough, what is left after leaving out more and more. Less than 2^(-slack / 256) of `allowed` is near.
    std::vector<uint8_t> fit(int& offset, uint32_t allowed, int slack) {
        int low = -kLargestOffset - 1, high = kLargestOffset + 1;  // too large, fits
        int guess = std::clamp(offset, -kLargestOffset, kLargestOffset);
        Slope slope{140};
        std::vector<uint8_t> best;
        for (int pass = 1; pass <= kPasses && high - low > 1; ++pass) {
            auto bytes = write(guess);
            const int excess = log_of(bytes.size()) - log_of(allowed);
            slope.saw(guess, bytes.size());
            if (bytes.size() <= allowed) {
                high = offset = guess;
                best = std::move(bytes);
                if (excess >= -slack) break;
            } else {
                low = guess;
            }
            const int hurry = pass + 1 == kPasses && best.empty() ? 2 : 0;  // the last pass had better fit
            if (high - low <= 1) break;
            guess += excess > 0 ? slope.against(excess) + hurry : (excess * slope.tenths - 640) / 2560;
            guess = std::clamp(guess, low + 1, high - 1);
        }
        return best.empty() ? squeeze(offset, low, allowed) : best;
    }

    // A payload of as many bytes as the control asks for, seeing what the packet takes, and no more than it allows.
    std::vector<uint8_t> controlled(int& offset, uint32_t count) {
        const uint32_t allowed = control->allowance(count);
        int guess = control->guess(), low = -kLargestOffset - 1;  // too large
        Slope slope{10 * RateControl::kOctave};
        std::vector<uint8_t> best;
        for (int pass = 1; pass <= kPasses; ++pass) {
            auto bytes = write(guess);
            slope.saw(guess, bytes.size());
            const int wanted = control->offset(bytes.size(), guess, count) - guess;
            int step = std::abs(wanted) <= kNear ? 0 : wanted * slope.tenths / (10 * RateControl::kOctave);
            if (bytes.size() <= allowed) {
                offset = guess;
                best = std::move(bytes);
            } else {
                low = guess;
                const int hurry = pass + 1 == kPasses && best.empty() ? 2 : 0;
                step = std::max(step, slope.against(log_of(bytes.size()) - log_of(allowed)) + hurry);
            }
            if (low == kLargestOffset) break;
            const int next = std::clamp(guess + step, low + 1, kLargestOffset);
            // A third coding gains nothing in live music, whose packets cost more time and differ less.
            const bool enough = layout.splits && format.packet_frames == 1 && pass > 1 && !best.empty();
            if (next == guess || enough) break;
            guess = next;
        }
        if (best.empty()) return squeeze(offset, low, allowed);
        if (low >= -kLargestOffset && low < offset && best.size() < allowed / 2) halve(offset, low, allowed, best);
        return best;
    }

    // What fits at a step coarser than `low`, or of what is left.
    std::vector<uint8_t> squeeze(int& offset, int low, uint32_t allowed) {
        for (int guess = low;;) {
            guess = std::min(kLargestOffset, guess + 8);
            auto bytes = write(guess);
            if (bytes.size() <= allowed) {
                offset = guess;
                halve(offset, low, allowed, bytes);
                return bytes;
            }
            low = guess;
            if (guess == kLargestOffset && !leave_out()) return write(0);
        }
    }

    bool control_wants_coarser(size_t bytes, int offset) const {
        return control && control->offset(bytes, offset, static_cast<uint32_t>(spectra.size() / groups())) > offset + kNear;
    }

    // Takes `best`, which fits at `offset`, to the finest step that fits above `low`, where it does not.
    void halve(int& offset, int low, uint32_t allowed, std::vector<uint8_t>& best) {
        while (offset - low > 1) {
            const int guess = (low + offset) / 2;
            auto bytes = write(guess);
            if (bytes.size() <= allowed && !control_wants_coarser(bytes.size(), guess)) {
                best = std::move(bytes);
                offset = guess;
            } else {
                low = guess;
            }
        }
    }

    // Makes the packet cheaper where no step is coarse enough: a flat envelope, then silence. False if it is silent.
    bool leave_out() {
        bool flat = true, silent = true;
        for (Spectrum& s : spectra) {
            for (size_t c = 0; c < s.channels; ++c) {
                const uint8_t least = *std::min_element(s.level[c].begin(), s.level[c].begin() + static_cast<ptrdiff_t>(layout.bands));
                const uint8_t most = *std::max_element(s.level[c].begin(), s.level[c].begin() + static_cast<ptrdiff_t>(layout.bands));
                flat = flat && least == most;
                silent = silent && most == 0;
                std::fill_n(s.level[c].begin(), layout.bands, static_cast<uint8_t>((least + most) / 2));
            }
            s.transient = false;
            s.stereo.fill(0);
        }
        if (silent) return false;
        if (flat) {
            for (Spectrum& s : spectra) s.level = {};
        }
        return true;
    }

    void emit(bool last, std::vector<AudioPacket>& packets) {
        AudioPacket packet;
        packet.seq = emitted;
        const size_t count = spectra.size() / groups();
        for (size_t i = 0; i < spectra.size(); ++i)
            choose_levels(*model->tables, layout, i < groups() ? nullptr : &spectra[i - groups()], spectra[i]);
        if (samples && sampled++ % samples->every == 0) sample();
        const bool silent = std::all_of(spectra.begin(), spectra.end(), [](const Spectrum& s) { return s.silent(); });
        int coarse = kCoarser;
        if (rate.bytes_256 == 0) {
            packet.payload = write(0);
        } else if (rate.constant) {
            const uint32_t size = std::max(rate.bytes_256 >> 8, 1u);
            packet.payload = silent ? write(0) : fit(last_offset, size, 6);
            packet.payload.resize(size);
            coarse += last_offset;
        } else {
            int offset = 0;
            packet.payload = silent ? write(0) : controlled(offset, static_cast<uint32_t>(count));
            control->coded(packet.payload.size(), offset, static_cast<uint32_t>(count), silent);
            coarse += offset;
        }
        if (rate.coarse) packet.coarse = write(silent ? 0 : std::min(coarse, kLargestOffset));
        emitted += count;
        spectra.clear();
        packet.last = last;
        packet.count = (last ? taken : told_by(emitted)) - told_by(emitted - count);
        packets.push_back(std::move(packet));
    }

    // Samples of the signal that so many frames give.
    uint64_t told_by(uint64_t count) const {
        const uint64_t inside = count ? count * layout.frame() - layout.size : 0;
        return resampler ? decoder_side->outputs_of(inside) : inside;
    }
    std::optional<Resampler> decoder_side;

    // Bytes that a packet of silence takes at most.
    size_t least_bytes() {
        Spectrum nothing;
        size_t most = 0;
        for (const uint32_t count : {format.packet_frames, std::max(1u, format.packet_frames - 1)}) {
            for (size_t i = 0; i < count * groups(); ++i) {
                nothing.channels = std::min<size_t>(2, channels - i % groups() * 2);
                spectra.push_back(nothing);
            }
            most = std::max(most, write(0).size());
            spectra.clear();
        }
        return most;
    }

    // What follows from the number of samples taken, unless the session is finished.
    size_t count_pending() const noexcept {
        return static_cast<size_t>((resampler ? resampler->outputs_of(taken) : taken) % layout.frame()) * channels;
    }
    size_t count_spectra() const noexcept { return static_cast<size_t>(frames % format.packet_frames) * groups(); }

    void analyze(std::vector<AudioPacket>& packets, bool ending, uint64_t total_frames) {
        const size_t length = layout.frame() * channels;
        size_t at = 0;
        std::vector<Spectrum> made;
        while (pending.size() - at >= length) {
            analysis.run(std::span(pending).subspan(at, length), made);
            spectra.insert(spectra.end(), made.begin(), made.end());
            at += length;
            ++frames;
            if (spectra.size() / groups() == format.packet_frames || (ending && frames == total_frames))
                emit(ending && frames == total_frames, packets);
        }
        pending.erase(pending.begin(), pending.begin() + static_cast<ptrdiff_t>(at));
    }
};

AudioEncoder::AudioEncoder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AudioEncoder::~AudioEncoder() = default;

Status AudioEncoder::create(std::shared_ptr<const AudioModel> model, const AudioFormat& format, const AudioRate& rate,
                            uint32_t signal_hz, size_t channels, std::unique_ptr<AudioEncoder>& out) {
    if (!model || !format.valid() || signal_hz < kLeastRate || signal_hz > kLargestRate || channels < 1 || channels > 255)
        return Status::bad_argument;
    if ((rate.bytes_256 != 0 || rate.coarse) && (!format.varying || rate.bytes_256 > 1u << 30)) return Status::bad_argument;
    auto impl = std::make_unique<Impl>(std::move(model), format, rate, signal_hz, channels);
    if (impl->resampler) impl->decoder_side.emplace(format.rate_hz, signal_hz, 1);
    if (rate.bytes_256 != 0) {
        // Every packet must be able to hold silence, of a constrained rate in the share of the budget that it always has.
        const uint64_t least = uint64_t{rate.constant ? rate.bytes_256 : rate.bytes_256 / kKeptOf * kKept} >> 8;
        if (least < impl->least_bytes()) return Status::limit;
    }
    out.reset(new AudioEncoder(std::move(impl)));
    return Status::ok;
}

void AudioEncoder::push(std::span<const int32_t> samples, std::vector<AudioPacket>& packets) {
    Impl& self = *impl_;
    if (self.finished) return;
    // In pieces, so that memory does not grow with what is pushed at once.
    const size_t piece = 8 * kMaxFrame * self.channels;
    for (size_t at = 0; at < samples.size(); at += piece) {
        const auto part = samples.subspan(at, std::min(piece, samples.size() - at));
        self.taken += part.size() / self.channels;
        if (self.resampler) self.resampler->push(part, self.pending);
        else self.pending.insert(self.pending.end(), part.begin(), part.end());
        self.analyze(packets, false, 0);
    }
}

void AudioEncoder::finish(std::vector<AudioPacket>& packets) {
    Impl& self = *impl_;
    if (self.finished) return;
    self.finished = true;
    uint64_t inside = self.taken;
    if (self.resampler) {
        inside = self.decoder_side->inputs_of(self.taken);
        self.resampler->finish(inside, self.pending);
    }
    const uint64_t transforms = (inside + self.layout.size - 1) / self.layout.size + 1;
    const uint64_t total = (transforms + self.layout.transforms - 1) / self.layout.transforms;
    self.pending.resize((total - self.frames) * self.layout.frame() * self.channels, 0);
    self.analyze(packets, true, total);
}

void AudioEncoder::sample(AudioSamples* samples) noexcept { impl_->samples = samples; }

bool AudioEncoder::finished() const noexcept { return impl_->finished; }

std::vector<uint8_t> AudioEncoder::save() const {
    const Impl& self = *impl_;
    Saver saver;
    saver.put(self.rate.bytes_256);
    saver.put(static_cast<uint8_t>(self.rate.constant | self.rate.coarse << 1));
    saver.put(static_cast<uint8_t>(self.finished));
    if (self.finished) return saver.take();
    saver.put(self.taken);
    saver.put(static_cast<int32_t>(self.last_offset));
    saver.put_all(std::span<const int32_t>(self.analysis.halves));
    saver.put_all(std::span<const int32_t>(self.pending));
    if (self.control) self.control->save(saver);
    for (const Spectrum& s : self.spectra) {
        saver.put(static_cast<uint8_t>(s.transient));
        saver.put_all(std::span<const uint8_t>(s.stereo));
        for (size_t c = 0; c < s.channels; ++c) {
            saver.put_all(std::span<const int32_t>(s.c[c]).first(self.layout.frame()));
        }
    }
    if (self.resampler) saver.put_all(std::span<const int32_t>(self.resampler->state().history));
    return saver.take();
}

Status AudioEncoder::restore(std::span<const uint8_t> state) {
    Impl& self = *impl_;
    Loader loader(state);
    if (loader.get<uint32_t>() != self.rate.bytes_256 || loader.get<uint8_t>() != static_cast<uint8_t>(self.rate.constant | self.rate.coarse << 1))
        return Status::bad_argument;
    const auto finished = loader.get<uint8_t>();
    if (finished > 1) return Status::bad_argument;
    self.finished = finished != 0;
    if (self.finished) return loader.done() ? Status::ok : Status::bad_argument;
    self.taken = loader.get<uint64_t>();
    if (self.taken > kMostTaken) return Status::bad_argument;
    self.frames = (self.resampler ? self.resampler->outputs_of(self.taken) : self.taken) / self.layout.frame();
    self.emitted = self.frames - self.frames % self.format.packet_frames;
    self.last_offset = loader.get<int32_t>();
    if (std::abs(int64_t{self.last_offset}) > kLargestOffset) return Status::bad_argument;
    loader.get_all(std::span(self.analysis.halves));
    self.pending.resize(self.count_pending());
    loader.get_all(std::span(self.pending));
    if (self.control && !self.control->load(loader)) return Status::bad_argument;
    const size_t frame = self.layout.frame(), half = self.layout.size / 2;
    const auto size_of = [&](size_t index) { return std::min<size_t>(2, self.channels - index % self.groups() * 2); };
    self.spectra.clear();
    for (size_t i = 0; i < self.count_spectra() && loader.sound(); ++i) {
        Spectrum& s = self.spectra.emplace_back();
        s.channels = size_of(i);
        const auto transient = loader.get<uint8_t>();
        s.transient = transient != 0;
        loader.get_all(std::span(s.stereo));
        bool fits = transient <= (self.layout.splits ? 1 : 0);
        for (const uint8_t on : s.stereo) fits = fits && on <= s.channels - 1;
        for (size_t c = 0; c < s.channels; ++c) {
            const auto values = std::span(s.c[c]).first(frame);
            loader.get_all(values);
            for (const int32_t v : values) fits = fits && std::abs(int64_t{v}) <= kLargestCoefficient;
        }
        if (!fits) return Status::bad_argument;
        measure(self.layout, s);
    }
    if (self.resampler) {
        Resampler::State resampler{self.taken, self.resampler->outputs_of(self.taken), self.resampler->state().history};
        loader.get_all(std::span(resampler.history));
        if (!self.resampler->restore(resampler)) return Status::bad_argument;
    }
    for (const int32_t v : self.pending) {
        if (std::abs(int64_t{v}) > kLargestSample) return Status::bad_argument;
    }
    for (size_t channel = 0; channel < self.channels; ++channel) {
        if (!bounded(std::span(self.analysis.halves).subspan(channel * half, half))) return Status::bad_argument;
    }
    return loader.done() ? Status::ok : Status::bad_argument;
}

}  // namespace narrows
