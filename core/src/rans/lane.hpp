// One step of one lane, shared by the portable kernels, the tails of the others and the device.
// State x in [2^16, 2^32), words of 16 bits; layout in docs/format.md, "Lanes".
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define NARROWS_HD __host__ __device__
#else
#define NARROWS_HD
#endif

namespace narrows {

inline constexpr uint32_t kLow = 1u << 16;

// A token of a table: slots [start, start + (g << shift)) of 2^bits.
struct Slots {
    uint32_t start, g, shift;
};

// True if x must give a word away before coding a token of g sub-slots; then x >> 16 follows.
NARROWS_HD inline bool must_emit(uint32_t x, uint32_t g, uint32_t bits) {
    return x >= uint64_t{g} << (32 - bits);
}

// Codes `low` < 2^shift within the token. The result stays below 2^32 because x < g << (32 - bits).
NARROWS_HD inline uint32_t encode_step(uint32_t x, Slots token, uint32_t low, uint32_t bits) {
    return static_cast<uint32_t>(uint64_t{x / token.g} << bits) + token.start + (x % token.g << token.shift) + low;
}

// The state after taking the token that owns slot x mod 2^bits; at least 1, so one word restores it. `low` is
// what the encoder was given.
NARROWS_HD inline uint32_t decode_step(uint32_t x, Slots token, uint32_t bits, uint32_t& low) {
    const uint32_t d = (x & ((1u << bits) - 1)) - token.start;
    low = d & ((1u << token.shift) - 1);
    return token.g * (x >> bits) + (d >> token.shift);
}

}  // namespace narrows
