// The side stream: Exp-Golomb escapes (Teuhola 1978) and raw low bits, least significant bit first.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "narrows/tables.hpp"
#include "rans/lane.hpp"

namespace narrows {

[[gnu::always_inline]] inline uint32_t escape_distance(int32_t value, const Table& table) noexcept {
    return escape_distance(value, table.offset, table.span());
}

[[gnu::always_inline]] inline bool escape_value(uint64_t distance, const Table& table, int32_t& value) noexcept {
    return escape_value(distance, table.offset, table.span(), value);
}

class BitWriter {
   public:
    // `count` <= 32.
    void put(uint32_t value, uint32_t count) {
        held_ |= uint64_t{value} << num_held_;
        num_held_ += count;
        while (num_held_ >= 8) {
            bytes_.push_back(static_cast<uint8_t>(held_));
            held_ >>= 8;
            num_held_ -= 8;
        }
    }
    // Exp-Golomb of order `order`: z + 2^order in binary, its width told by zeros and a one before it.
    void put_exp_golomb(uint32_t z, uint32_t order) {
        const uint64_t y = (uint64_t{z} >> order) + 1;
        const uint32_t width = static_cast<uint32_t>(std::bit_width(y)) - 1;
        put(0, width);
        put(1, 1);
        put(static_cast<uint32_t>(y - (uint64_t{1} << width)), width);
        put(z & ((1u << order) - 1), order);
    }
    // Fills the last byte with zeros.
    const std::vector<uint8_t>& finish() {
        if (num_held_) put(0, 8 - num_held_);
        return bytes_;
    }

   private:
    uint64_t held_ = 0;  // below 2^(7 + 32)
    uint32_t num_held_ = 0;
    std::vector<uint8_t> bytes_;
};

class BitReader {
   public:
    explicit BitReader(std::span<const uint8_t> bytes) noexcept : bytes_(bytes) {}
    // Bits past the end are zeros; `overrun` tells.
    uint32_t get(uint32_t count) noexcept {
        uint32_t value = 0;
        for (uint32_t got = 0; got < count;) {
            const uint32_t take = std::min(count - got, 8 - static_cast<uint32_t>(at_ & 7));
            const uint32_t byte = (at_ >> 3) < bytes_.size() ? bytes_[at_ >> 3] : 0;
            value |= (byte >> (at_ & 7) & ((1u << take) - 1)) << got;
            got += take;
            at_ += take;
        }
        return value;
    }
    // False if the prefix is longer than any uint32 needs.
    bool get_exp_golomb(uint32_t order, uint64_t& z) noexcept {
        uint32_t width = 0;
        while (get(1) == 0)
            if (++width > 32) return false;
        const uint64_t y = (uint64_t{1} << width) + get(width);
        z = ((y - 1) << order) + get(order);
        return true;
    }
    bool overrun() const noexcept { return at_ > 8 * bytes_.size(); }
    // True if nothing but zeros is left.
    bool rest_is_zero() noexcept {
        while (at_ < 8 * bytes_.size())
            if (get(std::min<uint32_t>(8, static_cast<uint32_t>(8 * bytes_.size() - at_))) != 0) return false;
        return true;
    }
    // True if the last byte was reached and its unused bits are zeros.
    bool finished() noexcept { return (at_ + 7) / 8 == bytes_.size() && rest_is_zero(); }

   private:
    std::span<const uint8_t> bytes_;
    uint64_t at_ = 0;  // in bits
};

}  // namespace narrows
