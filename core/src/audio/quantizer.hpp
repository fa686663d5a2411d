// What the encoder puts into a frame: levels and coefficients, by what they cost under the tables and what they
// spoil. Integers in a fixed order, so that packets are the same everywhere; no decoder depends on it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "audio/analysis.hpp"
#include "audio/layout.hpp"
#include "audio/syntax.hpp"
#include "audio/tables.hpp"
#include "narrows/range.hpp"

namespace narrows::audio {

// Sets the levels of a spectrum: of the two next to each measured one those that are cheap together. `before` is the
// spectrum of the same channels a frame earlier in the packet, its levels set, or null.
void choose_levels(const AudioTables& tables, const Layout& layout, const Spectrum* before, Spectrum& s);

using Shares = std::array<std::array<uint32_t, kMaxFrame>, 2>;

// What a frame holds at these steps by rounding, and the share of a step that each coefficient is, 1/256.
void round_to(const Layout& layout, const Spectrum& s, const Steps& steps, Frame& frame, Shares& shares);

// What decisions cost, 1/256 bit, by where their probabilities stand in the logistic table.
struct Prices {
    std::array<uint16_t, 2 * kSquashMax + 1> yes, no;
};
extern const Prices kPrices;
constexpr int64_t price_of(uint32_t probability) noexcept { return cost_256(probability, 16); }

// Writes a frame and chooses its coefficients on the way: each by its error and its price, given those before; a band
// that is not worth its bits is emptied. The frame holds what was chosen.
class Choosing {
   public:
    static constexpr bool kDecodes = false, kChooses = true;
    explicit Choosing(const Shares& shares) : shares_(shares[0].data()), held_(room(0)) {}

    template <size_t K>
    bool decide(const Entries<K>& entries, size_t decision, bool value) {
        encoder_.encode_bit(value, probability(entries.logit(decision)));
        return value;
    }
    // Of a coefficient: kept until its band is settled.
    template <class Row>
    NARROWS_INLINE bool decide(const Row& row, size_t decision, bool value) {
        held_[count_++] = {row.chance(decision), value};
        return value;
    }
    NARROWS_INLINE uint32_t raw(uint32_t value, uint32_t count) {
        if (holds_) held_[count_++] = {kRaw | count, value};
        else encoder_.encode_raw(value, count);
        return value;
    }
    bool flag(const AudioTables& t, size_t which, bool value) {
        encoder_.encode_bit(value, probability(t.flags[which]));
        return value;
    }
    std::vector<uint8_t> finish() { return encoder_.finish(); }

    void begin_channel(size_t channel) noexcept { first_ = channel * kMaxFrame; }
    // A band of so many coefficients that may have more than zeros.
    void begin_band(const BandEntries& entries, size_t size) {
        const uint32_t one = probability(entries.logit(0));
        saved_ = -kBitWorth * (price_of(one) - price_of(65'536 - one));
        // A coefficient's decisions, prefix, suffix, low bits and sign.
        held_ = room(size * kMostHeld);
        count_ = 0;
        holds_ = true;
        some_ = false;
    }
    // Writes it unless it had better be empty, which is false.
    bool end_band(const BandEntries& entries) {
        const bool worth = saved_ >= 0 && some_;
        decide(entries, 0, worth);
        RangeEncoder encoder = std::move(encoder_);  // a local one stays in registers
        for (const Held& held : std::span(held_, worth ? count_ : 0)) {
            if (held.what & kRaw) encoder.encode_raw(held.value, held.what & ~kRaw);
            else encoder.encode_bit(held.value != 0, held.what);
        }
        encoder_ = std::move(encoder);
        holds_ = false;
        return worth;
    }
    // What coefficient i of the channel is to be, which rounding makes `value`.
    template <class Row>
    NARROWS_INLINE int32_t choose(const Row& row, uint32_t shift, size_t i, int32_t value) {
        const auto share = static_cast<int64_t>(shares_[first_ + i]);
        const auto most = static_cast<int>((share + 128) >> 8);
        if (shift != 0 || most > kMostPriced) {
            saved_ += share * share;
            some_ = true;
            return value;
        }
        int64_t least = share * share + kBitWorth * no_price(row, 0);
        int chosen = 0;
        int64_t price = 256;  // of the sign and "more than j" so far
        for (int k = 1; k <= most; ++k) {
            price += yes_price(row, static_cast<size_t>(k - 1));
            if (k + 1 < most) continue;
            const int64_t error = share - (256 * k - kPlayed);
            const int64_t sum = error * error + kBitWorth * (price + no_price(row, static_cast<size_t>(k)));
            if (sum < least) {
                least = sum;
                chosen = k;
            }
        }
        saved_ += share * share - least;
        some_ = some_ || chosen;
        return value < 0 ? -chosen : chosen;
    }

   private:
    struct Held {
        uint32_t what, value;  // a probability and a bit, or kRaw and a count, and as many bits
    };
    static constexpr uint32_t kRaw = 1u << 31;
    static constexpr size_t kMostHeld = 48;
    // What a bit is worth in 1/256 of (1/256 step)^2: .07 of a squared step.
    static constexpr int64_t kBitWorth = 18;
    static constexpr int kMostPriced = 12;  // larger magnitudes are rounded
    static constexpr int kPlayed = 13;      // a magnitude is heard so much nearer to zero, 1/256 step: format.md, "Samples"

    template <class Row>
    NARROWS_INLINE static int64_t yes_price(const Row& row, size_t decision) noexcept {
        return decision < kLanes ? kPrices.yes[row.place(decision)] : price_of(row.chance(decision));
    }
    template <class Row>
    NARROWS_INLINE static int64_t no_price(const Row& row, size_t decision) noexcept {
        return decision < kLanes ? kPrices.no[row.place(decision)] : price_of(65'536 - row.chance(decision));
    }

    // A thread's, for one band at a time: growing it anew for each packet took a tenth of the time.
    static Held* room(size_t size) {
        static thread_local std::vector<Held> all;
        if (all.size() < size) all.resize(size);
        return all.data();
    }

    RangeEncoder encoder_;
    const uint32_t* shares_;
    size_t first_ = 0;
    Held* held_;
    size_t count_ = 0;
    bool holds_ = false, some_ = false;
    int64_t saved_ = 0;  // by the band against an empty one, in squared 1/256 steps
};

}  // namespace narrows::audio
