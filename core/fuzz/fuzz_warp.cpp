// Payloads and entry indexes as the device decodes them, emulated: the verdict and the symbols of the processor's coder.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "../tests/emulated.hpp"
#include "payloads.hpp"

using namespace narrows;

namespace {

const Tables& tables_of(unsigned set) {
    return one_of(set, 12, 37, [](Random& random, unsigned) { return random_tables(random, 1 + random.below(5)); });
}

}  // namespace

// Input: table set, seed, mode, two bytes of length, then a payload, or changes to the entry index of a sound one.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 5) return 0;
    const Tables& tables = tables_of(data[0]);
    Random random{data[1]};
    std::vector<uint16_t> index((data[3] | data[4] << 8) % 3000);
    std::vector<int32_t> symbols(index.size()), expected(index.size()), back;
    random_symbols(random, tables, index, symbols);
    const std::span<const uint16_t> names(index);
    std::vector<uint8_t> payload(data + 5, data + size);
    std::string what;

    if (data[2] & 1) {
        put_digest(payload, tables.digest());
        const std::vector<uint8_t> exact(payload.begin(), payload.end());
        const Status status = decode(exact, names, tables, {false, 1}, std::span<int32_t>(expected), what);
        if (emulated::decode(exact, index, tables, false, back) != status) std::abort();
        if (status == Status::ok && back != expected) std::abort();
        return 0;
    }
    std::vector<uint8_t> sound, entries;
    if (encode(std::span<const int32_t>(symbols), names, tables, {.chunk_bytes = 400}, sound, what) != Status::ok ||
        make_entries(sound, names, tables, true, 1 + 16 * data[2], entries, what) != Status::ok)
        return 0;
    entries.resize(entries.size() - 4);
    if (data[2] & 2)
        for (size_t i = 0; i + 1 < payload.size(); i += 2)
            entries[5 + payload[i] % (entries.size() - 5)] ^= payload[i + 1];
    else if (entries.size() > 5)
        entries.resize(5), entries.insert(entries.end(), payload.begin(), payload.end());
    entries.resize(entries.size() + 4);
    put_check(entries);
    if (emulated::decode(sound, index, tables, true, back, &entries) == Status::ok && back != symbols) std::abort();
    return 0;
}
