// One step of one lane, shared by the portable kernels, the tails of the others and the device.
// State x in [2^16, 2^32), words of 16 bits; layout in docs/format.md, "Lanes". No header that NVRTC lacks.
#pragma once

#if defined(__CUDACC_RTC__)
using int8_t = signed char;
using int16_t = short;
using int32_t = int;
using int64_t = long long;
using uint8_t = unsigned char;
using uint16_t = unsigned short;
using uint32_t = unsigned int;
using uint64_t = unsigned long long;
#else
#include <cstdint>
#endif

#if defined(__CUDACC__)
#define NARROWS_LANE __host__ __device__ __forceinline__
#else
#define NARROWS_LANE [[gnu::always_inline]] inline
#endif

namespace narrows {

inline constexpr uint32_t kLow = 1u << 16;

// A token of a table: slots [start, start + (g << shift)) of 2^bits.
struct Slots {
    uint32_t start, g, shift;
};

// True if x must give a word away before coding a token of g sub-slots; then x >> 16 follows.
NARROWS_LANE bool must_emit(uint32_t x, uint32_t g, uint32_t bits) { return x >= uint64_t{g} << (32 - bits); }

// Codes `low` < 2^shift within the token, given q = x / g. The result stays below 2^32 because x < g << (32 - bits).
NARROWS_LANE uint32_t encode_step(uint32_t x, uint32_t q, Slots token, uint32_t low, uint32_t bits) {
    return static_cast<uint32_t>(uint64_t{q} << bits) + token.start + ((x - q * token.g) << token.shift) + low;
}

// x / g, given floor(2^32 / g), or 2^32 - 1 for g = 1: the product's high half is exact or one too small.
NARROWS_LANE uint32_t divide(uint32_t x, uint32_t g, uint32_t reciprocal) {
    const auto q = static_cast<uint32_t>(uint64_t{x} * reciprocal >> 32);
    return q + (x - q * g >= g);
}

// The state after taking the token that owns slot x mod 2^bits; at least 1, so one word restores it. `low` is
// what the encoder was given.
NARROWS_LANE uint32_t decode_step(uint32_t x, Slots token, uint32_t bits, uint32_t& low) {
    const uint32_t d = (x & ((1u << bits) - 1)) - token.start;
    low = d & ((1u << token.shift) - 1);
    return token.g * (x >> bits) + (d >> token.shift);
}

// The token that owns `slot`, by bisection of the boundaries cdf[0 .. num_tokens].
NARROWS_LANE uint32_t token_of(const uint32_t* cdf, uint32_t num_tokens, uint32_t slot) {
    uint32_t token = 0;
    for (uint32_t left = num_tokens; left > 1;) {
        const uint32_t half = left / 2;
        token += cdf[token + half] <= slot ? half : 0;
        left -= half;
    }
    return token;
}

// The number of a value outside the `span` values from `offset`, small near their edges: the values outside, read
// upward from the upper edge and around 2^32 to the lower one, are numbered 0, 2, 4, ... from the start and 1, 3,
// 5, ... from the end. Every int32 outside has one below 2^32 - span.
NARROWS_LANE uint32_t escape_distance(int32_t value, int32_t offset, uint64_t span) {
    const uint64_t outside = (uint64_t{1} << 32) - span;
    const uint64_t above = static_cast<uint32_t>(static_cast<uint32_t>(value) - static_cast<uint32_t>(offset) -
                                                 static_cast<uint32_t>(span));
    const uint64_t below = outside - 1 - above;
    return static_cast<uint32_t>(above <= below ? 2 * above : 2 * below + 1);
}

// False if no value has this number.
NARROWS_LANE bool escape_value(uint64_t distance, int32_t offset, uint64_t span, int32_t& value) {
    const uint64_t outside = (uint64_t{1} << 32) - span;
    if (distance >= outside) return false;
    const uint64_t above = distance & 1 ? outside - 1 - distance / 2 : distance / 2;
    value = static_cast<int32_t>(static_cast<uint32_t>(above + span) + static_cast<uint32_t>(offset));
    return true;
}

}  // namespace narrows
