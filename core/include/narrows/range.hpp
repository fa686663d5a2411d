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
#include <new>
#include <span>
#include <utility>
#include <vector>

#define NARROWS_INLINE [[gnu::always_inline]] inline

namespace narrows {

// Its state is numbers and pointers that no call takes the address of, so that loops keep it in registers.
class RangeEncoder {
   public:
    RangeEncoder() noexcept = default;
    RangeEncoder(RangeEncoder&& other) noexcept { *this = std::move(other); }
    RangeEncoder& operator=(RangeEncoder&& other) noexcept {
        low_ = std::exchange(other.low_, 0);
        range_ = std::exchange(other.range_, 0xFFFFFFFFu);
        pending_ = std::exchange(other.pending_, 0);
        size_ = std::exchange(other.size_, 0);
        capacity_ = std::exchange(other.capacity_, 0);
        std::free(std::exchange(bytes_, std::exchange(other.bytes_, nullptr)));
        return *this;
    }
    ~RangeEncoder() { std::free(bytes_); }

    // Codes an interval [start, start + size) of a total of 2^bits; size > 0, bits <= 16.
    NARROWS_INLINE void encode(uint32_t start, uint32_t size, uint32_t bits) noexcept(false) {
        const uint32_t r = range_ >> bits;
        low_ += static_cast<uint64_t>(r) * start;
        // The last interval takes what the division left over, so no part of the range is lost.
        range_ = start + size == (1u << bits) ? range_ - r * start : r * size;
        normalize();
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
        hand_over();
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
        if (value >> 32) carry();
        // Only these four are trimmed, so a decoder that pads more has read too much.
        size_t keep = 4;
        while (keep > 0 && static_cast<uint8_t>(value >> (32 - 8 * keep)) == 0) --keep;
        for (size_t i = 0; i < keep; ++i) bytes_[size_ + i] = static_cast<uint8_t>(value >> (24 - 8 * i));
        std::vector<uint8_t> stream(bytes_, bytes_ + size_ + keep);
        *this = RangeEncoder();
        return stream;
    }
    size_t bytes_so_far() const noexcept { return size_ + pending_; }
    uint32_t range() const noexcept { return range_; }

   private:
    // After an interval: at least 2^8 of the range is left, so two bytes at most bring it back to 2^24. Without a
    // branch, for whether one is due cannot be predicted.
    NARROWS_INLINE void normalize() noexcept(false) {
        const uint32_t due = (range_ < (1u << 24)) + (range_ < (1u << 16));
        if (pending_ + due > 3) [[unlikely]] hand_over();
        low_ <<= 8 * due;
        range_ <<= 8 * due;
        pending_ += due;
    }
    // Moves what is pending from low_ to the bytes.
    NARROWS_INLINE void hand_over() noexcept(false) {
        if (capacity_ < size_ + 8) [[unlikely]] {  // 4 now, 4 when it is finished
            bytes_ = grown(bytes_, 2 * capacity_ + 64);
            capacity_ = 2 * capacity_ + 64;
        }
        if (low_ >> (32 + 8 * pending_)) carry();
        const auto top = static_cast<uint32_t>(low_ >> (8 * pending_));
        for (uint32_t i = 0; i < 4; ++i) bytes_[size_ + i] = static_cast<uint8_t>(top >> (24 - 8 * i));
        size_ += pending_;
        pending_ = 0;
        low_ &= 0xFFFFFFFFu;
    }
    NARROWS_INLINE void carry() noexcept {
        for (size_t i = size_; i-- > 0 && ++bytes_[i] == 0;) {
        }
    }
    [[gnu::noinline]] static uint8_t* grown(uint8_t* bytes, size_t capacity) {
        void* const larger = std::realloc(bytes, capacity);
        if (!larger) throw std::bad_alloc();
        return static_cast<uint8_t*>(larger);
    }

    // Below a carry: `pending_` bytes that are not handed over yet, then 32 bits.
    uint64_t low_ = 0;
    uint32_t range_ = 0xFFFFFFFFu;
    uint32_t pending_ = 0;  // 0 to 3
    uint8_t* bytes_ = nullptr;
    size_t size_ = 0;
    size_t capacity_ = 0;
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
        code_ -= step_ * start;
        range_ = start + size == (1u << bits) ? range_ - step_ * start : step_ * size;
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
    uint32_t range() const noexcept { return range_; }

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
    // As the encoder's, two bytes at most.
    NARROWS_INLINE void normalize() noexcept {
        const uint32_t due = (range_ < (1u << 24)) + (range_ < (1u << 16));
        range_ <<= 8 * due;
        if (end_ - at_ >= 2) [[likely]] {
            const uint32_t ahead = uint32_t{at_[0]} << 8 | at_[1];
            code_ = static_cast<uint32_t>((uint64_t{code_} << 16 | ahead) << (8 * due) >> 16);
            at_ += due;
        } else {
            for (uint32_t i = 0; i < due; ++i) code_ = (code_ << 8) | next();
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
