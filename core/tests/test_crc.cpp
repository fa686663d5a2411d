#include "check.hpp"
#include "narrows/crc.hpp"

int main() {
    const uint8_t digits[] = {'1', '2', '3', '4', '5', '6', '7', '8', '9'};
    CHECK(narrows::crc32c(digits) == 0xE3069283u);
    CHECK(narrows::crc32c(std::span(digits).subspan(4), narrows::crc32c(std::span(digits).first(4))) == 0xE3069283u);
    return 0;
}
