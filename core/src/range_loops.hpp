// The loops over symbols with adaptive tables, for files of different instruction sets: all that they call is inlined
// or lies in another file, so that a linker finds no copies to merge.
#pragma once

#include <cstddef>
#include <cstdint>

#include "range_symbols.hpp"

namespace narrows {

// Lengths, indexes and symbols are checked: what has no escape is covered. `tables` are those the entries began as.
template <typename Index>
struct AdaptiveLoops {
    using Put = void (*)(RangeEncoder& encoder, const int32_t* symbols, const Index* index, size_t size,
                         AdaptiveTables::Entry* entries, const Table* tables);
    // False if an escape is damaged.
    using Get = bool (*)(RangeDecoder& decoder, int32_t* symbols, const Index* index, size_t size,
                         AdaptiveTables::Entry* entries, const Table* tables);
    Put put;
    Get get;
};

namespace {

// Codes symbols from `i` on while their counts tell them whole, in a loop that has registers enough; returns where it
// stopped.
template <typename Index>
[[gnu::noinline]] size_t put_plain(RangeEncoder& encoder, const int32_t* symbols, const Index* index, size_t i,
                                   size_t size, AdaptiveTables::Entry* entries) {
    constexpr size_t kRun = 1024;
    for (bool plain = true; plain && i < size;) {
        const size_t end = size - i < kRun ? size : i + kRun;
        encoder.reserve(end - i);
        RangeEncoder local = std::move(encoder);
        for (; i < end; ++i) {
            AdaptiveTables::Entry& entry = entries[index[i]];
            const uint32_t above = static_cast<uint32_t>(symbols[i]) - static_cast<uint32_t>(entry.offset);
            if (above >= entry.num_plain) [[unlikely]] break;
            entry.counts.encode_from<true>(local, above + entry.first);
        }
        encoder = std::move(local);
        plain = i == end;
    }
    return i;
}

template <typename Index>
void put_loop(RangeEncoder& encoder, const int32_t* symbols, const Index* index, size_t size,
              AdaptiveTables::Entry* entries, const Table* tables) {
    for (size_t i = 0; (i = put_plain(encoder, symbols, index, i, size, entries)) < size;) {
        RangeEncoder local = std::move(encoder);
        do {  // tables with shifts come in runs
            (void)put_symbol(local, entries[index[i]], tables + index[i], symbols[i]);
        } while (++i < size && entries[index[i]].num_plain == 0);
        encoder = std::move(local);
    }
}

template <typename Index>
bool get_loop(RangeDecoder& decoder, int32_t* symbols, const Index* index, size_t size, AdaptiveTables::Entry* entries,
              const Table* tables) {
    RangeDecoder local = decoder;  // its state in registers
    bool sound = true;
    for (size_t i = 0; i < size && sound; ++i)
        sound = get_symbol(local, entries[index[i]], tables + index[i], symbols[i]);
    decoder = local;
    return sound;
}

}  // namespace

#if defined(__x86_64__)
AdaptiveLoops<uint8_t> adaptive_loops_avx2(uint8_t) noexcept;
AdaptiveLoops<uint16_t> adaptive_loops_avx2(uint16_t) noexcept;
#endif

}  // namespace narrows
