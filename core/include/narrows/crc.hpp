// CRC32C (Castagnoli, reflected polynomial 82F63B78): "123456789" gives E3069283.
#pragma once

#include <cstdint>
#include <span>

namespace narrows {

// Continues `crc` (0 to begin) over `data`. Linear in the seed, so a seeded CRC tells streams apart.
[[nodiscard]] uint32_t crc32c(std::span<const uint8_t> data, uint32_t crc = 0) noexcept;

}  // namespace narrows
