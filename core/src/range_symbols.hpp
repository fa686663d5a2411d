// One symbol through the range coder, by a table that is fixed or adapts: what loops over symbols share.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "narrows/range_tables.hpp"
#include "rans/side.hpp"

namespace narrows {

// How far an escaped symbol lies outside its table: the same Exp-Golomb code as in the side stream, most significant
// bit first. Escapes are rare: out of line, and the coder goes in and out by value, so that it stays in registers
// elsewhere.
[[nodiscard]] RangeEncoder put_distance(RangeEncoder encoder, const Table& table, int32_t symbol);

struct Escaped {
    RangeDecoder decoder;
    int32_t symbol;
    bool sound;  // false if no symbol is that far outside
};

[[nodiscard]] Escaped get_distance(RangeDecoder decoder, const Table& table);

// 0, the escape, for a symbol outside.
NARROWS_INLINE uint32_t token_of(int32_t symbol, const Table& table) noexcept {
    const uint32_t above = static_cast<uint32_t>(symbol) - static_cast<uint32_t>(table.offset);
    const uint32_t token = above >> table.shift;
    return token < table.num_tokens - 1 ? token + 1 : 0;
}

// Fixed tables with what finds tokens quickly; made once a call.
struct SearchTables {
    // For few symbols it is not worth making what Tables makes when first asked.
    SearchTables(const Tables& t, size_t num_symbols) : tables(t) {
        if (num_symbols < 8192) return;
        hints = t.decode_entries().hints.data();
        log2_hints = t.decode_entries().log2_hints;
    }
    const Tables& tables;
    const uint32_t* hints = nullptr;
    uint32_t log2_hints = 0;
};

inline SearchTables for_decoding(const Tables& tables, size_t num_symbols) { return {tables, num_symbols}; }
inline AdaptiveTables& for_decoding(AdaptiveTables& tables, size_t) { return tables; }

inline const Tables& fixed(const Tables& tables) noexcept { return tables; }
inline const Tables& fixed(const SearchTables& tables) noexcept { return tables.tables; }
inline const Tables& fixed(const AdaptiveTables& tables) noexcept { return tables.tables(); }

NARROWS_INLINE void put_token(RangeEncoder& encoder, const Tables& tables, uint32_t i, uint32_t token) {
    const uint32_t* cdf = tables.cdf().data() + tables[i].first + token;
    encoder.encode(cdf[0], cdf[1] - cdf[0], tables.bits());
}

NARROWS_INLINE uint32_t get_token(RangeDecoder& decoder, const SearchTables& search, uint32_t i) {
    const Tables& tables = search.tables;
    const Table& table = tables[i];
    const uint32_t* cdf = tables.cdf().data() + table.first;
    const uint32_t target = decoder.target(tables.bits());
    uint32_t token = 0, last = table.num_tokens - 1;
    if (search.hints) {
        const uint32_t run = target >> (tables.bits() - search.log2_hints);
        const uint32_t* hint = search.hints + (size_t{i} << search.log2_hints) + run;
        token = hint[0];
        if (run + 1 < 1u << search.log2_hints) last = hint[1];
    }
    for (uint32_t count = last - token + 1; count > 1;) {  // by bisection, where known between a run's ends
        const uint32_t half = count / 2;
        token += cdf[token + half] <= target ? half : 0;
        count -= half;
    }
    decoder.take(cdf[token], cdf[token + 1] - cdf[token], tables.bits());
    return token;
}
// What is below a token: its low bits, or how far outside an escaped symbol lies.
NARROWS_INLINE void put_rest(RangeEncoder& encoder, const Table& table, uint32_t token, int32_t symbol) {
    if (token == 0) {
        encoder = put_distance(std::move(encoder), table, symbol);
    } else {
        const uint32_t above = static_cast<uint32_t>(symbol) - static_cast<uint32_t>(table.offset);
        encoder.encode_raw(above & ((1u << table.shift) - 1), table.shift);
    }
}
// False if no symbol is that far outside.
[[nodiscard]] NARROWS_INLINE bool get_rest(RangeDecoder& decoder, const Table& table, uint32_t token, int32_t& symbol) {
    if (token == 0) {
        const Escaped escaped = get_distance(decoder, table);
        decoder = escaped.decoder;
        symbol = escaped.symbol;
        return escaped.sound;
    }
    const uint32_t low = decoder.decode_raw(table.shift);
    symbol = static_cast<int32_t>(static_cast<uint32_t>(table.offset) + ((token - 1) << table.shift) + low);
    return true;
}

// False, and nothing is coded, if `symbol` lies outside a table without an escape; i < number of tables.
[[nodiscard]] NARROWS_INLINE bool put_symbol(RangeEncoder& encoder, const Tables& tables, uint32_t i, int32_t symbol) {
    const Table& table = tables[i];
    const uint32_t token = token_of(symbol, table);
    if (token == 0 && !table.has_escape) return false;
    put_token(encoder, tables, i, token);
    put_rest(encoder, table, token, symbol);
    return true;
}
// `table` is the one that `entry` began as.
[[nodiscard]] NARROWS_INLINE bool put_symbol(RangeEncoder& encoder, AdaptiveTables::Entry& entry, const Table* table,
                                             int32_t symbol) {
    const uint32_t above = static_cast<uint32_t>(symbol) - static_cast<uint32_t>(entry.offset);
    const uint32_t token = above >> entry.shift;
    if (token < entry.num_covered) [[likely]] {
        entry.counts.encode(encoder, token + entry.escape);
        if (entry.shift) [[unlikely]] encoder.encode_raw(above & ((1u << entry.shift) - 1), entry.shift);
        return true;
    }
    if (!entry.escape) return false;
    entry.counts.encode(encoder, 0);
    encoder = put_distance(std::move(encoder), *table, symbol);
    return true;
}
[[nodiscard]] NARROWS_INLINE bool put_symbol(RangeEncoder& encoder, AdaptiveTables& tables, uint32_t i, int32_t symbol) {
    return put_symbol(encoder, tables.entries()[i], &tables.tables()[i], symbol);
}

// False if an escape is damaged; i < number of tables.
[[nodiscard]] NARROWS_INLINE bool get_symbol(RangeDecoder& decoder, const SearchTables& tables, uint32_t i,
                                             int32_t& symbol) {
    const uint32_t token = get_token(decoder, tables, i);
    return get_rest(decoder, tables.tables[i], token, symbol);
}
[[nodiscard]] NARROWS_INLINE bool get_symbol(RangeDecoder& decoder, AdaptiveTables::Entry& entry, const Table* table,
                                             int32_t& symbol) {
    uint32_t token = entry.counts.decode(decoder);
    if (token < entry.escape) [[unlikely]] {
        const Escaped escaped = get_distance(decoder, *table);
        decoder = escaped.decoder;
        symbol = escaped.symbol;
        return escaped.sound;
    }
    token -= entry.escape;
    uint32_t above = token << entry.shift;
    if (entry.shift) [[unlikely]] above += decoder.decode_raw(entry.shift);
    symbol = static_cast<int32_t>(static_cast<uint32_t>(entry.offset) + above);
    return true;
}
[[nodiscard]] NARROWS_INLINE bool get_symbol(RangeDecoder& decoder, AdaptiveTables& tables, uint32_t i, int32_t& symbol) {
    return get_symbol(decoder, tables.entries()[i], &tables.tables()[i], symbol);
}

}  // namespace narrows
