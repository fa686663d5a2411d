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
#include <immintrin.h>
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
        first_row_ = static_cast<uint16_t>(kMaxSymbols * unused_);
        max_shift_ = static_cast<uint8_t>(max_shift);
        count_ = static_cast<uint16_t>(weight);
        shift_ = static_cast<uint8_t>(std::min<uint32_t>(static_cast<uint32_t>(std::bit_width(weight)) - 1, max_shift));
        beyond_ = static_cast<uint8_t>(32 - shift_);
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
    NARROWS_INLINE void encode(RangeEncoder& encoder, uint32_t symbol) noexcept(false) {
        encode_from<false>(encoder, symbol + unused_);
    }
    // The same by how many of the 17 symbols come before, `first_symbol()` among them; `reserved` as in RangeEncoder.
    template <bool reserved>
    NARROWS_INLINE void encode_from(RangeEncoder& encoder, uint32_t s) noexcept(reserved) {
        encoder.encode_between<reserved>(start_of(s), start_of(s + 1), kBits, s == 16);
        move(s);
    }
    NARROWS_INLINE uint32_t first_symbol() const noexcept { return unused_; }
    NARROWS_INLINE uint32_t decode(RangeDecoder& decoder) noexcept {
        // Products instead of a division; where they are kept, the symbol finds both its ends at once.
        alignas(32) uint32_t kept[32];
        uint32_t* const ends = kept + 7;  // of symbol s: [s] and [s + 1]; the 16 that vectors write are aligned
        ends[0] = 0;
        ends[17] = decoder.range();
        const uint32_t s = find(decoder.range() >> kBits, decoder.code(), ends + 1);
        decoder.take_between(ends[s], ends[s + 1]);
        move(s);
        return s - unused_;
    }
    // Adapts to `symbol` as coding it would.
    NARROWS_INLINE void update(uint32_t symbol) noexcept { move(symbol + unused_); }
    // The same step without vector instructions; tests compare the two.
    void update_portable(uint32_t symbol) noexcept { move_portable(symbol + unused_); }

   private:
    // Below, s counts from the first unused symbol.
    NARROWS_INLINE uint32_t start_of(uint32_t s) const noexcept {
        uint32_t bound = bounds_[s];
        asm("" : "+r"(bound));  // or g++ shifts 16 bits and then extends them
        return bound >> 1;
    }
    NARROWS_INLINE uint32_t end_of(uint32_t s) const noexcept {
        return uint32_t{bounds_[s + 1]} >> 1 | uint32_t{s == 16} << kBits;
    }

    struct Step {
        uint32_t shift, dither;
    };
    NARROWS_INLINE Step step() noexcept {
        const uint32_t shift = shift_;
        // Multiples of the golden ratio are spread evenly however many are taken (Weyl). The top `shift` of 32 bits.
        const uint32_t dither = (uint32_t{count_} * (40503u << 16)) >> beyond_;
        const uint32_t next = uint32_t{count_} + 1;
        count_ = static_cast<uint16_t>(next);
        if ((next & (next - 1)) == 0) [[unlikely]] next_octave();
        return {shift, dither};
    }
    NARROWS_INLINE void next_octave() noexcept {
        // From 2^16 - 1 back to 2^15: the shift is at its cap there, the dither goes on.
        if (count_ == 0) count_ = 0x8000;
        if (shift_ < max_shift_) ++shift_;
        beyond_ = static_cast<uint8_t>(32 - shift_);
    }

    // What boundaries j do, at [j - 1], when a symbol is coded: 1 where they move up and -1 where down, and the most or
    // the least that they may become.
    struct Row {
        int16_t sign[16];
        uint16_t toward[16];
    };
    // At kMaxSymbols * unused + s.
    static constexpr std::array<Row, kMaxSymbols * kMaxSymbols> kRows = [] {
        std::array<Row, kMaxSymbols * kMaxSymbols> rows{};
        for (uint32_t unused = 0; unused < kMaxSymbols; ++unused)
            for (uint32_t s = 0; s < kMaxSymbols; ++s)
                for (uint32_t j = 1; j <= 16; ++j) {
                    const bool up = j > s;
                    const uint32_t most = 65536 - kFloor * (17 - j), least = kFloor * (j > unused ? j - unused : 0);
                    rows[kMaxSymbols * unused + s].sign[j - 1] = up ? 1 : -1;
                    rows[kMaxSymbols * unused + s].toward[j - 1] = static_cast<uint16_t>(up ? most : least);
                }
        return rows;
    }();

    NARROWS_INLINE void move_portable(uint32_t s) noexcept {
        const Step now = step();
        const Row& row = kRows[first_row_ + s];
        for (uint32_t j = 1; j <= 16; ++j) {
            const uint32_t b = bounds_[j], toward = row.toward[j - 1];
            const bool up = row.sign[j - 1] > 0;
            const uint32_t by = std::min<uint32_t>((up ? toward - b : b - toward) + now.dither, 65535) >> now.shift;
            bounds_[j] = static_cast<uint16_t>(up ? b + by : b - by);
        }
    }

    // What boundaries 1 to 16 are worth, with `unit` a 2^15th of the range, goes to `ends`; how many are at most `code` comes back.
#if defined(__AVX2__)
    NARROWS_INLINE static __m256i sixteen(const void* values) noexcept {
        return _mm256_loadu_si256(static_cast<const __m256i*>(values));
    }
    NARROWS_INLINE uint32_t find(uint32_t unit, uint32_t code, uint32_t* ends) const noexcept {
        const __m256i b = _mm256_srli_epi16(sixteen(&bounds_[1]), 1);
        const __m256i by = _mm256_set1_epi32(static_cast<int>(unit)), limit = _mm256_set1_epi32(static_cast<int>(code));
        const __m256i low = _mm256_mullo_epi32(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(b)), by);
        const __m256i high = _mm256_mullo_epi32(_mm256_cvtepu16_epi32(_mm256_extracti128_si256(b, 1)), by);
        _mm256_store_si256(reinterpret_cast<__m256i*>(ends), low);
        _mm256_store_si256(reinterpret_cast<__m256i*>(ends + 8), high);
        const __m256i reached = _mm256_packs_epi32(_mm256_cmpeq_epi32(_mm256_max_epu32(low, limit), limit),
                                                   _mm256_cmpeq_epi32(_mm256_max_epu32(high, limit), limit));
        return static_cast<uint32_t>(std::popcount(static_cast<uint32_t>(_mm256_movemask_epi8(reached)))) / 2;
    }
    // As move_portable, which `sign` of the vector instructions serves both ways: with t what a boundary moves toward,
    // its distance is t - b upward and b - t downward.
    NARROWS_INLINE void move(uint32_t s) noexcept {
        const Step now = step();
        const Row& row = kRows[first_row_ + s];
        const __m256i sign = sixteen(row.sign), b = sixteen(&bounds_[1]);
        const __m256i distance = _mm256_sign_epi16(_mm256_sub_epi16(sixteen(row.toward), b), sign);
        const __m256i dither = _mm256_set1_epi16(static_cast<short>(now.dither));
        const __m256i by = _mm256_srl_epi16(_mm256_adds_epu16(distance, dither), _mm_cvtsi32_si128(static_cast<int>(now.shift)));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(&bounds_[1]), _mm256_add_epi16(b, _mm256_sign_epi16(by, sign)));
    }
#elif defined(__SSE4_1__)
    NARROWS_INLINE static __m128i eight(const void* values) noexcept {
        return _mm_loadu_si128(static_cast<const __m128i*>(values));
    }
    NARROWS_INLINE uint32_t find(uint32_t unit, uint32_t code, uint32_t* ends) const noexcept {
        const __m128i by = _mm_set1_epi32(static_cast<int>(unit)), limit = _mm_set1_epi32(static_cast<int>(code));
        __m128i reached[4];
        for (size_t half = 0; half < 2; ++half) {
            const __m128i b = _mm_srli_epi16(eight(&bounds_[1 + 8 * half]), 1);
            const __m128i low = _mm_mullo_epi32(_mm_unpacklo_epi16(b, _mm_setzero_si128()), by);
            const __m128i high = _mm_mullo_epi32(_mm_unpackhi_epi16(b, _mm_setzero_si128()), by);
            _mm_store_si128(reinterpret_cast<__m128i*>(ends + 8 * half), low);
            _mm_store_si128(reinterpret_cast<__m128i*>(ends + 8 * half + 4), high);
            reached[half] = _mm_packs_epi32(_mm_cmpeq_epi32(_mm_max_epu32(low, limit), limit),
                                            _mm_cmpeq_epi32(_mm_max_epu32(high, limit), limit));
        }
        return static_cast<uint32_t>(
            std::popcount(static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(reached[0], reached[1])))));
    }
    // See the wider one.
    NARROWS_INLINE void move(uint32_t s) noexcept {
        const Step now = step();
        const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(now.shift));
        const __m128i dither = _mm_set1_epi16(static_cast<short>(now.dither));
        const Row& row = kRows[first_row_ + s];
        for (size_t half = 0; half < 16; half += 8) {
            const __m128i sign = eight(&row.sign[half]), b = eight(&bounds_[1 + half]);
            const __m128i distance = _mm_sign_epi16(_mm_sub_epi16(eight(&row.toward[half]), b), sign);
            const __m128i by = _mm_srl_epi16(_mm_adds_epu16(distance, dither), shift);
            _mm_storeu_si128(reinterpret_cast<__m128i*>(&bounds_[1 + half]),
                             _mm_add_epi16(b, _mm_sign_epi16(by, sign)));
        }
    }
#else
    NARROWS_INLINE uint32_t find(uint32_t unit, uint32_t code, uint32_t* ends) const noexcept {
        uint32_t s = 0;
        for (uint32_t j = 0; j < 16; ++j) {
            ends[j] = unit * (uint32_t{bounds_[j + 1]} >> 1);
            s += ends[j] <= code;
        }
        return s;
    }
    NARROWS_INLINE void move(uint32_t s) noexcept { move_portable(s); }
#endif

    std::array<uint16_t, 18> bounds_{};  // b[1] to b[16] between two zeros: the last stands for 2^16
    uint16_t count_ = 0;
    uint16_t first_row_ = 0;
    uint8_t unused_ = 0;
    uint8_t shift_ = 0;
    uint8_t beyond_ = 0;  // 32 - shift_
    uint8_t max_shift_ = 10;
};

}  // namespace narrows
