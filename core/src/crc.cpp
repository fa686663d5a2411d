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

using ByteTable = std::array<uint32_t, 256>;

constexpr ByteTable kTable = [] {
    ByteTable table{};
    for (uint32_t i = 0; i < 256; ++i) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ (c & 1 ? 0x82F63B78u : 0u);
        table[i] = c;
    }
    return table;
}();

#if defined(__x86_64__) || defined(__ARM_FEATURE_CRC32)

// The instruction takes 3 clocks and a new one can begin in each, so long data is read at three places at once.
constexpr size_t kStretch = 512;  // bytes, a multiple of 8

// What each byte of a register becomes when kStretch zero bytes have followed.
constexpr std::array<ByteTable, 4> kAfterStretch = [] {
    std::array<uint32_t, 32> bits{};
    for (uint32_t bit = 0; bit < 32; ++bit) {
        uint32_t c = 1u << bit;
        for (size_t i = 0; i < kStretch; ++i) c = kTable[c & 255] ^ (c >> 8);
        bits[bit] = c;
    }
    std::array<ByteTable, 4> tables{};
    for (uint32_t place = 0; place < 4; ++place)
        for (uint32_t i = 0; i < 256; ++i)
            for (uint32_t bit = 0; bit < 8; ++bit)
                if (i >> bit & 1) tables[place][i] ^= bits[8 * place + bit];
    return tables;
}();

inline uint64_t after_stretch(uint64_t crc) {
    return kAfterStretch[0][crc & 255] ^ kAfterStretch[1][crc >> 8 & 255] ^ kAfterStretch[2][crc >> 16 & 255] ^
           kAfterStretch[3][crc >> 24 & 255];
}

// x86-64-v2 has SSE4.2, so the instruction needs no run-time check there.
inline uint64_t add8(uint64_t crc, const uint8_t* p) {
    uint64_t word;
    std::memcpy(&word, p, 8);
#if defined(__x86_64__)
    return _mm_crc32_u64(crc, word);
#else
    return __crc32cd(static_cast<uint32_t>(crc), word);
#endif
}

#endif

// The product of two polynomials modulo that of the CRC; the highest bit is the coefficient of x^0.
constexpr uint32_t multiply(uint32_t a, uint32_t b) {
    uint32_t product = 0;
    for (; a; a <<= 1, b = (b >> 1) ^ (b & 1 ? 0x82F63B78u : 0u))
        if (a >> 31) product ^= b;
    return product;
}

// x^(8 * 2^i): what 2^i bytes behind it multiply a CRC by.
constexpr std::array<uint32_t, 64> kAfterBytes = [] {
    std::array<uint32_t, 64> powers{0x00800000};
    for (size_t i = 1; i < powers.size(); ++i) powers[i] = multiply(powers[i - 1], powers[i - 1]);
    return powers;
}();

}  // namespace

uint32_t join_crc32c(uint32_t first, uint32_t second, size_t second_bytes) noexcept {
    for (size_t i = 0; second_bytes; ++i, second_bytes >>= 1)
        if (second_bytes & 1) first = multiply(first, kAfterBytes[i]);
    return first ^ second;
}

uint32_t crc32c(std::span<const uint8_t> data, uint32_t crc) noexcept {
    const uint8_t* p = data.data();
    size_t n = data.size();
    crc = ~crc;
#if defined(__x86_64__) || defined(__ARM_FEATURE_CRC32)
    uint64_t first = crc;
    for (; n >= 3 * kStretch; n -= 3 * kStretch, p += 3 * kStretch) {
        uint64_t second = 0, third = 0;
        for (size_t i = 0; i < kStretch; i += 8) {
            first = add8(first, p + i);
            second = add8(second, p + kStretch + i);
            third = add8(third, p + 2 * kStretch + i);
        }
        first = after_stretch(after_stretch(first) ^ second) ^ third;
    }
    for (; n >= 8; n -= 8, p += 8) first = add8(first, p);
    crc = static_cast<uint32_t>(first);
#endif
    for (; n; --n) crc = kTable[(crc ^ *p++) & 255] ^ (crc >> 8);
    return ~crc;
}

}  // namespace narrows
