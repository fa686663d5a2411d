// What targets that damage payloads share: tables to choose from, and checksums and digests put in.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "../tests/random_tables.hpp"
#include "narrows/crc.hpp"

// Made at the first call, `count` of them by make(random, number); number `set` modulo that.
template <typename Make>
const narrows::Tables& one_of(unsigned set, unsigned count, unsigned seed, Make make) {
    static std::vector<std::shared_ptr<const narrows::Tables>> sets;
    if (sets.empty()) {
        Random random{seed};
        for (unsigned i = 0; i < count; ++i) sets.push_back(make(random, i));
    }
    return *sets[set % count];
}

inline void store32(uint8_t* p, uint32_t value) {
    for (int i = 0; i < 4; ++i) p[i] = static_cast<uint8_t>(value >> (8 * i));
}

// The digest stands behind three bytes; see docs/format.md, "Entropy payloads".
inline void put_digest(std::vector<uint8_t>& payload, uint32_t digest) {
    if (payload.size() >= 7) store32(payload.data() + 3, digest);
}

// Over all before the last four bytes, of which there are four at least.
inline void put_check(std::vector<uint8_t>& bytes) {
    store32(bytes.data() + bytes.size() - 4, narrows::crc32c(std::span(bytes).first(bytes.size() - 4)));
}
