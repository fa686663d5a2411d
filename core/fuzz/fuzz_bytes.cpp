// Blocks of bytes: decodes arbitrary payloads, and round-trips the input as a block.
#include <cstdlib>
#include <vector>

#include "narrows/bytes.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace narrows;
    const std::span<const uint8_t> input(data, size);
    std::vector<uint8_t> block(size < 2 ? 0 : data[size - 1] * 97u), payload;
    static_cast<void>(bytes_decode(input, block));
    if (bytes_encode(input, payload) != Status::ok || payload.size() > size + 1) std::abort();
    block.resize(size);
    if (bytes_decode(payload, block) != Status::ok || !std::equal(block.begin(), block.end(), data)) std::abort();
    return 0;
}
