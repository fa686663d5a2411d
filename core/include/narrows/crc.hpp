// CRC32C (Castagnoli, reflected polynomial 82F63B78): "123456789" gives E3069283.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace narrows {

// Continues `crc` (0 to begin) over `data`. Linear in the seed, so a seeded CRC tells streams apart.
[[nodiscard]] uint32_t crc32c(std::span<const uint8_t> data, uint32_t crc = 0) noexcept;

// The CRC of two pieces of data behind each other, from the CRC of each and the length of the second.
[[nodiscard]] uint32_t join_crc32c(uint32_t first, uint32_t second, size_t second_bytes) noexcept;

}  // namespace narrows
