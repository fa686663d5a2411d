// How graphics.cpp predicts and codes a pixel. Encoder and decoder run the same code: `Coder::bit(bit, p1)`
// writes the bit it is given, or ignores that and returns the one it reads.
#pragma once

#include <bit>
#include <cstdlib>

#include "narrows/mixing.hpp"
#include "narrows/range.hpp"

namespace narrows::graphics {

class BitWriter {
   public:
    uint32_t bit(uint32_t value, uint32_t p1) {
        encoder.encode_bit(value, coder_probability(p1));
        return value;
    }
    RangeEncoder encoder;
};

class BitReader {
   public:
    explicit BitReader(std::span<const uint8_t> payload) : decoder(payload) {}
    uint32_t bit(uint32_t, uint32_t p1) noexcept { return decoder.decode_bit(coder_probability(p1)); }
    RangeDecoder decoder;
};

// A pixel: up to four channels of 16 bits, or a palette index.
using Color = uint64_t;

inline uint32_t channel_of(Color color, uint32_t channel) noexcept { return color >> (16 * channel) & 0xFFFF; }

// Codes unsigned numbers in few bits when small, each `kind` with its own statistics.
class NumberCoder {
   public:
    template <class Coder>
    uint32_t code(Coder& coder, uint32_t value, uint32_t kind, uint32_t max_bits) {
        Model& model = models_[kind];
        const uint32_t wanted = static_cast<uint32_t>(std::bit_width(value));
        uint32_t bits = 0;
        while (bits < max_bits && bit(coder, bits < wanted, model.length[bits])) ++bits;
        if (bits < 2) return bits;
        uint32_t result = 1;
        for (uint32_t i = bits - 1; i-- > 0;)
            result = result << 1 | bit(coder, value >> i & 1, model.mantissa[bits][i]);
        return result;
    }

   private:
    template <class Coder>
    static uint32_t bit(Coder& coder, uint32_t value, AdaptiveProbability& p) {
        const uint32_t b = coder.bit(value, p.p1());
        p.update(b, 60);
        return b;
    }
    struct Model {
        std::array<AdaptiveProbability, 20> length;
        std::array<std::array<AdaptiveProbability, 20>, 20> mantissa;
    };
    std::array<Model, 8> models_;
};

// One binary decision by N guesses, two weight sets and a refinement.
template <size_t N>
class Decision {
   public:
    Decision(size_t contexts_a, size_t contexts_b, size_t contexts_refined, int start)
        : a_(contexts_a, start), b_(contexts_b, start), refiner_(contexts_refined) {}

    void history(size_t i, HistoryMap& map, uint8_t& state) noexcept {
        states_[i] = &state;
        direct(i, map[state]);
    }
    void direct(size_t i, AdaptiveProbability& p) noexcept {
        guesses_[i] = &p;
        inputs_[i] = static_cast<int16_t>(stretch(p.p1()));
    }
    // Inputs [0, histories) are histories, those up to `used` direct.
    template <class Coder>
    uint32_t code(Coder& coder, uint32_t bit, size_t a, size_t b, size_t refined, size_t histories, size_t used) {
        const int mixed = (a_.mix(inputs_, a) + b_.mix(inputs_, b)) >> 1;
        const uint32_t p1 = (squash(mixed) + refiner_.refine(mixed, refined)) >> 1;
        bit = coder.bit(bit, p1);
        a_.update(inputs_, bit, 12);
        b_.update(inputs_, bit, 12);
        refiner_.update(bit, 6);
        for (size_t i = 0; i < used; ++i) guesses_[i]->update(bit, 1023);
        for (size_t i = 0; i < histories; ++i) {
            uint8_t& state = *states_[i];
            state = kHistory.next[state][bit];
        }
        return bit;
    }

   private:
    Mixer<N> a_, b_;
    Refiner refiner_;
    typename Mixer<N>::Inputs inputs_{};
    std::array<AdaptiveProbability*, N> guesses_{};
    std::array<uint8_t*, N> states_{};
};

// A linear prediction from differences to a first guess, whose weights follow the error (normalized least mean
// squares, Widrow 1960; in integers).
class Slope {
   public:
    static constexpr size_t kTerms = 12;
    using Terms = std::array<int32_t, kTerms>;
    // What to add to the first guess, in 1/16; |terms| < 2^17.
    int predict(const Terms& terms) noexcept {
        int64_t sum = 0;
        for (size_t i = 0; i < kTerms; ++i) sum += int64_t{weights_[i]} * terms[i];
        return static_cast<int>(std::clamp<int64_t>(sum >> 14, -(1 << 21), 1 << 21));
    }
    // `error` in 1/16: what predict fell short of.
    void learn(const Terms& terms, int error) noexcept {
        int64_t energy = 64;
        for (const int32_t t : terms) energy += int64_t{t} * t;
        const int64_t step = (int64_t{error} << kRate) / energy;
        for (size_t i = 0; i < kTerms; ++i)
            weights_[i] = static_cast<int32_t>(
                std::clamp<int64_t>(weights_[i] + ((step * terms[i] + (1 << 9)) >> 10), -(1 << 22), 1 << 22));
    }

   private:
    static constexpr int kRate = 18;
    std::array<int32_t, kTerms> weights_{};  // 1.0 = 2^18
};

struct Profile {
    uint32_t channels;  // of the pixels coded; 1 for a palette
    uint32_t bits;      // of a channel or an index
    bool palette;       // indices, whose differences mean nothing
    bool repeats;       // whether to guess whole pixels first
};

// Pixels around the current one, nearest first.
enum Place : size_t { kW, kN, kNW, kNE, kWW, kNN, kNNE, kNEE, kNWW, kNNW, kWWW, kNNN, kPlaces };

inline constexpr uint32_t kBorder = 4;
inline constexpr uint32_t kRows = 4;

// What followed each neighborhood when it was last seen.
class Recall {
   public:
    explicit Recall(uint32_t bits) : shift_(64 - bits), entries_(size_t{1} << bits) {}
    struct Entry {
        uint32_t check = 0;
        uint32_t hits = 0;  // in a row; 0 for an entry of another neighborhood
        Color color = 0;
    };
    Entry& at(uint64_t hash) noexcept {
        Entry& entry = entries_[static_cast<size_t>(hash >> shift_)];
        const uint32_t check = static_cast<uint32_t>(hash) | 1;
        if (entry.check != check) entry = {check, 0, 0};
        return entry;
    }
    static void learn(Entry& entry, Color color) noexcept {
        entry.hits = entry.hits > 0 && entry.color == color ? std::min(entry.hits + 1, 255u) : 1;
        entry.color = color;
    }

   private:
    uint32_t shift_;
    std::vector<Entry> entries_;
};

template <class Coder>
class PixelCoder {
   public:
    PixelCoder(Coder& coder, const Profile& profile, uint32_t width, size_t num_pixels)
        : coder_(coder),
          profile_(profile),
          few_(profile.palette && profile.bits <= 4),
          width_(width),
          stride_(width + 2 * kBorder),
          colors_(size_t{stride_} * kRows),
          hits_(size_t{stride_} * kRows),
          errors_(size_t{stride_} * kRows * 4),
          slots_(
              std::clamp<uint32_t>(static_cast<uint32_t>(std::bit_width(num_pixels * profile.channels)) + 5, 16, 24)),
          long_(profile.repeats ? 16 : 1),
          middle_(profile.repeats ? 16 : 1),
          short_(profile.repeats ? 16 : 1),
          flag_direct_(kCandidates * 5 * 5 * 16),
          flag_hits_(kCandidates * 7 * 7 * 7 * 7),
          flag_(kCandidates * 25, kCandidates * 49, kCandidates * 16, 6000),
          value_(4 * 32 * 16, 4 * 32 * 16, 4 * 32 * 16, 4000),
          zero_order_(4 * 16 * 32) {}

    // Codes the next row: reads `row` when encoding, fills it when decoding.
    void row(Color* row) {
        const size_t above = y_ % kRows;
        ++y_;
        const size_t now = y_ % kRows;
        Color* colors = &colors_[now * stride_ + kBorder];
        const Color* north = &colors_[above * stride_ + kBorder];
        for (size_t i = 1; i <= kBorder; ++i) colors[-static_cast<ptrdiff_t>(i)] = north[0];
        const Color* lines[4];
        for (size_t i = 0; i < 4; ++i) lines[i] = &colors_[((y_ + kRows - i) % kRows) * stride_ + kBorder];
        hit_ = &hits_[now * stride_ + kBorder];
        north_hit_ = &hits_[above * stride_ + kBorder];
        error_ = &errors_[(now * stride_ + kBorder) * 4];
        north_error_ = &errors_[(above * stride_ + kBorder) * 4];
        for (size_t x = 0; x < width_; ++x) {
            const Color* n = lines[1] + x;
            const Color* nn = lines[2] + x;
            const Color* w = lines[0] + x;
            at_ = {w[-1], n[0], n[-1], n[1], w[-2], nn[0], nn[1], n[2], n[-2], nn[-1], w[-3], lines[3][x]};
            if (few_) {
                const Color* nnn = lines[3] + x;
                wide_ = 0;
                for (const Color c : {w[-4], n[-3], n[3], nn[-2], nn[2], nnn[-1], nnn[1]})
                    wide_ = (wide_ + c + 1) * 0x9E3779B97F4A7C15u;
            }
            colors[x] = row[x] = pixel(row[x]);
            ++hit_, ++north_hit_, error_ += 4, north_error_ += 4;
        }
        for (size_t i = 0; i < kBorder; ++i) {
            colors[width_ + i] = colors[width_ - 1];
            hit_[i] = hit_[-1];
            for (size_t k = 0; k < 4; ++k) error_[4 * i + k] = error_[k - 4];
        }
    }

   private:
    static constexpr size_t kCandidates = 4;
    enum Hit : uint8_t { kFlat = 0, kMissed = 6 };  // between: 1 + the number of the candidate

    Color pixel(Color actual) {
        const Color w = at_[kW];
        const bool flat = w == at_[kN] && w == at_[kNW] && w == at_[kNE] && w == at_[kWW] && w == at_[kNN];
        if (flat) {
            const size_t context = std::min<size_t>(static_cast<size_t>(std::bit_width(run_)), 15) << 4 |
                                   size_t{w == at_[kNNE]} << 3 | size_t{w == at_[kNEE]} << 2 |
                                   size_t{w == at_[kWWW]} << 1 | size_t{w == at_[kNNN]};
            AdaptiveProbability& p = flat_[context];
            const uint32_t same = coder_.bit(actual == w, p.p1());
            p.update(same, 1023);
            if (same) {
                ++run_;
                *hit_ = kFlat;
                std::fill_n(error_, 4, int16_t{0});
                return w;
            }
        }
        run_ = 0;
        hash_neighborhoods();
        if (profile_.repeats) return busy(actual, flat);
        *hit_ = kMissed;
        return rest(actual);
    }

    // A pixel of which the neighborhood says little, or whose neighborhood was flat but which differs (`differs`).
    Color busy(Color actual, bool differs) {
        Recall::Entry& recalled_all = long_.at(all_);
        Recall::Entry& recalled_six = middle_.at(six_);
        Recall::Entry& recalled_two = short_.at(two_);
        std::array<Color, kCandidates> candidates;
        size_t num_candidates = 0;
        const auto propose = [&](Color color) {
            if (num_candidates == kCandidates || (differs && color == at_[kW])) return;
            for (size_t i = 0; i < num_candidates; ++i)
                if (candidates[i] == color) return;
            candidates[num_candidates++] = color;
        };
        if (recalled_all.hits) propose(recalled_all.color);
        if (recalled_six.hits) propose(recalled_six.color);
        if (recalled_two.hits) propose(recalled_two.color);
        if (!profile_.palette) propose(gradient());
        propose(at_[kW]);
        propose(at_[kN]);
        propose(at_[kNE]);
        propose(at_[kNW]);

        const size_t sure_all = bucket(recalled_all.hits), sure_six = bucket(recalled_six.hits);
        const uint32_t hit_w = hit_[-1], hit_n = north_hit_[0], hit_nw = north_hit_[-1], hit_ne = north_hit_[1];
        const std::array<uint32_t, 5> hashes = {
            static_cast<uint32_t>(all_ >> 32), static_cast<uint32_t>(six_ >> 32) + 1,
            static_cast<uint32_t>(four_ >> 32) + 2, static_cast<uint32_t>(two_ >> 32) + 3,
            mix_hash(static_cast<uint32_t>(spread(candidates[0]) >> 32),
                     4 + static_cast<uint32_t>(spread(at_[kW]) >> 40 << 8))};
        std::array<uint8_t*, 5> found;
        for (const uint32_t hash : hashes) slots_.prefetch(hash);
        for (size_t i = 0; i < 5; ++i) found[i] = slots_.find(hashes[i]);
        Color color = 0;
        bool hit = false;
        for (size_t j = 0; j < num_candidates && !hit; ++j) {
            const Color c = candidates[j];
            const size_t like = size_t{c == at_[kW]} | size_t{c == at_[kN]} << 1 | size_t{c == at_[kNE]} << 2 |
                                size_t{c == at_[kNW]} << 3;
            for (size_t i = 0; i < 5; ++i) flag_.history(i, flag_maps_[i][j], found[i][j]);
            flag_.direct(5, flag_direct_[((j * 5 + sure_all) * 5 + sure_six) * 16 + like]);
            flag_.direct(6, flag_hits_[(((j * 7 + hit_w) * 7 + hit_n) * 7 + hit_nw) * 7 + hit_ne]);
            flag_.direct(7, flag_order_[j * 2 + differs]);
            hit = flag_.code(coder_, actual == c, (j * 5 + sure_all) * 5 + sure_six, (j * 7 + hit_w) * 7 + hit_n,
                             j * 16 + like, 5, 8) != 0;
            if (hit) {
                color = c;
                *hit_ = static_cast<uint8_t>(1 + j);
                std::fill_n(error_, 4, int16_t{0});
            }
        }
        if (!hit) {
            *hit_ = kMissed;
            color = rest(actual);
        }
        Recall::learn(recalled_all, color);
        Recall::learn(recalled_six, color);
        Recall::learn(recalled_two, color);
        return color;
    }

    // Hashes of the nearest two, four, six and all neighbors: sums, so that they share the products.
    void hash_neighborhoods() noexcept {
        static constexpr std::array<uint64_t, kPlaces> kFactor = {
            0x9E3779B97F4A7C15u, 0xBF58476D1CE4E5B9u, 0x94D049BB133111EBu, 0xD1B54A32D192ED03u,
            0xAEF17502108EF2D9u, 0xC2B2AE3D27D4EB4Fu, 0x165667B19E3779F9u, 0x85EBCA77C2B2AE63u,
            0x27D4EB2F165667C5u, 0xFF51AFD7ED558CCDu, 0xC4CEB9FE1A85EC53u, 0x2545F4914F6CDD1Du};
        std::array<uint64_t, kPlaces> term;
        for (size_t i = 0; i < kPlaces; ++i) term[i] = (at_[i] + i + 1) * kFactor[i];
        two_ = term[kW] + term[kN];
        four_ = two_ + term[kNW] + term[kNE];
        six_ = four_ + term[kWW] + term[kNN];
        all_ = six_;
        for (size_t i = kNNE; i < kPlaces; ++i) all_ += term[i];
        two_ = spread(two_), four_ = spread(four_), six_ = spread(six_), all_ = spread(all_);
    }

    static uint64_t spread(uint64_t h) noexcept { return (h ^ h >> 32) * 0xD6E8FEB86659FD93u; }
    static size_t bucket(uint32_t hits) noexcept { return hits < 3 ? hits : hits < 8 ? 3 : 4; }

    // The pixel that would go on with the slope, channel by channel.
    Color gradient() const noexcept {
        Color color = 0;
        for (uint32_t c = 0; c < profile_.channels; ++c)
            color |= Color{static_cast<uint32_t>(median_edge(at(kW, c), at(kN, c), at(kNW, c)))} << (16 * c);
        return color;
    }

    // A pixel that none of the guesses was.
    Color rest(Color actual) {
        if (profile_.palette) return index(actual);
        static constexpr uint8_t kOrder[4][4] = {{0}, {1, 0}, {1, 0, 2}, {3, 1, 0, 2}};
        Color color = 0;
        for (uint32_t k = 0; k < profile_.channels; ++k) {
            const uint32_t channel = kOrder[profile_.channels - 1][k];
            color |= Color{sample(channel_of(actual, channel), color, channel, k)} << (16 * channel);
        }
        return color;
    }

    // A palette index: a tree of its bits, four a slot.
    Color index(Color actual) {
        const uint32_t w = static_cast<uint32_t>(at_[kW]), n = static_cast<uint32_t>(at_[kN]);
        const uint32_t nw = static_cast<uint32_t>(at_[kNW]), ne = static_cast<uint32_t>(at_[kNE]);
        const uint32_t ww = static_cast<uint32_t>(at_[kWW]), nn = static_cast<uint32_t>(at_[kNN]);
        const uint32_t nee = static_cast<uint32_t>(at_[kNEE]);
        std::array<uint32_t, kValueHistories> hashes = {
            static_cast<uint32_t>(four_ >> 32) + 16,
            static_cast<uint32_t>(six_ >> 32) + 17,
            mix_hash(w | n << 16, 3),
            mix_hash(w | nw << 16, 4),
            mix_hash(n | ne << 16, 5),
            few_ ? mix_hash(static_cast<uint32_t>(spread(all_ + wide_) >> 32), 6) : mix_hash(w | ww << 16, 6),
            mix_hash(n | nn << 16, 7),
            mix_hash(w, 8),
            mix_hash(n, 9),
            mix_hash((w + n) >> 3 | (w - nw + 512) >> 3 << 16, 10),
            few_ ? static_cast<uint32_t>(all_ >> 32) + 18 : mix_hash((w + n + ne + nw + 2) >> 2, 11 | nee >> 4 << 16),
        };
        const uint32_t bits = profile_.bits;
        uint32_t value = 1;
        std::array<uint8_t*, kValueHistories> found;
        for (uint32_t at = 0; at < bits; ++at) {
            if (at % 4 == 0) {
                for (size_t i = 0; i < kValueHistories; ++i) {
                    hashes[i] = at == 0 ? hashes[i] : mix_hash(hashes[i], value);
                    slots_.prefetch(hashes[i]);
                }
                for (size_t i = 0; i < kValueHistories; ++i) found[i] = slots_.find(hashes[i]);
            }
            const uint32_t node = (1u << at % 4) - 1 + (value & ((1u << at % 4) - 1));
            for (size_t i = 0; i < kValueHistories; ++i) value_.history(i, value_maps_[i][0], found[i][node]);
            value_.direct(kValueHistories, zero_order_[value & 511]);
            const uint32_t bit = value_.code(coder_, actual >> (bits - 1 - at) & 1, value & 511, (w & 255) << 3 | at,
                                             value & 511, kValueHistories, kValueHistories + 1);
            value = value << 1 | bit;
        }
        return value - (1u << bits);
    }

    int at(Place place, uint32_t channel) const noexcept { return static_cast<int>(channel_of(at_[place], channel)); }
    static int median_edge(int w, int n, int nw) noexcept {
        return std::clamp(w + n - nw, std::min(w, n), std::max(w, n));
    }
    // 0, 1, 2, 3-4, 5-8 ...: 0 to 16.
    static uint32_t size_class(int x) noexcept {
        return static_cast<uint32_t>(std::bit_width(static_cast<uint32_t>(std::abs(x))));
    }

    // A channel's sample as its difference from a prediction; `color` has the channels coded so far.
    uint32_t sample(uint32_t actual, Color color, uint32_t channel, uint32_t k) {
        const bool from_green = profile_.channels >= 3 && (channel == 0 || channel == 2);
        const int peak = static_cast<int>((1u << profile_.bits) - 1);
        int w = at(kW, channel), n = at(kN, channel), nw = at(kNW, channel), ne = at(kNE, channel);
        int ww = at(kWW, channel), nn = at(kNN, channel);
        const int w0 = w, n0 = n;
        int base = 0;
        if (from_green) {
            base = static_cast<int>(channel_of(color, 1));
            w -= at(kW, 1), n -= at(kN, 1), nw -= at(kNW, 1), ne -= at(kNE, 1), ww -= at(kWW, 1), nn -= at(kNN, 1);
        }
        int guess = std::clamp(base + median_edge(w, n, nw), 0, peak);
        Slope::Terms terms{};
        int first = 0, slope = 0;
        if (!profile_.repeats) {
            first = median_edge(w, n, nw);
            const int nne = at(kNNE, channel) - (from_green ? at(kNNE, 1) : 0);
            const int nee = at(kNEE, channel) - (from_green ? at(kNEE, 1) : 0);
            const int nww = at(kNWW, channel) - (from_green ? at(kNWW, 1) : 0);
            const int nnw = at(kNNW, channel) - (from_green ? at(kNNW, 1) : 0);
            terms = {w - first,
                     n - first,
                     nw - first,
                     ne - first,
                     ww - first,
                     nn - first,
                     nne - first,
                     nee - first,
                     nww - first,
                     nnw - first,
                     k > 0 ? surprise_[k - 1] : 0,
                     k > 1 ? surprise_[k - 2] : 0};
            slope = slopes_[k].predict(terms);
            guess = std::clamp(base + first + ((slope + 8) >> 4), 0, peak);
        }
        const int smooth = (w + n + 1) >> 1;
        const uint32_t g = static_cast<uint32_t>(guess);
        const uint32_t salt = k << 8;
        const uint32_t before = k == 0 ? 0 : mix_hash(static_cast<uint32_t>(color), static_cast<uint32_t>(color >> 32));
        const uint32_t energy = size_class(w - nw) + size_class(n - nw) + size_class(ne - n);
        const int ew = error_[-4 + static_cast<ptrdiff_t>(k)], en = north_error_[k],
                  enw = north_error_[-4 + static_cast<ptrdiff_t>(k)], ene = north_error_[4 + k];
        const int last = k > 0 ? error_[k - 1] : 0, last2 = k > 1 ? error_[k - 2] : 0;
        const auto q = [](int x) {
            return static_cast<uint32_t>(x < 0 ? 16 - static_cast<int>(size_class(x))
                                               : 16 + static_cast<int>(size_class(x)));
        };
        std::array<uint32_t, kValueHistories> hashes = {
            mix_hash(static_cast<uint32_t>(two_ >> 32) ^ g * 0x9E3779B1u, 1 | salt),
            mix_hash(before ^ g * 0x9E3779B1u, 2 | salt | static_cast<uint32_t>(w0) << 16),
            mix_hash(before ^ g * 0x9E3779B1u, 3 | salt),
            mix_hash(g << 16 | static_cast<uint32_t>(w0), static_cast<uint32_t>(n0) << 16 | 4 | salt),
            mix_hash(size_class(w - nw) << 10 | size_class(n - nw) << 5 | size_class(ne - n), 5 | salt | q(last) << 16),
            mix_hash(static_cast<uint32_t>(last + 65536), 6 | salt | (static_cast<uint32_t>(last2 + 65536) << 12)),
            mix_hash(q(ew) << 18 | q(en) << 12 | q(enw) << 6 | q(ene), 7 | salt),
            mix_hash(g, 8 | salt | q(w - nw) << 16),
            mix_hash(q(smooth - median_edge(w, n, nw)) << 6 | q(w + ne - n - median_edge(w, n, nw)),
                     9 | salt | energy << 16),
            mix_hash(static_cast<uint32_t>(four_ >> 32) ^ g * 0x9E3779B1u, 10 | salt),
            mix_hash(q(n - nn) << 12 | q(w - ww) << 6 | q(last),
                     11 | salt | std::min(size_class(ew) + size_class(en), 15u) << 16),
        };
        if (!profile_.repeats) {
            const int d = base - guess;
            const auto r = [](int x) {
                return static_cast<uint32_t>(x < 0 ? 8 - static_cast<int>((size_class(x) + 1) / 2)
                                                   : 8 + static_cast<int>((size_class(x) + 1) / 2));
            };
            hashes[0] = mix_hash(q(w + d) << 18 | q(n + d) << 12 | r(nw + d) << 6 | r(ne + d), 1 | salt);
            hashes[1] = mix_hash(q(last) << 12 | q(last2) << 6 | energy / 2, 2 | salt);
            hashes[2] = mix_hash(g >> (profile_.bits > 6 ? profile_.bits - 6 : 0), 3 | salt | q(ew) << 16);
            hashes[3] = mix_hash(q(first + d) << 12 | q(last) << 6 | static_cast<uint32_t>(slope & 15), 4 | salt);
            hashes[9] = mix_hash(q(2 * n - nn + d) << 12 | q(2 * w - ww + d) << 6 | q(w + ne - n + d), 10 | salt);
        }
        for (const uint32_t hash : hashes) slots_.prefetch(hash);
        for (size_t i = 0; i < kValueHistories; ++i) found_[i] = slots_.find(hashes[i]);
        context_ = k;
        energy_ = std::min(energy, 15u);

        // The difference modulo 2^bits, as zero?, sign, size, and the bits below its leading one.
        const int half = 1 << (profile_.bits - 1);
        int difference = static_cast<int>(actual) - guess;
        if (difference >= half) difference -= 2 * half;
        if (difference < -half) difference += 2 * half;
        int coded = 0;
        if (decide(0, difference != 0)) {
            const bool negative = decide(1, difference < 0);
            const uint32_t magnitude = static_cast<uint32_t>(std::abs(difference));
            const uint32_t top = static_cast<uint32_t>(std::bit_width(magnitude)) - 1;
            uint32_t length = 0;
            while (length < profile_.bits - 1 && decide(2 + std::min(length, 5u), length < top, length)) ++length;
            uint32_t value = 1;
            for (uint32_t i = length; i-- > 0;) {
                const uint32_t wanted = magnitude >> i & 1;
                const uint32_t depth = length - 1 - i;
                uint32_t node;
                if (length == 1) {
                    node = 8;
                } else if (length == 2) {
                    node = depth == 0 ? 9 : 10 + (value & 1);
                } else if (depth == 0) {
                    node = std::min(length, 5u) + 9;
                } else {
                    if ((depth - 1) % 4 == 0) {
                        const uint32_t part = mix_hash(value, length << 1 | negative);
                        for (size_t s = 0; s < kValueHistories; ++s) slots_.prefetch(hashes[s] + part);
                        for (size_t s = 0; s < kValueHistories; ++s) found_[s] = slots_.find(hashes[s] + part);
                    }
                    const uint32_t level = (depth - 1) % 4;
                    const uint32_t below = (1u << level) - 1;
                    value = value << 1 | decide(below + (value & below), wanted, 16 + std::min(length, 7u));
                    continue;
                }
                value = value << 1 | decide(node, wanted);
            }
            coded = negative ? -static_cast<int>(value) : static_cast<int>(value);
        }
        error_[k] = static_cast<int16_t>(std::clamp(coded, -32767, 32767));
        const int value = (guess + coded) & peak;
        if (!profile_.repeats) {
            surprise_[k] = value - base - first;
            slopes_[k].learn(terms, surprise_[k] * 16 - slope);
        }
        return static_cast<uint32_t>(value);
    }

    uint32_t decide(uint32_t node, uint32_t bit, uint32_t more = 0) {
        const uint32_t kind = more >= 16 ? more : std::min(node, 15u);
        for (size_t i = 0; i < kValueHistories; ++i) value_.history(i, value_maps_[i][kind], found_[i][node]);
        value_.direct(kValueHistories, zero_order_[(context_ * 16 + energy_) * 32 + kind]);
        return value_.code(coder_, bit, (context_ * 32 + kind) * 16 + energy_, context_ * 32 + kind,
                           (context_ * 32 + kind) * 16 + energy_, kValueHistories, kValueHistories + 1);
    }

    static constexpr size_t kValueHistories = 11;

    Coder& coder_;
    const Profile profile_;
    const bool few_;  // colors: then more of them together make a context
    const size_t width_;
    const size_t stride_;
    size_t y_ = 0;
    std::vector<Color> colors_;
    std::vector<uint8_t> hits_;
    std::vector<int16_t> errors_;
    std::array<Color, kPlaces> at_{};
    uint8_t* hit_ = nullptr;
    const uint8_t* north_hit_ = nullptr;
    int16_t* error_ = nullptr;
    const int16_t* north_error_ = nullptr;
    uint32_t run_ = 0;
    uint64_t two_ = 0, four_ = 0, six_ = 0, all_ = 0, wide_ = 0;

    SlotTable slots_;
    Recall long_, middle_, short_;
    std::array<AdaptiveProbability, 256> flat_;
    std::vector<AdaptiveProbability> flag_direct_, flag_hits_;
    std::array<AdaptiveProbability, 2 * kCandidates> flag_order_;
    std::array<std::array<HistoryMap, kCandidates>, 5> flag_maps_;
    Decision<8> flag_;
    std::array<uint8_t*, kValueHistories> found_{};
    std::array<std::array<HistoryMap, 24>, kValueHistories> value_maps_;
    Decision<16> value_;
    std::vector<AdaptiveProbability> zero_order_;
    uint32_t context_ = 0, energy_ = 0;
    std::array<Slope, 4> slopes_;
    std::array<int, 4> surprise_{};
};

}  // namespace narrows::graphics
