#include "audio/analysis.hpp"

#include <algorithm>

namespace narrows::audio {

namespace {

// The energy of a band in all transforms of a frame.
uint64_t energy_of(const int32_t* c, const Layout& layout, size_t band) {
    uint64_t sum = 0;
    for (size_t t = 0; t < layout.transforms; ++t) {
        for (size_t i = layout.edges[band]; i < layout.edges[band + 1]; ++i) {
            const int64_t v = c[t * layout.size + i];
            sum += static_cast<uint64_t>(v * v) >> 4;  // 960 squares of 2^29 stay below 2^64
        }
    }
    return sum;
}

// 256 log2 of the rms; energy_16 lacks a factor of 2^4.
int log_of(uint64_t energy_16, size_t count) {
    if (energy_16 == 0) return 0;
    return (static_cast<int>(log2_256_wide(energy_16)) + 4 * 256 - static_cast<int>(log2_256(static_cast<uint32_t>(count)))) / 2;
}

// Whether energy leaps up within the frame: the largest part against the mean of those before it.
bool leaps(const int32_t* folded, size_t size, size_t splits) {
    const size_t part = size / splits;
    uint64_t before = 0;
    for (size_t s = 0; s < splits; ++s) {
        uint64_t energy = 0;
        int64_t last = folded[s * part];
        for (size_t i = 0; i < part; ++i) {
            // A first difference: bass does not leap.
            const int64_t v = folded[s * part + i];
            energy += static_cast<uint64_t>((v - last) * (v - last)) >> 8;
            last = v;
        }
        if (s > 0 && energy > 1'000'000 && energy / 12 > before / s) return true;
        before += energy;
    }
    return false;
}

}  // namespace

bool Spectrum::silent() const noexcept {
    for (size_t channel = 0; channel < channels; ++channel) {
        for (const uint8_t l : level[channel]) {
            if (l != 0) return false;
        }
    }
    return true;
}

void measure(const Layout& layout, Spectrum& s) {
    for (size_t channel = 0; channel < s.channels; ++channel) {
        for (size_t b = 0; b < layout.bands; ++b) {
            s.log[channel][b] = log_of(energy_of(s.c[channel].data(), layout, b), layout.width(b) * layout.transforms);
            s.level[channel][b] = static_cast<uint8_t>(nearest_level(s.log[channel][b]));
        }
    }
}

void interleave(int32_t* values, size_t size, size_t splits) {
    std::array<int32_t, kMaxSize> copy;
    std::copy_n(values, size, copy.begin());
    const size_t part = size / splits;
    for (size_t s = 0; s < splits; ++s) {
        for (size_t k = 0; k < part; ++k) values[k * splits + s] = copy[s * part + k];
    }
}

void deinterleave(int32_t* values, size_t size, size_t splits) {
    std::array<int32_t, kMaxSize> copy;
    std::copy_n(values, size, copy.begin());
    const size_t part = size / splits;
    for (size_t s = 0; s < splits; ++s) {
        for (size_t k = 0; k < part; ++k) values[s * part + k] = copy[k * splits + s];
    }
}

void split_forward(const Mdct& part, int32_t* values, size_t splits) {
    const size_t n = part.size();
    for (size_t s = 0; s + 1 < splits; ++s) part.rotate(values + s * n + n / 2);
    for (size_t s = 0; s < splits; ++s) part.dct4(values + s * n);
    interleave(values, n * splits, splits);
}

void split_inverse(const Mdct& part, int32_t* values, size_t splits) {
    const size_t n = part.size();
    deinterleave(values, n * splits, splits);
    for (size_t s = 0; s < splits; ++s) part.dct4(values + s * n);
    for (size_t s = 0; s + 1 < splits; ++s) part.unrotate(values + s * n + n / 2);
}

Analysis::Analysis(const Layout& layout, size_t channels)
    : halves(channels * layout.size / 2), layout_(layout), channels_(channels), whole_(Mdct::of(layout.size)),
      part_(layout.splits ? Mdct::of(layout.size / layout.splits) : nullptr) {}

void Analysis::transform(Spectrum& s, std::span<const int32_t> samples, size_t first) {
    const size_t n = layout_.size;
    std::array<int32_t, kMaxSize> block;
    for (size_t channel = 0; channel < s.channels; ++channel) {
        int32_t* half = halves.data() + (first + channel) * (n / 2);
        for (size_t t = 0; t < layout_.transforms; ++t) {
            for (size_t i = 0; i < n; ++i) block[i] = samples[(t * n + i) * channels_ + first + channel];
            whole_->rotate(block.data());
            int32_t* out = s.c[channel].data() + t * n;
            std::copy_n(half, n / 2, out);
            std::copy_n(block.data(), n / 2, out + n / 2);
            std::copy_n(block.data() + n / 2, n / 2, half);
        }
    }
    s.transient = false;
    for (size_t channel = 0; layout_.splits && channel < s.channels; ++channel)
        s.transient = s.transient || leaps(s.c[channel].data(), n, layout_.splits);
    for (size_t channel = 0; channel < s.channels; ++channel) {
        for (size_t t = 0; t < layout_.transforms; ++t) {
            int32_t* out = s.c[channel].data() + t * n;
            if (s.transient) split_forward(*part_, out, layout_.splits);
            else whole_->dct4(out);
        }
    }
}

void Analysis::run(std::span<const int32_t> samples, std::vector<Spectrum>& out) {
    out.resize((channels_ + 1) / 2);
    for (size_t first = 0; first < channels_; first += 2) {
        Spectrum& s = out[first / 2];
        s.channels = std::min<size_t>(2, channels_ - first);
        transform(s, samples, first);
        for (size_t b = 0; b < layout_.bands; ++b) {
            s.stereo[b] = 0;
            if (s.channels == 2) {
                const uint64_t left = energy_of(s.c[0].data(), layout_, b), right = energy_of(s.c[1].data(), layout_, b);
                std::array<std::array<int32_t, kMaxFrame>, 2> mixed;
                for (size_t t = 0; t < layout_.transforms; ++t) {
                    for (size_t i = t * layout_.size + layout_.edges[b]; i < t * layout_.size + layout_.edges[b + 1]; ++i) {
                        mixed[0][i] = s.c[0][i];
                        mixed[1][i] = s.c[1][i];
                        mix(mixed[0][i], mixed[1][i]);
                    }
                }
                const uint64_t middle = energy_of(mixed[0].data(), layout_, b), side = energy_of(mixed[1].data(), layout_, b);
                // Fewer bits where the product of the energies is smaller.
                const auto log = [](uint64_t e) { return log2_256_wide(e + 1); };
                if (log(middle) + log(side) < log(left) + log(right)) {
                    s.stereo[b] = 1;
                    for (size_t t = 0; t < layout_.transforms; ++t) {
                        for (size_t i = t * layout_.size + layout_.edges[b]; i < t * layout_.size + layout_.edges[b + 1]; ++i) {
                            s.c[0][i] = mixed[0][i];
                            s.c[1][i] = mixed[1][i];
                        }
                    }
                }
            }
        }
        measure(layout_, s);
    }
}

}  // namespace narrows::audio
