#include "narrows/crc.hpp"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

namespace narrows {
namespace {

#if !defined(__x86_64__) && !defined(__ARM_FEATURE_CRC32)
constexpr std::array<uint32_t, 256> kTable = [] {
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < 256; ++i) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ (c & 1 ? 0x82F63B78u : 0u);
        table[i] = c;
    }
    return table;
}();
#endif

}  // namespace

// x86-64-v2 has SSE4.2, so the instruction needs no run-time check there.
uint32_t crc32c(std::span<const uint8_t> data, uint32_t crc) noexcept {
    const uint8_t* p = data.data();
    size_t n = data.size();
    crc = ~crc;
#if defined(__x86_64__)
    uint64_t wide = crc;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t word;
        std::memcpy(&word, p, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = static_cast<uint32_t>(wide);
    for (; n; --n) crc = _mm_crc32_u8(crc, *p++);
#elif defined(__ARM_FEATURE_CRC32)
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t word;
        std::memcpy(&word, p, 8);
        crc = __crc32cd(crc, word);
    }
    for (; n; --n) crc = __crc32cb(crc, *p++);
#else
    for (; n; --n) crc = kTable[(crc ^ *p++) & 255] ^ (crc >> 8);
#endif
    return ~crc;
}

}  // namespace narrows
