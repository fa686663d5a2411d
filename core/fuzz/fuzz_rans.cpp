// Payloads of rANS, as they come and with sound checksums and digests put in; and round trips of random symbols.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "narrows/cpu.hpp"
#include "narrows/rans.hpp"
#include "payloads.hpp"

using namespace narrows;

namespace {

constexpr unsigned kSets = 24;

const Tables& tables_of(unsigned set) {
    return one_of(set, kSets, 31, [](Random& random, unsigned i) {
        const TableKind kind = i % 3 ? TableKind{i % 2 ? 15u : 12u, i % 4 ? 7u : 0u, 3000, i % 5 != 0} : TableKind{};
        return random_tables(random, 1 + random.below(5), kind);
    });
}

std::vector<uint8_t> index_of(const Tables& tables, unsigned seed, size_t n) {
    Random random{seed};
    std::vector<uint8_t> index(n);
    for (auto& i : index) i = static_cast<uint8_t>(random.below(static_cast<unsigned>(tables.size())));
    return index;
}

}  // namespace

// Input: table set, seed of the index, mode, two bytes of length, payload.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 5) return 0;
    const Tables& tables = tables_of(data[0]);
    const unsigned mode = data[2];
    const size_t n = (data[3] | data[4] << 8) % 3000;
    const std::vector<uint8_t> index = index_of(tables, data[1], n);
    std::vector<uint8_t> payload(data + 5, data + size);
    std::string what;

    if (mode & 1) put_digest(payload, tables.digest());
    if (mode & 2 && payload.size() >= 11 && payload[2] & 64) put_check(payload);
    const std::vector<uint8_t> exact(payload.begin(), payload.end());

    // Every instruction set must refuse the same payloads and agree on the others.
    std::vector<int32_t> first;
    Status first_status = Status::ok;
    bool is_first = true;
    for (Isa isa : available_isas()) {
        if (!set_isa(isa)) std::abort();
        for (unsigned threads : {1u, 2u}) {
            if (threads == 2 && (mode & 4) == 0) continue;
            std::vector<int32_t> symbols(n);
            const Status status = decode(exact, std::span<const uint8_t>(index), tables, {(mode & 8) != 0, threads},
                                         std::span<int32_t>(symbols), what);
            if (is_first) {
                first = symbols;
                first_status = status;
                is_first = false;
            }
            if (status != first_status || (status == Status::ok && symbols != first)) std::abort();
            std::vector<int16_t> narrow(n);
            if (decode(exact, std::span<const uint8_t>(index), tables, {false, 1}, std::span<int16_t>(narrow), what) ==
                    Status::ok &&
                status == Status::ok && !std::equal(narrow.begin(), narrow.end(), symbols.begin()))
                std::abort();
        }
    }

    // The bytes as symbols: what is coded comes back.
    std::vector<int32_t> symbols(std::min<size_t>(n, payload.size() / 2));
    for (size_t i = 0; i < symbols.size(); ++i) {
        symbols[i] = static_cast<int16_t>(payload[2 * i] | payload[2 * i + 1] << 8);
        if (mode & 16) symbols[i] = static_cast<int32_t>(static_cast<uint32_t>(symbols[i]) * 40503u);
    }
    const auto some = std::span<const uint8_t>(index).first(symbols.size());
    EncodeOptions options;
    options.check = mode & 8;
    options.hash_index = mode & 32;
    options.chunk_bytes = mode & 64 ? 64 : 1 << 18;
    std::vector<uint8_t> expected;
    for (Isa isa : available_isas()) {
        if (!set_isa(isa)) std::abort();
        std::vector<uint8_t> coded;
        if (encode(std::span<const int32_t>(symbols), some, tables, options, coded, what) != Status::ok) continue;
        if (expected.empty()) expected = coded;
        if (coded != expected) std::abort();
        std::vector<int32_t> back(symbols.size());
        if (decode(coded, some, tables, {options.check, 1}, std::span<int32_t>(back), what) != Status::ok ||
            back != symbols)
            std::abort();
    }
    return 0;
}

extern "C" size_t NarrowsFuzzSeed(unsigned number, uint8_t* data, size_t capacity) {
    if (number >= 96) return 0;
    Random random{number};
    const size_t n = number % 3 == 0 ? 2999 : random.below(200);
    const Tables& tables = tables_of(number % kSets);
    const std::vector<uint8_t> index = index_of(tables, number, n);
    std::vector<uint8_t> same(n);
    std::vector<int32_t> symbols(n);
    random_symbols(random, tables, same, symbols);
    for (size_t i = 0; i < n; ++i)
        if (same[i] != index[i]) symbols[i] = tables[index[i]].offset;
    for (size_t i = 0; i < n; ++i)
        if (tables[index[i]].num_tokens == 1 && !tables[index[i]].has_escape) return 0;
    EncodeOptions options;
    options.check = number & 1;
    options.chunk_bytes = number & 2 ? 256 : 1 << 18;
    std::vector<uint8_t> payload;
    std::string what;
    if (encode(std::span<const int32_t>(symbols), std::span<const uint8_t>(index), tables, options, payload, what) !=
        Status::ok)
        payload.clear();
    if (payload.size() + 5 > capacity) payload.resize(capacity - 5);
    data[0] = static_cast<uint8_t>(number % kSets);
    data[1] = static_cast<uint8_t>(number);
    data[2] = static_cast<uint8_t>(3 | (number & 1 ? 8 : 0));
    data[3] = static_cast<uint8_t>(n);
    data[4] = static_cast<uint8_t>(n >> 8);
    if (!payload.empty()) std::memcpy(data + 5, payload.data(), payload.size());
    return payload.size() + 5;
}
