// The side stream: Exp-Golomb escapes (Teuhola 1978) and raw low bits, least significant bit first.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "narrows/tables.hpp"

namespace narrows {

// The number of a value outside `table`, small near its edges: the values outside, read upward from the upper
// edge and around 2^32 to the lower one, are numbered 0, 2, 4, ... from the start and 1, 3, 5, ... from the end.
// Every int32 outside has one below 2^32 - span.
[[gnu::always_inline]] inline uint32_t escape_distance(int32_t value, const Table& table) noexcept {
    const uint64_t outside = (uint64_t{1} << 32) - table.span();
    const uint64_t above = static_cast<uint32_t>(static_cast<uint32_t>(value) - static_cast<uint32_t>(table.offset) -
                                                 static_cast<uint32_t>(table.span()));
    const uint64_t below = outside - 1 - above;
    return static_cast<uint32_t>(above <= below ? 2 * above : 2 * below + 1);
}

// False if no value has this number.
inline bool escape_value(uint64_t distance, const Table& table, int32_t& value) noexcept {
    const uint64_t outside = (uint64_t{1} << 32) - table.span();
    if (distance >= outside) return false;
    const uint64_t above = distance & 1 ? outside - 1 - distance / 2 : distance / 2;
    value = static_cast<int32_t>(static_cast<uint32_t>(above + table.span()) + static_cast<uint32_t>(table.offset));
    return true;
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
