// Range coder: 32-bit range, 64-bit low, carries walked back into the buffer (Martin 1979; Subbotin's and
// LZMA's layouts are relatives). No leading byte; the flush is the shortest byte string such that zero
// padding lies in the final interval: of its four bytes, trailing zeros are dropped. A decoder pads with zeros.
//
// Everything is inline: codecs whose next table depends on the last symbol run it inside their own loop.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace narrows {

class RangeEncoder {
   public:
    // Codes an interval [start, start + size) of a total of 2^bits; size > 0, bits <= 16.
    void encode(uint32_t start, uint32_t size, uint32_t bits) noexcept(false) {
        const uint32_t r = range_ >> bits;
        low_ += static_cast<uint64_t>(r) * start;
        // The last interval takes what the division left over, so no part of the range is lost.
        range_ = start + size == (1u << bits) ? range_ - r * start : r * size;
        while (range_ < (1u << 24)) shift();
    }
    // One bit with P(bit = 1) = p1 / 2^16, 0 < p1 < 2^16.
    void encode_bit(uint32_t bit, uint32_t p1) noexcept(false) {
        const uint32_t split = static_cast<uint32_t>((static_cast<uint64_t>(range_) * p1) >> 16);
        // Without a branch: the bit is what cannot be predicted.
        const uint32_t zero = bit - 1;
        low_ += split & zero;
        range_ = split + ((range_ - 2 * split) & zero);
        while (range_ < (1u << 24)) shift();
    }
    // `count` <= 32 raw bits, most significant first.
    void encode_raw(uint32_t value, uint32_t count) noexcept(false) {
        while (count > 16) {
            count -= 16;
            encode((value >> count) & 0xFFFF, 1, 16);
        }
        if (count) encode(value & ((1u << count) - 1), 1, count);
    }
    // Ends the stream and hands over its bytes.
    std::vector<uint8_t> finish() noexcept(false) {
        // The value with the most trailing zero bits in [low, low + range): padding costs nothing then.
        const uint64_t top = low_ + range_ - 1;
        uint64_t value = low_;
        for (int k = 40; k > 0; --k) {
            const uint64_t mask = (uint64_t{1} << k) - 1;
            const uint64_t rounded = (low_ + mask) & ~mask;
            if (rounded <= top) {
                value = rounded;
                break;
            }
        }
        low_ = value;
        for (int i = 0; i < 4; ++i) shift();
        // Only the flush is trimmed, so a decoder that pads more than four bytes has read too much.
        for (int i = 0; i < 4 && bytes_.back() == 0; ++i) bytes_.pop_back();
        return std::move(bytes_);
    }
    size_t bytes_so_far() const noexcept { return bytes_.size(); }
    uint32_t range() const noexcept { return range_; }

   private:
    void shift() {
        // low_ holds 32 bits and a carry in bit 32.
        if (low_ >> 32) {
            for (size_t i = bytes_.size(); i-- > 0 && ++bytes_[i] == 0;) {
            }
            low_ &= 0xFFFFFFFFu;
        }
        bytes_.push_back(static_cast<uint8_t>(low_ >> 24));
        low_ = (low_ & 0x00FFFFFFu) << 8;
        range_ <<= 8;
    }
    uint64_t low_ = 0;
    uint32_t range_ = 0xFFFFFFFFu;
    std::vector<uint8_t> bytes_;
};

class RangeDecoder {
   public:
    explicit RangeDecoder(std::span<const uint8_t> bytes) noexcept
        : at_(bytes.data()), end_(bytes.data() + bytes.size()) {
        for (int i = 0; i < 4; ++i) code_ = (code_ << 8) | next();
    }
    // The target in [0, 2^bits) of the next symbol; follow with `take`.
    uint32_t target(uint32_t bits) noexcept {
        step_ = range_ >> bits;
        const uint32_t t = code_ / step_;
        return t >> bits ? (1u << bits) - 1 : t;
    }
    void take(uint32_t start, uint32_t size, uint32_t bits) noexcept {
        code_ -= step_ * start;
        range_ = start + size == (1u << bits) ? range_ - step_ * start : step_ * size;
        while (range_ < (1u << 24)) shift();
    }
    uint32_t decode_bit(uint32_t p1) noexcept {
        const uint32_t split = static_cast<uint32_t>((static_cast<uint64_t>(range_) * p1) >> 16);
        const uint32_t bit = code_ < split;
        const uint32_t zero = bit - 1;
        code_ -= split & zero;
        range_ = split + ((range_ - 2 * split) & zero);
        while (range_ < (1u << 24)) shift();
        return bit;
    }
    uint32_t decode_raw(uint32_t count) noexcept {
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
    uint32_t raw(uint32_t count) noexcept {
        const uint32_t t = target(count);
        take(t, 1, count);
        return t;
    }
    uint32_t next() noexcept {
        if (at_ != end_) return *at_++;
        ++padded_;
        return 0;
    }
    void shift() noexcept {
        code_ = (code_ << 8) | next();
        range_ <<= 8;
    }
    const uint8_t* at_;
    const uint8_t* end_;
    uint32_t code_ = 0;
    uint32_t range_ = 0xFFFFFFFFu;
    uint32_t step_ = 0;
    uint32_t padded_ = 0;
};

}  // namespace narrows
