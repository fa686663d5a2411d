#include <vector>

#include "check.hpp"
#include "narrows/crc.hpp"

namespace {

// The definition, a bit at a time.
uint32_t plain(std::span<const uint8_t> data, uint32_t crc) {
    crc = ~crc;
    for (uint8_t byte : data) {
        crc ^= byte;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0u);
    }
    return ~crc;
}

}  // namespace

int main() {
    const uint8_t digits[] = {'1', '2', '3', '4', '5', '6', '7', '8', '9'};
    CHECK(narrows::crc32c(digits) == 0xE3069283u);
    CHECK(narrows::crc32c(std::span(digits).subspan(4), narrows::crc32c(std::span(digits).first(4))) == 0xE3069283u);

    Random random(1);
    std::vector<uint8_t> bytes(8192);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.next());
    for (int round = 0; round < 500; ++round) {
        const size_t first = random.below(64), count = random.below(static_cast<uint32_t>(bytes.size() - first + 1));
        const auto some = std::span<const uint8_t>(bytes).subspan(first, count);
        const auto seed = static_cast<uint32_t>(random.next());
        CHECK(narrows::crc32c(some, seed) == plain(some, seed));
        const size_t split = random.below(static_cast<uint32_t>(count + 1));
        const uint32_t front = narrows::crc32c(some.first(split), seed), back = narrows::crc32c(some.subspan(split));
        CHECK(narrows::join_crc32c(front, back, count - split) == plain(some, seed));
    }
    return 0;
}
