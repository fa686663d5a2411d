// Bytes through the range decoder with every kind of model, and what is encoded comes back.
#include <cstdlib>
#include <memory>
#include <vector>

#include "narrows/range_tables.hpp"
#include "../tests/random_tables.hpp"

using namespace narrows;

namespace {

std::shared_ptr<const Tables> small_tables() {
    static const auto tables = make_tables(15, {-4, 0, -100}, {0, 2, 9}, {10, 3, 2},
                                           {100, 2000, 4000, 6000, 8568, 6000, 3000, 2000, 1000, 100,
                                            4, 16384, 16380, 128, 32640});
    return tables;
}

}  // namespace

// Input: number of symbols, which models, weight, bytes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 3) return 0;
    const size_t n = data[0] * size_t{4};
    const unsigned kind = data[1];
    const std::vector<uint8_t> bytes(data + 3, data + size);
    const auto tables = small_tables();
    std::string what;
    std::vector<uint8_t> index(n);
    for (size_t i = 0; i < n; ++i) index[i] = static_cast<uint8_t>((i * kind) % 3);

    AdaptiveTables adaptive, twin;
    const uint32_t weight = 2 + data[2];
    if (AdaptiveTables::make(tables, weight, 1 + kind % 12, adaptive, what) != Status::ok) std::abort();
    twin = adaptive;
    std::vector<AdaptiveBit> bits(3), bits_twin(3);

    std::vector<int32_t> symbols(n);
    CountingDecoder decoder(bytes);
    const Status first = get(decoder, symbols, index, *tables, what);
    const Status second = get(decoder, symbols, index, adaptive, what);
    const Status third = get(decoder, symbols, index, std::span(bits), what);
    // An encoder of the same symbols says the same of its length.
    if (first == Status::ok && second == Status::ok && third == Status::ok) {
        CountingDecoder again(bytes);
        RangeEncoder encoder;
        std::vector<AdaptiveBit> models(3);
        AdaptiveTables counts = twin;
        std::vector<int32_t> a(n), b(n), c(n);
        if (get(again, a, index, *tables, what) != Status::ok || put(encoder, a, index, *tables, what) != Status::ok)
            std::abort();
        if (tell_256(encoder.bytes_so_far(), encoder.range()) != again.tell_256()) std::abort();
        if (get(again, b, index, twin, what) != Status::ok || put(encoder, b, index, counts, what) != Status::ok)
            std::abort();
        if (get(again, c, index, std::span(bits_twin), what) != Status::ok ||
            put(encoder, c, index, std::span(models), what) != Status::ok)
            std::abort();
        if (tell_256(encoder.bytes_so_far(), encoder.range()) != again.tell_256()) std::abort();
    }

    for (size_t i = 0; i < n; ++i) symbols[i] = i < bytes.size() ? static_cast<int8_t>(bytes[i]) : 0;
    if (kind & 64)
        for (int32_t& s : symbols) s = static_cast<int32_t>(static_cast<uint32_t>(s) * 16777259u);
    AdaptiveTables start;
    if (AdaptiveTables::make(tables, weight, 10, start, what) != Status::ok) std::abort();
    AdaptiveTables a = start, b = start;
    std::vector<uint8_t> payload;
    if (encode(symbols, index, a, {}, payload, what) != Status::ok) std::abort();
    std::vector<int32_t> back(n);
    if (decode(payload, index, b, {}, back, what) != Status::ok || back != symbols) std::abort();
    b = start;
    if (decode(bytes, index, b, {false, 1}, back, what) == Status::no_memory) std::abort();
    return 0;
}

extern "C" size_t NarrowsFuzzSeed(unsigned number, uint8_t* data, size_t capacity) {
    if (number >= 32) return 0;
    Random random{number};
    const size_t size = std::min<size_t>(capacity, 3 + random.below(600));
    for (size_t i = 0; i < size; ++i) data[i] = static_cast<uint8_t>(random.next());
    data[0] = static_cast<uint8_t>(random.below(60));
    return size;
}
