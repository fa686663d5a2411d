// The order of what a frame holds, for encoder and decoder alike: flags, envelope, coefficients.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "audio/coders.hpp"
#include "audio/layout.hpp"
#include "audio/tables.hpp"

namespace narrows::audio {

inline constexpr int32_t kMaxQuantized = (1 << 24) - 1;
inline constexpr size_t kPad = 16;  // entries beside magnitudes that contexts may look at

struct Channel {
    std::array<uint8_t, kMaxBands> level;
    std::array<int32_t, kMaxFrame> q;  // [transform][size]
};

// One or two channels of a frame, as integers. Two of them hold left and right, or middle and side, band by band.
struct Frame {
    size_t channels = 1;
    bool silent = false, transient = false;
    std::array<uint8_t, kMaxBands> stereo{};  // 1: middle and side
    std::array<Channel, 2> channel;
};

using Magnitudes = std::array<uint16_t, kMaxSize + 2 * kPad>;

// What frames of one packet leave for the next.
struct History {
    bool levels = false, magnitudes = false;  // whether there is any
    bool silent = false;
    std::array<std::array<uint8_t, kMaxBands>, 2> level{};
    std::array<Magnitudes, 2> magnitude{};
};

struct Steps {
    int base;              // 256 log2 of the step at level 1
    int gamma;             // 1/64
    const int16_t* bands;  // what each band adds
    int log_of(size_t band, uint32_t level) const noexcept {
        // Level 0 has no coefficients; the bounds keep products in their types.
        return std::clamp(base + bands[band] + 3 * gamma * (static_cast<int>(level) - 1), 6 * 256, 30 * 256);
    }
};

// Sums of magnitudes to 12 classes.
inline size_t class_of(uint32_t sum) noexcept {
    static constexpr std::array<uint8_t, 37> kClass = {0, 1, 2, 3, 4, 5, 5, 6, 6, 7, 7, 7, 8, 8, 8, 8, 9, 9, 9,
                                                       9, 9, 9, 9, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 11};
    return kClass[std::min<uint32_t>(sum, 36)];
}

inline size_t clamped(int value, int low, int high) noexcept { return static_cast<size_t>(std::clamp(value, low, high) - low); }

// ---- envelope

template <class Coder>
uint8_t code_level(Coder& coder, const EnvelopeEntries& entries, int predicted, int value) {
    // 0: same; 1: above; then 2 to 8 one more, of those above; 9 to 15 of those below.
    if (coder.decide(entries, 0, value == predicted)) return static_cast<uint8_t>(predicted);
    const bool can_rise = predicted + 1 < static_cast<int>(kLevels), can_fall = predicted > 0;
    const bool above = can_rise && can_fall ? coder.decide(entries, 1, value > predicted) : can_rise;
    const int room = above ? static_cast<int>(kLevels) - 1 - predicted : predicted;
    const int wanted = std::abs(value - predicted);
    int distance = 1;
    for (size_t j = above ? 2 : 9, end = j + 6; distance < room; j += j < end) {
        if (!coder.decide(entries, j, wanted > distance)) break;
        ++distance;
    }
    return static_cast<uint8_t>(above ? predicted + distance : predicted - distance);
}

struct LevelContext {
    EnvelopeEntries entries;
    int predicted;
};

// Of band b, behind the levels below it; `first` are those of the first channel, in the second one, and `before` those
// of the frame before, or null.
inline LevelContext level_context(const AudioTables& tables, const Layout& layout, const uint8_t* level, const uint8_t* first,
                                  const uint8_t* before, size_t b) {
    const int16_t* base = tables.envelope.data() + (before ? kEnvelopeSize : 0);
    const int one = b > 0 ? level[b - 1] : 12, two = b > 1 ? level[b - 2] : one, three = b > 2 ? level[b - 3] : two;
    LevelContext context;
    int predicted = one;
    if (before) predicted = b > 0 ? (2 * before[b] + one + (before[b] - before[b - 1]) + 1) / 3 : before[b];
    context.predicted = predicted = std::clamp(predicted, 0, static_cast<int>(kLevels) - 1);
    const size_t slope = clamped(one - two, -6, 6) * 7 + clamped(two - three, -3, 3);
    size_t time = 0;
    if (before) {
        const int next = b + 1 < layout.bands ? before[b + 1] - before[b] : 0;
        time = clamped(before[b] - predicted, -6, 6) * 7 + clamped(next, -3, 3);
    }
    size_t other = 0;
    if (first) other = 1 + clamped(b > 0 ? first[b] - first[b - 1] : 0, -6, 6) * 13 + clamped(first[b] - predicted, -6, 6);
    const std::array<size_t, 6> at = {2 * b + (first ? 1 : 0), static_cast<size_t>(one), slope, time, other, b * 8 + static_cast<size_t>(one) / 4};
    for (size_t k = 0; k < at.size(); ++k) context.entries.at[k] = base + kEnvelopeStarts[k] + at[k] * kDecisions;
    return context;
}

template <class Coder>
void code_envelope(Coder& coder, const AudioTables& tables, const Layout& layout, Frame& frame, size_t channel, const History& history) {
    auto& level = frame.channel[channel].level;
    const uint8_t* const first = channel ? frame.channel[0].level.data() : nullptr;
    const uint8_t* const before = history.levels ? history.level[channel].data() : nullptr;
    for (size_t b = 0; b < layout.bands; ++b) {
        const LevelContext context = level_context(tables, layout, level.data(), first, before, b);
        level[b] = code_level(coder, context.entries, context.predicted, level[b]);
    }
}

// ---- coefficients

// Whether a band can hold anything but zeros: 3/5 of a step, all in one coefficient, against the band's energy
// at the upper end of its level. Both sides skip the others.
inline bool can_hold(int level_over_step, size_t count) noexcept {
    return 2 * level_over_step + static_cast<int>(log2_256(static_cast<uint32_t>(count))) >= -570;
}

// Codes |q| and its sign; `shift` low bits are raw. False for what no encoder writes.
template <class Coder, class Row>
NARROWS_INLINE bool code_value(Coder& coder, const Row& row, uint32_t shift, int32_t& q) {
    const uint32_t magnitude = static_cast<uint32_t>(std::abs(q)), high = magnitude >> shift;
    uint32_t value = 0;
    while (value < kDecisions - 1 && coder.decide(row, value, high > value)) ++value;
    if (value == kDecisions - 1) {
        // Exp-Golomb of order 1 behind 15 decisions.
        const uint32_t rest = high - value + 2;
        uint32_t bits = Coder::kDecodes ? 1 : static_cast<uint32_t>(std::bit_width(rest)) - 1;
        if constexpr (Coder::kDecodes) {
            while (bits < 25 && coder.raw(0, 1)) ++bits;
            if (bits == 25) return false;
        } else {
            for (uint32_t i = 1; i < bits; ++i) coder.raw(1, 1);
            coder.raw(0, 1);
        }
        value += (1u << bits | coder.raw(rest & ((1u << bits) - 1), bits)) - 2;
    }
    if (value > static_cast<uint32_t>(kMaxQuantized) >> shift) return false;
    if (shift) value = value << shift | coder.raw(magnitude & ((1u << shift) - 1), shift);
    const bool negative = value != 0 && coder.raw(q < 0, 1);
    if constexpr (Coder::kDecodes) q = negative ? -static_cast<int32_t>(value) : static_cast<int32_t>(value);
    return true;
}

// What the envelope says about a channel's coefficients, and what is left to say.
struct Outline {
    std::array<int, kMaxBands> over{};        // 256 log2 of level over step
    std::array<int, kMaxBands> log{};         // and of the level
    std::array<int, kMaxBands> neighbors{};   // context of the levels beside
    std::array<int64_t, kMaxBands> energy{};  // left of the band's, in 1/256 squared step
    std::array<bool, kMaxBands> holds{};      // whether it can hold more than zeros
    std::array<bool, kMaxBands> shaped{};
    // Of each bin of a shaped band: the envelope between band centers over the band's step, in three forms.
    std::array<uint8_t, kMaxSize> fine, coarse, shift;
    std::array<uint32_t, kMaxSize> kind;  // equal where the three are, and the third of the band

    Outline(const Layout& layout, const Steps& steps, const std::array<uint8_t, kMaxBands>& level) {
        for (size_t b = 0; b < layout.bands; ++b) log[b] = level[b] ? level_log(level[b]) : static_cast<int>(kFirstLog - kLevelLog);
        for (size_t b = 0; b < layout.bands; ++b) {
            const size_t count = layout.width(b) * layout.transforms;
            over[b] = log[b] - steps.log_of(b, level[b]);
            holds[b] = level[b] && can_hold(over[b], count);
            if (!holds[b]) continue;
            const int up = b + 1 < layout.bands ? level[b + 1] - level[b] : 0;
            const int down = b > 0 ? level[b - 1] - level[b] : 0;
            neighbors[b] = static_cast<int>(clamped(down, -4, 4) * 9 + clamped(up, -4, 4)) * 3;
            const int twice = 2 * over[b] + 4 * 256;
            energy[b] = twice < 0 ? 0 : static_cast<int64_t>(exp2_16(static_cast<uint32_t>(twice)) * count);
        }
    }

    // Fills in the bins of a band, once.
    void shape(const Layout& layout, size_t b) noexcept {
        if (shaped[b]) return;
        shaped[b] = true;
        for (size_t i = layout.edges[b]; i < layout.edges[b + 1]; ++i) {
            const size_t near = layout.below[i];
            const int rise = near + 1 < layout.bands ? log[near + 1] - log[near] : 0;
            const int smooth = over[b] - log[b] + log[near] + (rise * layout.weight[i] >> 8);
            fine[i] = static_cast<uint8_t>(clamped((smooth + 4 * 256) >> 6, 0, 63));
            coarse[i] = static_cast<uint8_t>(clamped((smooth + 3 * 256) / 192, 0, 15));
            shift[i] = static_cast<uint8_t>(std::clamp((smooth >> 8) - 2, 0, 12));
            kind[i] = uint32_t{fine[i]} << 16 | uint32_t{coarse[i]} << 8 | layout.third[i];
        }
    }
};

// The magnitudes that contexts look at: of this transform below bin i, of the one before around it, of the other
// channel's.
struct Nearby {
    const uint16_t *own, *before, *other;  // at bin 0; `other` may be null
};

// Where the coefficients of one band of one transform find their table entries.
template <bool kBefore, bool kOther>
struct Contexts {
    const int16_t* base;
    const Layout& layout;
    const Outline& outline;
    const Nearby nearby;
    const size_t place, beside_levels;

    NARROWS_INLINE CoefficientEntries at(size_t i, int spare) const noexcept {
        const auto entry = [this](size_t table, size_t context) { return base + kCoefficientStarts[table] + context * kDecisions; };
        const auto c3 = [](uint32_t v) { return size_t{std::min(v, 2u)}; };
        const uint32_t shift = outline.shift[i];
        const size_t coarse = outline.coarse[i];
        const auto m = [shift](uint16_t v) { return uint32_t{v} >> shift; };
        const uint16_t* const a = nearby.own + i;
        const uint32_t a1 = m(a[-1]), a2 = m(a[-2]), near_own = 2 * a1 + a2, wide_own = a1 + a2 + m(a[-3]) + m(a[-4]);
        uint32_t p0 = 0, p1 = 0, p_1 = 0, wide_before = 0;
        if constexpr (kBefore) {
            const uint16_t* const p = nearby.before + i;
            p0 = m(p[0]);
            p1 = m(p[1]);
            p_1 = m(p[-1]);
            wide_before = p0 + p1 + p_1 + m(p[2]) + m(p[-2]);
        }
        const uint32_t near_before = 2 * p0 + p1 + p_1;
        size_t beside = 0;
        if constexpr (kOther) {
            const uint16_t* const o = nearby.other + i;
            beside = 1 + class_of(2 * m(o[0]) + m(o[1]) + m(o[-1])) * 8 + coarse / 2;
        }
        return {{
            entry(0, outline.fine[i]),
            entry(1, std::min<size_t>(static_cast<size_t>(spare) >> 7, 63)),
            entry(2, class_of(near_own) * 12 + class_of(near_before)),
            entry(3, class_of(wide_own) * 12 + class_of(wide_before)),
            entry(4, coarse * 12 + class_of(near_own + near_before)),
            entry(5, place + coarse / 2),
            entry(6, beside_levels + layout.third[i]),
            entry(7, beside),
            entry(8, (((c3(a1) * 3 + c3(a2)) * 3 + c3(p0)) * 3 + c3(p_1)) * 3 + c3(p1)),
        }};
    }
    // What neighbors in the spectrum share: the tables that see no magnitude.
    Lanes shared(const CoefficientEntries& entries) const noexcept {
        const Lanes sum = lanes_at(entries.at[0]) + lanes_at(entries.at[5]) + lanes_at(entries.at[6]);
        return kOther ? sum : sum + lanes_at(entries.at[7]);
    }
    NARROWS_INLINE Lanes others(const CoefficientEntries& entries) const noexcept {
        const Lanes sum = lanes_at(entries.at[1]) + lanes_at(entries.at[2]) + lanes_at(entries.at[3]) + lanes_at(entries.at[4]) +
                          lanes_at(entries.at[8]);
        return kOther ? sum + lanes_at(entries.at[7]) : sum;
    }
    // The first decisions together; the rest, which hardly any coefficient reaches, from the entries again.
    struct Row {
        const Contexts& contexts;
        size_t i;
        int spare;
        Lanes places;
        NARROWS_INLINE uint32_t chance(size_t decision) const noexcept {
            if (decision >= kLanes) [[unlikely]] return contexts.late(i, spare, decision);
            return kLogistic.squash[place(decision)];
        }
        // Of one of the first: where its probability stands.
        NARROWS_INLINE size_t place(size_t decision) const noexcept {
            uint16_t at[kLanes];
            std::memcpy(at, &places, sizeof at);
            return at[decision];
        }
        CoefficientEntries entries() const noexcept { return contexts.at(i, spare); }
    };
    [[gnu::noinline]] uint32_t late(size_t i, int spare, size_t decision) const noexcept { return probability(at(i, spare).logit(decision)); }
};

// The coefficients of one band of one transform.
template <bool kBefore, bool kOther, class Coder>
bool code_band(Coder& shared_coder, const int16_t* base, const Layout& layout, Outline& outline, size_t band, size_t t, const Nearby& nearby,
               uint16_t* own, int32_t* q) {
    const size_t begin = layout.edges[band], end = layout.edges[band + 1];
    const Contexts<kBefore, kOther> contexts{base, layout, outline, nearby, (band * 2 + t) * 8, static_cast<size_t>(outline.neighbors[band])};
    size_t left = layout.width(band) * (layout.transforms - t);
    int64_t energy = outline.energy[band];
    int mean = energy > 0 ? static_cast<int>(log2_256_wide(static_cast<uint64_t>(energy))) : 0;
    Coder coder = std::move(shared_coder);  // a local one stays in registers
    uint32_t kind = ~0u;
    Lanes shared{};
    bool sound = true;
    for (size_t i = begin; i < end; ++i, --left) {
        const int spare = std::max(0, mean - static_cast<int>(log2_256(static_cast<uint32_t>(left))));
        const CoefficientEntries entries = contexts.at(i, spare);
        if (outline.kind[i] != kind) {
            kind = outline.kind[i];
            shared = contexts.shared(entries);
        }
        const typename Contexts<kBefore, kOther>::Row row{contexts, i, spare, places_of(shared + contexts.others(entries))};
        int32_t value = q[i];
        if constexpr (Coder::kChooses) {
            value = coder.choose(row, outline.shift[i], t * layout.size + i, value);
            q[i] = value;
        }
        sound = code_value(coder, row, outline.shift[i], value);
        if (!sound) break;
        if constexpr (Coder::kDecodes) q[i] = value;
        if (value == 0) continue;
        const uint32_t magnitude = static_cast<uint32_t>(std::abs(value));
        own[i] = static_cast<uint16_t>(std::min(magnitude, 65535u));
        energy = std::max<int64_t>(0, energy - (int64_t{magnitude} * magnitude << 8));
        mean = energy > 0 ? static_cast<int>(log2_256_wide(static_cast<uint64_t>(energy))) : 0;
    }
    shared_coder = std::move(coder);
    outline.energy[band] = energy;
    return sound;
}

// How many coefficients of a band are not zero, up to 3.
inline size_t filled(const uint16_t* magnitudes, const Layout& layout, size_t band) noexcept {
    size_t count = 0;
    for (size_t i = layout.edges[band]; i < layout.edges[band + 1] && count < 3; ++i) count += magnitudes[i] != 0;
    return count;
}

template <class Coder>
bool code_coefficients(Coder& coder, const AudioTables& tables, const Layout& layout, const Steps& steps, Frame& frame, size_t channel,
                       std::array<std::array<Magnitudes, kMaxTransforms>, 2>& magnitudes, const History& history) {
    static constexpr Magnitudes kNone{};
    Channel& data = frame.channel[channel];
    Outline outline(layout, steps, data.level);
    if constexpr (Coder::kChooses) coder.begin_channel(channel);
    const size_t split = frame.transient ? layout.splits : 0;
    for (size_t t = 0; t < layout.transforms; ++t) {
        Magnitudes& all = magnitudes[channel][t];
        all.fill(0);
        uint16_t* const own = all.data() + kPad;
        const bool previous = t > 0 || history.magnitudes;
        const size_t set = split ? kTransientSet : previous ? kWithPrevious : kAlone;
        const uint16_t* const earlier = t > 0 ? magnitudes[channel][t - 1].data() + kPad
                                        : history.magnitudes ? history.magnitude[channel].data() + kPad
                                                             : kNone.data() + kPad;
        const Nearby nearby{own, split ? own - split : earlier, channel ? magnitudes[0][t].data() + kPad : nullptr};
        const int16_t* const base = tables.coefficients.data() + set * kCoefficientSize;
        const int16_t* const band_base = tables.bands.data() + set * kBandSize;
        int32_t* const q = data.q.data() + t * layout.size;
        size_t below = 0;
        for (size_t b = 0; b < layout.bands; ++b) {
            bool some = outline.holds[b];
            [[maybe_unused]] BandEntries entries;
            if (some) {
                // Whether the band has more than zeros.
                if constexpr (!Coder::kDecodes) {
                    int32_t any = 0;
                    for (size_t i = layout.edges[b]; i < layout.edges[b + 1]; ++i) any |= q[i];
                    some = any != 0;
                }
                const int total = 2 * outline.over[b] + static_cast<int>(log2_256(static_cast<uint32_t>(layout.width(b))));
                const size_t before = split ? 0 : filled(earlier, layout, b);
                const size_t other = nearby.other ? 1 + filled(nearby.other, layout, b) : 0;
                entries.at = {band_base + kBandStarts[0] + clamped((total + 640) >> 6, 0, 47),
                              band_base + kBandStarts[1] + ((b * 2 + t) * 4 + below),
                              band_base + kBandStarts[2] + ((before * 4 + below) * 5 + other),
                              band_base + kBandStarts[3] + static_cast<size_t>(outline.neighbors[b] / 3)};
                if constexpr (Coder::kChooses) {
                    if (some) coder.begin_band(entries, layout.width(b));
                    else coder.decide(entries, 0, false);
                } else {
                    some = coder.decide(entries, 0, some);
                }
            }
            if (!some) {
                if constexpr (Coder::kDecodes) std::fill(q + layout.edges[b], q + layout.edges[b + 1], 0);
                below = 0;
                continue;
            }
            outline.shape(layout, b);
            [[maybe_unused]] const int64_t energy = outline.energy[b];
            // `split` bins below there is always something to look at.
            const bool has_before = split || previous;
            const bool sound = nearby.other ? has_before ? code_band<true, true>(coder, base, layout, outline, b, t, nearby, own, q)
                                                         : code_band<false, true>(coder, base, layout, outline, b, t, nearby, own, q)
                               : has_before ? code_band<true, false>(coder, base, layout, outline, b, t, nearby, own, q)
                                            : code_band<false, false>(coder, base, layout, outline, b, t, nearby, own, q);
            if (!sound) return false;
            if constexpr (Coder::kChooses) {
                if (!coder.end_band(entries)) {
                    std::fill(q + layout.edges[b], q + layout.edges[b + 1], 0);
                    std::fill(own + layout.edges[b], own + layout.edges[b + 1], uint16_t{0});
                    outline.energy[b] = energy;
                }
            }
            below = filled(own, layout, b);
        }
    }
    return true;
}

// ---- frame

// False if the data cannot be a frame; only a decoder can meet that.
template <class Coder>
bool code_frame(Coder& coder, const AudioTables& tables, const Layout& layout, const Steps& steps, Frame& frame, History& history) {
    const size_t before = history.levels ? 1 + size_t{history.silent} : 0;
    frame.silent = coder.flag(tables, kSilent + before, frame.silent);
    history.silent = frame.silent;
    if (frame.silent) {
        for (size_t c = 0; c < frame.channels; ++c) {
            frame.channel[c].level.fill(0);
            frame.channel[c].q.fill(0);
            history.level[c].fill(0);
            history.magnitude[c].fill(0);
        }
        frame.transient = false;
        history.levels = history.magnitudes = true;
        return true;
    }
    frame.transient = layout.splits && coder.flag(tables, kTransient, frame.transient);
    if (frame.channels == 2) {
        for (size_t b = 0; b < layout.bands; ++b) {
            const size_t which = b > 0 ? 1 + size_t{frame.stereo[b - 1]} : 0;
            frame.stereo[b] = coder.flag(tables, kStereo + which, frame.stereo[b] != 0);
        }
    }
    for (size_t c = 0; c < frame.channels; ++c) code_envelope(coder, tables, layout, frame, c, history);
    std::array<std::array<Magnitudes, kMaxTransforms>, 2> magnitudes;
    for (size_t c = 0; c < frame.channels; ++c) {
        if (!code_coefficients(coder, tables, layout, steps, frame, c, magnitudes, history)) return false;
    }
    for (size_t c = 0; c < frame.channels; ++c) {
        history.level[c] = frame.channel[c].level;
        history.magnitude[c] = magnitudes[c][layout.transforms - 1];
    }
    history.levels = true;
    history.magnitudes = !frame.transient;
    return true;
}

// The packet's head: how many frames, and the step.
template <class Coder>
void code_head(Coder& coder, const AudioTables& tables, uint32_t packet_frames, bool varying, uint32_t& frames, int& offset) {
    if (packet_frames > 1 && !coder.flag(tables, kFull, frames == packet_frames)) frames = coder.raw(frames, 8);
    else frames = packet_frames;
    if (!varying) {
        offset = 0;
        return;
    }
    if (coder.flag(tables, kStepZero, offset == 0)) {
        offset = 0;
        return;
    }
    const bool negative = coder.flag(tables, kStepSign, offset < 0);
    const int wanted = std::abs(offset);
    int distance = 1;
    while (distance < 128 && coder.flag(tables, kStepMore + std::min<size_t>(static_cast<size_t>(distance) - 1, 29), wanted > distance)) ++distance;
    offset = negative ? -distance : distance;
}

}  // namespace narrows::audio
