// Models that adapt while coding, for the range coder: a binary one with two rates and a table of up to 17
// symbols. Integers and shifts only, so encoder and decoder agree on every machine.
//
// Everything is forced inline: the loops that use it live in files compiled for different instruction sets,
// and a linker that merged their out-of-line copies could hand AVX2 code to a machine that lacks it.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>

#include "narrows/log2.hpp"
#include "narrows/range.hpp"
#include "narrows/status.hpp"

#if defined(__SSE4_1__)
#include <smmintrin.h>
#endif

namespace narrows {

// P(bit = 1) as the mean of a fast and a slow estimate of 16 bits each. Both start as running means of what
// they have seen (step 1/2, 1/4, 1/4, 1/8, ...) and settle at steps of 2^-fast_shift and 2^-slow_shift.
// An estimate p moves by (2^16 - p) >> shift or p >> shift, hence stays within [1, 2^16 - 1].
class AdaptiveBit {
   public:
    NARROWS_INLINE uint32_t p1() const noexcept { return (uint32_t{fast_} + slow_) >> 1; }
    NARROWS_INLINE uint32_t cost(uint32_t bit) const noexcept {
        return cost_256(bit ? p1() : 65536 - p1(), 16);
    }
    NARROWS_INLINE void update(uint32_t bit, uint32_t fast_shift = 4, uint32_t slow_shift = 7) noexcept {
        uint32_t most = 9;
        if (count_ < 255) [[unlikely]] most = static_cast<uint32_t>(std::bit_width(uint32_t{++count_}));
        fast_ = moved(fast_, bit, std::min(most, fast_shift));
        slow_ = moved(slow_, bit, std::min(most, slow_shift));
    }
    NARROWS_INLINE void encode(RangeEncoder& encoder, uint32_t bit) {
        encoder.encode_bit(bit, p1());
        update(bit);
    }
    NARROWS_INLINE uint32_t decode(RangeDecoder& decoder) noexcept {
        const uint32_t bit = decoder.decode_bit(p1());
        update(bit);
        return bit;
    }

   private:
    NARROWS_INLINE static uint16_t moved(uint32_t p, uint32_t bit, uint32_t shift) noexcept {
        // bit ? p + ((65536 - p) >> shift) : p - (p >> shift), without a branch: the bit cannot be predicted.
        const uint32_t up = 0 - bit, down = bit - 1;
        const uint32_t step = ((p ^ up) - up + (65536 & up)) >> shift;
        return static_cast<uint16_t>(p + (step ^ down) - down);
    }
    uint16_t fast_ = 32768;
    uint16_t slow_ = 32768;
    uint16_t count_ = 0;
};

// A table of 2 to 17 symbols that moves by 1 / 2^shift toward each symbol coded, shift = floor(log2(count))
// up to a cap: `count` begins at the weight of the starting table (about 200 for a trained one).
//
// State: the 16 interior boundaries b[1..16] of 17 symbols in 1/2^16; the coder sees b >> 1, 15 bits. A table
// of n symbols uses the last n: the first 17 - n boundaries are 0 and stay 0.
//
// Why no frequency reaches zero. A boundary moves toward a target that leaves every symbol on its way kFloor:
// down by g(a_j), a_j = b_j - kFloor j, or up by g(a_j), a_j = 2^16 - kFloor (17 - j) - b_j, where
// g(a) = min(a + dither, 2^16 - 1) >> shift. g never falls and g(a + e) - g(a) <= e. The excess of symbol i
// over kFloor is e = |a_(i+1) - a_i| >= 0; if both its boundaries move the same way it becomes at least
// e - (g(a + e) - g(a)) >= 0, and the coded symbol's boundaries move apart. So a frequency of at least kFloor
// stays so, and half of it, what the coder sees, is at least 1.
//
// Why small steps do not stall. Plain shifts stop at distances below 2^shift, which would leave 1.5 % to the
// symbols that never come at shift 10. The dither runs evenly through [0, 2^shift), so the mean step is exact.
class AdaptiveTable {
   public:
    static constexpr uint32_t kMaxSymbols = 17;
    static constexpr uint32_t kBits = 15;
    static constexpr uint32_t kFloor = 2;

    // Starts from 1 to 17 frequencies of at least 1 that sum to 2^15. `weight` is 2 to 2^15 counts,
    // `max_shift` 1 to 12.
    [[nodiscard]] Status start(std::span<const uint16_t> frequencies, uint32_t weight = 200,
                               uint32_t max_shift = 10) noexcept {
        const size_t n = frequencies.size();
        if (n < 1 || n > kMaxSymbols || weight < 2 || weight > 32768 || max_shift < 1 || max_shift > 12)
            return Status::bad_argument;
        uint32_t sum = 0;
        for (uint16_t f : frequencies) {
            if (f == 0) return Status::bad_argument;
            sum += f;
        }
        if (sum != 1u << kBits) return Status::bad_argument;
        unused_ = static_cast<uint8_t>(kMaxSymbols - n);
        max_shift_ = static_cast<uint8_t>(max_shift);
        count_ = static_cast<uint16_t>(weight);
        bounds_.fill(0);
        for (size_t i = 0, at = 0; i + 1 < n; ++i) {
            at += frequencies[i];
            bounds_[unused_ + i + 1] = static_cast<uint16_t>(2 * at);
        }
        return Status::ok;
    }

    NARROWS_INLINE uint32_t num_symbols() const noexcept { return kMaxSymbols - unused_; }
    // Frequency of `symbol` < num_symbols() in 1/2^15.
    NARROWS_INLINE uint32_t frequency(uint32_t symbol) const noexcept {
        return end_of(symbol + unused_) - start_of(symbol + unused_);
    }
    // Cost of `symbol` in 1/256 bit.
    NARROWS_INLINE uint32_t cost(uint32_t symbol) const noexcept { return cost_256(frequency(symbol), kBits); }

    // `symbol` < num_symbols(): the caller has checked.
    NARROWS_INLINE void encode(RangeEncoder& encoder, uint32_t symbol) {
        const uint32_t s = symbol + unused_;
        const uint32_t start = start_of(s);
        encoder.encode(start, end_of(s) - start, kBits);
        move(s);
    }
    NARROWS_INLINE uint32_t decode(RangeDecoder& decoder) noexcept {
        const uint32_t s = find(decoder.target(kBits));
        const uint32_t start = start_of(s);
        decoder.take(start, end_of(s) - start, kBits);
        move(s);
        return s - unused_;
    }
    // Adapts to `symbol` as coding it would.
    NARROWS_INLINE void update(uint32_t symbol) noexcept { move(symbol + unused_); }
    // The same step without vector instructions; tests compare the two.
    void update_portable(uint32_t symbol) noexcept { move_portable(symbol + unused_); }

   private:
    // Below, s counts from the first unused symbol.
    NARROWS_INLINE uint32_t start_of(uint32_t s) const noexcept { return uint32_t{bounds_[s]} >> 1; }
    NARROWS_INLINE uint32_t end_of(uint32_t s) const noexcept {
        return uint32_t{bounds_[s + 1]} >> 1 | uint32_t{s == 16} << kBits;
    }

    struct Step {
        uint32_t shift, dither;
    };
    NARROWS_INLINE Step step() noexcept {
        const uint32_t shift =
            std::min<uint32_t>(static_cast<uint32_t>(std::bit_width(uint32_t{count_})) - 1, max_shift_);
        // Multiples of the golden ratio are spread evenly however many are taken (Weyl).
        const uint32_t dither = (uint32_t{count_} * 40503u & 0xFFFF) >> (16 - shift);
        // From 2^16 - 1 back to 2^15: the shift is at its cap there, the dither goes on.
        count_ = static_cast<uint16_t>(count_ == 0xFFFF ? 0x8000 : count_ + 1);
        return {shift, dither};
    }

    using Row = std::array<int16_t, 16>;
    // 1 where boundary j moves up when symbol s is coded, -1 where down: at [s][j - 1].
    static constexpr std::array<Row, kMaxSymbols> kSigns = [] {
        std::array<Row, kMaxSymbols> signs{};
        for (int s = 0; s < 17; ++s)
            for (int j = 1; j <= 16; ++j) signs[s][j - 1] = j > s ? 1 : -1;
        return signs;
    }();
    // The most that boundary j may become, at [j - 1], and the least, at [unused_][j - 1].
    static constexpr Row kMost = [] {
        Row most{};
        for (int j = 1; j <= 16; ++j) most[j - 1] = static_cast<int16_t>(65536 - kFloor * (17 - j));
        return most;
    }();
    static constexpr std::array<Row, kMaxSymbols> kLeast = [] {
        std::array<Row, kMaxSymbols> least{};
        for (int unused = 0; unused < 17; ++unused)
            for (int j = 1; j <= 16; ++j)
                least[unused][j - 1] = static_cast<int16_t>(kFloor * (j > unused ? j - unused : 0));
        return least;
    }();

    NARROWS_INLINE void move_portable(uint32_t s) noexcept {
        const Step now = step();
        for (uint32_t j = 1; j <= 16; ++j) {
            const uint32_t b = bounds_[j];
            const bool up = j > s;
            const auto most = static_cast<uint16_t>(kMost[j - 1]);
            const auto least = static_cast<uint16_t>(kLeast[unused_][j - 1]);
            const uint32_t distance = up ? most - b : b - least;
            const uint32_t by = std::min<uint32_t>(distance + now.dither, 65535) >> now.shift;
            bounds_[j] = static_cast<uint16_t>(up ? b + by : b - by);
        }
    }

#if defined(__SSE4_1__)
    NARROWS_INLINE static __m128i eight(const void* values) noexcept {
        return _mm_loadu_si128(static_cast<const __m128i*>(values));
    }
    NARROWS_INLINE uint32_t find(uint32_t target) const noexcept {
        // b >> 1 <= target is b <= 2 target + 1.
        const __m128i limit = _mm_set1_epi16(static_cast<short>(2 * target + 1));
        const __m128i low = _mm_cmpeq_epi16(_mm_subs_epu16(eight(&bounds_[1]), limit), _mm_setzero_si128());
        const __m128i high = _mm_cmpeq_epi16(_mm_subs_epu16(eight(&bounds_[9]), limit), _mm_setzero_si128());
        return static_cast<uint32_t>(
            std::popcount(static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(low, high)))));
    }
    // As move_portable, which `sign` of the vector instructions serves both ways: with t what a boundary moves toward,
    // its distance is t - b upward and b - t downward.
    NARROWS_INLINE void move(uint32_t s) noexcept {
        const Step now = step();
        const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(now.shift));
        const __m128i dither = _mm_set1_epi16(static_cast<short>(now.dither));
        for (size_t half = 0; half < 16; half += 8) {
            const __m128i sign = eight(&kSigns[s][half]), b = eight(&bounds_[1 + half]);
            const __m128i toward = _mm_blendv_epi8(eight(&kMost[half]), eight(&kLeast[unused_][half]), sign);
            const __m128i distance = _mm_sign_epi16(_mm_sub_epi16(toward, b), sign);
            const __m128i by = _mm_srl_epi16(_mm_adds_epu16(distance, dither), shift);
            _mm_storeu_si128(reinterpret_cast<__m128i*>(&bounds_[1 + half]),
                             _mm_add_epi16(b, _mm_sign_epi16(by, sign)));
        }
    }
#else
    NARROWS_INLINE uint32_t find(uint32_t target) const noexcept {
        uint32_t s = 0;
        for (uint32_t j = 0; j < 16; ++j) s += (uint32_t{bounds_[j + 1]} >> 1) <= target;
        return s;
    }
    NARROWS_INLINE void move(uint32_t s) noexcept { move_portable(s); }
#endif

    std::array<uint16_t, 18> bounds_{};  // b[1] to b[16] between two zeros: the last stands for 2^16
    uint16_t count_ = 0;
    uint8_t unused_ = 0;
    uint8_t max_shift_ = 10;
};

}  // namespace narrows
