// Random tables and symbols for the tests of the entropy coder.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "check.hpp"
#include "narrows/tables.hpp"

inline std::shared_ptr<const narrows::Tables> make_tables(unsigned bits, const std::vector<int32_t>& offset,
                                                          const std::vector<uint8_t>& shift,
                                                          const std::vector<uint32_t>& num_tokens,
                                                          const std::vector<uint32_t>& frequencies) {
    std::shared_ptr<const narrows::Tables> tables;
    const char* what = "";
    const auto status = narrows::Tables::make(bits, offset, shift, num_tokens, frequencies, tables, what);
    if (status != narrows::Status::ok) std::fprintf(stderr, "%s\n", what);
    CHECK(status == narrows::Status::ok);
    return tables;
}

// One table without an escape, values from 0 up.
inline std::shared_ptr<const narrows::Tables> closed_table(unsigned bits, std::vector<uint32_t> frequencies) {
    frequencies.insert(frequencies.begin(), 0);
    return make_tables(bits, {0}, {0}, {static_cast<uint32_t>(frequencies.size())}, frequencies);
}

struct TableKind {
    unsigned bits = 0;        // 0: any
    unsigned most_shift = 20;
    int far = 100000;         // offsets within
    bool always_escape = true;
};

inline std::shared_ptr<const narrows::Tables> random_tables(Random& random, unsigned num_tables, TableKind kind = {}) {
    const unsigned bits = kind.bits ? kind.bits : 8 + random.below(9);
    std::vector<int32_t> offset;
    std::vector<uint8_t> shift;
    std::vector<uint32_t> sizes, frequencies;
    const bool plain = random.below(2);
    for (unsigned t = 0; t < num_tables; ++t) {
        unsigned k = plain ? 0 : random.below(kind.most_shift + 1);
        if (bits - std::min(k, 7u) < 3) k = 0;
        const unsigned slot_bits = bits - std::min(k, 7u);
        const bool closed = !kind.always_escape && random.below(2);
        const unsigned most = std::min(random.below(8) ? 40u : 2000u, (1u << slot_bits) - 1);
        const unsigned n = random.below(20) ? 2 + random.below(most - 1) : closed ? 2 : 1;
        std::vector<uint64_t> weights(closed ? n - 1 : n);
        const unsigned sharp = random.below(4);
        for (auto& w : weights) {
            w = random.next() >> 32;
            for (unsigned i = 0; i < sharp; ++i) w = w * (random.next() >> 32) >> 32;
        }
        weights[random.below(static_cast<unsigned>(weights.size()))] += 1 + (random.below(4) ? 0 : 1ull << 40);
        std::vector<uint32_t> units(weights.size());
        CHECK(narrows::apportion(weights, slot_bits, units) == narrows::Status::ok);
        if (closed) frequencies.push_back(0);
        for (uint32_t u : units) frequencies.push_back(u << std::min(k, 7u));
        sizes.push_back(n);
        shift.push_back(static_cast<uint8_t>(k));
        offset.push_back(static_cast<int32_t>(random.below(static_cast<unsigned>(2 * kind.far + 1))) - kind.far);
        if (random.below(50) == 0 && kind.far > 40000) offset.back() = INT32_MIN;
    }
    return make_tables(bits, offset, shift, sizes, frequencies);
}

// Mostly values inside the tables, and int32 from anywhere where the table has an escape.
template <typename Index>
void random_symbols(Random& random, const narrows::Tables& tables, std::vector<Index>& index,
                    std::vector<int32_t>& symbols) {
    const unsigned escapes = random.below(3);
    for (size_t i = 0; i < symbols.size(); ++i) {
        index[i] = static_cast<Index>(random.below(static_cast<unsigned>(tables.size())));
        const narrows::Table& table = tables[index[i]];
        const bool out = table.span() == 0 || (escapes && table.has_escape && random.below(escapes == 1 ? 50 : 3) == 0);
        if (!out) {
            const uint32_t slot = static_cast<uint32_t>(random.next()) & ((1u << tables.bits()) - 1);
            const uint32_t* cdf = tables.cdf().data() + table.first;
            uint32_t token = 1;
            while (token + 1 < table.num_tokens && cdf[token + 1] <= slot) ++token;
            symbols[i] = static_cast<int32_t>(table.offset + (int64_t{token - 1} << table.shift) +
                                              (random.next() & ((1u << table.shift) - 1)));
        } else if (random.below(2)) {
            symbols[i] = static_cast<int32_t>(random.next());
        } else {
            const int64_t near = table.offset + (random.below(2) ? static_cast<int64_t>(table.span()) : -1) +
                                 static_cast<int64_t>(random.below(9)) - 4;
            symbols[i] = static_cast<int32_t>(std::clamp<int64_t>(near, INT32_MIN, INT32_MAX));
        }
    }
}
