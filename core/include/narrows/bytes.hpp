// Any bytes, by context mixing (mixing.hpp): orders 1 to 4 and 6, words, and the longest earlier match.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "narrows/status.hpp"

namespace narrows {

// First byte of a coded block.
inline constexpr uint8_t kBytesStored = 0;
inline constexpr uint8_t kBytesMixed = 1;
inline constexpr size_t kMaxBlockBytes = size_t{1} << 24;

// Codes one block of at most kMaxBlockBytes by itself: never more than a byte longer than the block.
[[nodiscard]] Status bytes_encode(std::span<const uint8_t> block, std::vector<uint8_t>& payload);

// The inverse: fills `block`, whose size the caller knows and has allowed, or reports corrupt or truncated.
[[nodiscard]] Status bytes_decode(std::span<const uint8_t> payload, std::span<uint8_t> block);

}  // namespace narrows
