// Range coder: 32-bit range, 64-bit low, carries walked back into the buffer (Martin 1979; Subbotin's and
// LZMA's layouts are relatives). No leading byte; the flush is the shortest byte string such that zero
// padding lies in the final interval: of its four bytes, trailing zeros are dropped. A decoder pads with zeros.
//
// Codecs whose next table depends on the last symbol run it inside their own loop, in files for different instruction
// sets: what loops call is always inlined, so that a linker has no copies to merge.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <utility>
#include <vector>

#define NARROWS_INLINE [[gnu::always_inline]] inline

namespace narrows {

// Bits by which a range of at least 2^8 is shifted back to 2^24: 0, 8 or 16, two bytes at most. Where x86 lacks lzcnt,
// comparing is faster than its bsr.
NARROWS_INLINE uint32_t bits_due(uint32_t range) noexcept {
#if defined(__x86_64__) && !defined(__LZCNT__)
    return 8 * ((range < (1u << 24)) + (range < (1u << 16)));
#else
    return static_cast<uint32_t>(std::countl_zero(range)) & 24;
#endif
}

// Its state is numbers and pointers that no call takes the address of, so that loops keep it in registers.
class RangeEncoder {
   public:
    NARROWS_INLINE RangeEncoder() noexcept {}
    NARROWS_INLINE RangeEncoder(RangeEncoder&& other) noexcept { *this = std::move(other); }
    NARROWS_INLINE RangeEncoder& operator=(RangeEncoder&& other) noexcept {
        low_ = std::exchange(other.low_, 0);
        range_ = std::exchange(other.range_, 0xFFFFFFFFu);
        at_ = std::exchange(other.at_, nullptr);
        limit_ = std::exchange(other.limit_, nullptr);
        std::free(std::exchange(block_, std::exchange(other.block_, nullptr)));
        return *this;
    }
    NARROWS_INLINE ~RangeEncoder() { std::free(block_); }

    // Codes an interval [start, start + size) of a total of 2^bits; size > 0, bits <= 16.
    NARROWS_INLINE void encode(uint32_t start, uint32_t size, uint32_t bits) noexcept(false) {
        encode_between(start, start + size, bits, start + size == 1u << bits);
    }
    // The same by the interval's end, ignored if it is the `last`. `reserved`: the caller has reserved room.
    template <bool reserved = false>
    NARROWS_INLINE void encode_between(uint32_t start, uint32_t end, uint32_t bits, bool last) noexcept(reserved) {
        const uint32_t r = range_ >> bits, below = r * start;
        low_ += below;
        uint32_t above = r * end;
        asm("" : "+r"(above));  // so that g++ chooses by a conditional move: the symbol is what cannot be predicted
        // The last interval takes what the division left over, so no part of the range is lost.
        range_ = (last ? range_ : above) - below;
        normalize<reserved>();
    }
    // Makes room for `count` intervals of two bytes, so that a loop over them need not look.
    NARROWS_INLINE void reserve(size_t count) noexcept(false) {
        if (static_cast<size_t>(limit_ - at_) < 2 * count || at_ >= limit_) grow(count);
    }
    // One bit with P(bit = 1) = p1 / 2^16, 0 < p1 < 2^16.
    NARROWS_INLINE void encode_bit(uint32_t bit, uint32_t p1) noexcept(false) {
        const uint32_t split = static_cast<uint32_t>((static_cast<uint64_t>(range_) * p1) >> 16);
        // Without a branch: the bit is what cannot be predicted.
        const uint32_t zero = bit - 1;
        low_ += split & zero;
        range_ = split + ((range_ - 2 * split) & zero);
        if (range_ < (1u << 24)) normalize();
    }
    // `count` <= 32 raw bits, most significant first.
    NARROWS_INLINE void encode_raw(uint32_t value, uint32_t count) noexcept(false) {
        while (count > 16) {
            count -= 16;
            encode((value >> count) & 0xFFFF, 1, 16);
        }
        if (count) encode(value & ((1u << count) - 1), 1, count);
    }
    // Ends the stream and hands over its bytes; the encoder is then as new.
    std::vector<uint8_t> finish() noexcept(false) {
        reserve(1);
        hand_over(0);
        // The value with the most trailing zero bits in [low, low + range): padding costs nothing then.
        const uint64_t top = low_ + range_ - 1;
        uint64_t value = low_;
        for (int k = 32; k > 0; --k) {
            const uint64_t mask = (uint64_t{1} << k) - 1;
            const uint64_t rounded = (low_ + mask) & ~mask;
            if (rounded <= top) {
                value = rounded;
                break;
            }
        }
        low_ = value;
        range_ = 1;  // so that another try after std::bad_alloc ends alike
        hand_over(0);
        // Only these four are trimmed, so a decoder that pads more has read too much.
        size_t keep = 4;
        while (keep > 0 && at_[keep - 1] == 0) --keep;
        std::vector<uint8_t> stream(block_ + 1, at_ + keep);
        *this = RangeEncoder();
        return stream;
    }
    size_t bytes_so_far() const noexcept { return block_ ? static_cast<size_t>(at_ - block_) - 1 : 0; }
    uint32_t range() const noexcept { return range_; }

   private:
    // After an interval, without a branch, for whether a byte is due cannot be predicted.
    template <bool reserved = false>
    NARROWS_INLINE void normalize() noexcept(reserved) {
        const uint32_t due = bits_due(range_);
        if constexpr (!reserved)
            if (at_ >= limit_) [[unlikely]] grow();
        hand_over(due);
        low_ = static_cast<uint32_t>(low_) << due;
        range_ <<= due;
    }
    // The carry goes up into the bytes, and all of the rest is written, of which `due` bits stay.
    NARROWS_INLINE void hand_over(uint32_t due) noexcept {
        if (__builtin_add_overflow(at_[-1], static_cast<uint8_t>(low_ >> 32), at_ - 1)) [[unlikely]]
            for (uint8_t* byte = at_ - 1; ++*--byte == 0;) {
            }
        low_ = static_cast<uint32_t>(low_);
        for (uint32_t i = 0; i < 4; ++i) at_[i] = static_cast<uint8_t>(low_ >> (24 - 8 * i));
        at_ += due / 8;
    }
    NARROWS_INLINE void grow(size_t count = 0) noexcept(false) {
        const size_t used = block_ ? static_cast<size_t>(at_ - block_) : 1, capacity = 2 * (used + count) + 64;
        block_ = grown(block_, capacity);
        at_ = block_ + used;
        limit_ = block_ + (capacity - 8);
    }
    // A block of `capacity` bytes that begins as the other did, or with a zero. Throws std::bad_alloc.
    static uint8_t* grown(uint8_t* block, size_t capacity);

    uint64_t low_ = 0;  // 32 bits and a carry
    uint32_t range_ = 0xFFFFFFFFu;
    uint8_t* at_ = nullptr;     // where the next byte goes
    uint8_t* limit_ = nullptr;  // from here on the block grows first: 8 bytes before its end
    uint8_t* block_ = nullptr;  // a byte that takes no carry, then the stream's
};

class RangeDecoder {
   public:
    explicit RangeDecoder(std::span<const uint8_t> bytes) noexcept
        : at_(bytes.data()), end_(bytes.data() + bytes.size()) {
        for (int i = 0; i < 4; ++i) code_ = (code_ << 8) | next();
    }
    // The target in [0, 2^bits) of the next symbol; follow with `take`.
    NARROWS_INLINE uint32_t target(uint32_t bits) noexcept {
        step_ = range_ >> bits;
        const uint32_t t = code_ / step_;
        return t >> bits ? (1u << bits) - 1 : t;
    }
    NARROWS_INLINE void take(uint32_t start, uint32_t size, uint32_t bits) noexcept {
        const uint32_t below = step_ * start;
        code_ -= below;
        range_ = start + size == (1u << bits) ? range_ - below : step_ * size;
        normalize();
    }
    // The same without a division: an interval [start, end) is found where (range() >> bits) * start is at most
    // code() and the last such; then `take_between` its two products, the last interval's end being range().
    NARROWS_INLINE uint32_t code() const noexcept { return code_; }
    NARROWS_INLINE void take_between(uint32_t below, uint32_t end) noexcept {
        code_ -= below;
        range_ = end - below;
        normalize();
    }
    NARROWS_INLINE uint32_t decode_bit(uint32_t p1) noexcept {
        const uint32_t split = static_cast<uint32_t>((static_cast<uint64_t>(range_) * p1) >> 16);
        const uint32_t bit = code_ < split;
        const uint32_t zero = bit - 1;
        code_ -= split & zero;
        range_ = split + ((range_ - 2 * split) & zero);
        if (range_ < (1u << 24)) normalize();
        return bit;
    }
    NARROWS_INLINE uint32_t decode_raw(uint32_t count) noexcept {
        uint32_t value = 0;
        while (count > 16) {
            count -= 16;
            value = (value << 16) | raw(16);
        }
        return count ? (value << count) | raw(count) : value;
    }
    // True if the stream held what was read and ends as an encoder ends it: nothing left over, and no other bytes
    // that would have given the same symbols.
    bool finished() const noexcept {
        if (padded_ > 4 || at_ != end_) return false;
        uint32_t last = 0;  // the four bytes that `code_` came from
        for (uint32_t i = 0; i < 4 - padded_; ++i) last |= uint32_t{end_[-1 - static_cast<int>(i)]} << 8 * (padded_ + i);
        const uint32_t low = last - code_;
        const uint64_t top = uint64_t{low} + range_ - 1;
        uint64_t value = low;
        for (int k = 32; k > 0; --k) {
            const uint64_t mask = (uint64_t{1} << k) - 1;
            value = (low + mask) & ~mask;
            if (value <= top) break;
            value = low;
        }
        const auto zeros = last ? static_cast<uint32_t>(std::countr_zero(last)) / 8 : 4;
        return static_cast<uint32_t>(value) == last && zeros == padded_;
    }
    uint32_t padded() const noexcept { return padded_; }
    size_t bytes_left() const noexcept { return static_cast<size_t>(end_ - at_); }
    NARROWS_INLINE uint32_t range() const noexcept { return range_; }

   private:
    NARROWS_INLINE uint32_t raw(uint32_t count) noexcept {
        const uint32_t t = target(count);
        take(t, 1, count);
        return t;
    }
    NARROWS_INLINE uint32_t next() noexcept {
        if (at_ != end_) return *at_++;
        ++padded_;
        return 0;
    }
    NARROWS_INLINE void normalize() noexcept {
        const uint32_t due = bits_due(range_);
        range_ <<= due;
        if (end_ - at_ >= 2) [[likely]] {
            const uint32_t ahead = uint32_t{at_[0]} << 8 | at_[1];
            code_ = static_cast<uint32_t>((uint64_t{code_} << 16 | ahead) << due >> 16);
            at_ += due / 8;
        } else {
            for (uint32_t i = 0; i < due; i += 8) code_ = (code_ << 8) | next();
        }
    }
    const uint8_t* at_;
    const uint8_t* end_;
    uint32_t code_ = 0;
    uint32_t range_ = 0xFFFFFFFFu;
    uint32_t step_ = 0;
    uint32_t padded_ = 0;
};

}  // namespace narrows
