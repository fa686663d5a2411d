// The portable kernels, and the plainest form of the loops that the others run in vectors.
#include <algorithm>
#include <cstring>
#include <limits>

#include "rans/kernels.hpp"
#include "rans/lane.hpp"
#include "rans/side.hpp"

namespace narrows {

void Positions::grow() {
    const size_t capacity = std::max<size_t>(64, 2 * capacity_);
    auto data = std::make_unique<uint32_t[]>(capacity);
    std::copy_n(data_.get(), size_, data.get());
    data_ = std::move(data);
    capacity_ = capacity;
}

TableView::TableView(const Tables& t)
    : tables(t.all().data()),
      cdf(t.cdf().data()),
      reciprocals(t.reciprocals().data()),
      encode_entries(t.encode_entries().empty() ? nullptr : t.encode_entries().data()),
      encode_records(t.encode_records().empty() ? nullptr : t.encode_records().data()),
      encode_quotients(t.encode_quotients().empty() ? nullptr : t.encode_quotients().data()),
      num_tables(static_cast<uint32_t>(t.size())),
      any_escape(t.any_escape()),
      any_shift(std::ranges::any_of(t.all(), [](const Table& table) { return table.shift > 0; })),
      bits(t.bits()) {}

void TableView::for_decoding(const Tables& t) {
    const DecodeEntries& entries = t.decode_entries();
    if (!entries.buckets.empty()) buckets = entries.buckets.data();
    log2_buckets = entries.log2_buckets;
    if (!entries.slots.empty()) slots = entries.slots.data();
    base = entries.base;
    hints = entries.hints.data();
    log2_hints = entries.log2_hints;
}

namespace {

void add_ascending(Positions& positions, uint32_t base, uint32_t mask) {
    for (; mask; mask &= mask - 1) positions.add(base + static_cast<uint32_t>(std::countr_zero(mask)));
}

void add_descending(Positions& positions, uint32_t base, uint32_t mask) {
    while (mask) {
        const uint32_t lane = 31 - static_cast<uint32_t>(std::countl_zero(mask));
        positions.add(base + lane);
        mask ^= 1u << lane;
    }
}

// Groups from the last to the first, lanes of a group upward: the decoder walks the words back.
template <typename Symbol, typename Index>
uint32_t encode(EncodeJob<Symbol, Index>& job) {
    const Table* table_of = job.view->tables;
    const Reciprocal* entries = job.view->reciprocals;
    const uint32_t bits = job.view->bits;
    const uint64_t total = uint64_t{1} << bits;
    uint32_t state[kMaxLanes];
    std::copy_n(job.states, job.lanes, state);
    uint16_t* words = job.words;
    for (uint32_t base = (job.n + job.lanes - 1) / job.lanes * job.lanes; base > 0;) {
        base -= job.lanes;
        const uint32_t num = std::min(job.lanes, job.n - base);
        uint32_t escapes = 0;
        for (uint32_t lane = 0; lane < num; ++lane) {
            const int32_t symbol = job.symbols[base + lane];
            const Table& table = table_of[job.index[base + lane]];
            const uint32_t above = static_cast<uint32_t>(symbol) - static_cast<uint32_t>(table.offset);
            uint32_t token = above >> table.shift;
            uint32_t low = above;
            if (token++ >= table.num_tokens - 1) [[unlikely]] {
                if (!table.has_escape) {
                    job.closed = true;
                    continue;
                }
                token = 0;
                low = escape_distance(symbol, table);
                escapes |= 1u << lane;
            }
            const Reciprocal entry = entries[table.first + token];
            uint32_t x = state[lane];
            // One word at most; written always, kept if needed.
            *words = static_cast<uint16_t>(x);
            const uint32_t need = x >> 16 >= uint64_t{entry.g} << (16 - bits);
            words += need;
            x >>= need << 4;
            const auto q = static_cast<uint32_t>((static_cast<unsigned __int128>(x) * entry.reciprocal) >> 64);
            state[lane] = q * static_cast<uint32_t>(total - (uint64_t{entry.g} << table.slot_shift)) +
                          (x << table.slot_shift) + entry.bias + (low & ((1u << table.slot_shift) - 1));
        }
        add_descending(job.escapes, base, escapes);
    }
    std::copy_n(state, job.lanes, job.states);
    return static_cast<uint32_t>(words - job.words);
}

// Takes for each lane the word it needs, lanes downward. False if the words run out.
bool refill(uint32_t* state, uint32_t num, const uint16_t* begin, const uint16_t*& words) {
    if (words - begin >= static_cast<ptrdiff_t>(num)) {
        for (uint32_t lane = num; lane-- > 0;) {
            const uint32_t x = state[lane];
            const uint32_t need = x < kLow;
            const uint32_t word = words[-1];
            state[lane] = x << (need << 4) | (word & (0u - need));
            words -= need;
        }
        return true;
    }
    for (uint32_t lane = num; lane-- > 0;) {
        if (state[lane] >= kLow) continue;
        if (words == begin) return false;
        state[lane] = state[lane] << 16 | *--words;
    }
    return true;
}

// The token of `slot`, which lies in run `run` of table t, by bisection between the owners of the run's ends.
uint32_t owner(const TableView& view, uint32_t t, uint32_t run, uint32_t slot) {
    const Table& table = view.tables[t];
    const uint32_t* cdf = view.cdf + table.first;
    const uint32_t* hint = view.hints + (size_t{t} << view.log2_hints) + run;
    uint32_t token = hint[0];
    const uint32_t last = run + 1 < 1u << view.log2_hints ? hint[1] : table.num_tokens - 1;
    for (uint32_t count = last - token + 1; count > 1;) {
        const uint32_t half = count / 2;
        token += cdf[token + half] <= slot ? half : 0;
        count -= half;
    }
    return token;
}

// Any table.
template <typename Symbol, typename Index>
uint32_t decode_any(DecodeJob<Symbol, Index>& job) {
    const TableView view = *job.view;
    const uint32_t bits = view.bits;
    const uint16_t* words = job.words + job.num_words;
    for (uint32_t base = 0; base < job.n; base += job.lanes) {
        const uint32_t num = std::min(job.lanes, job.n - base);
        uint32_t candidates = 0;
        for (uint32_t lane = 0; lane < num; ++lane) {
            const uint32_t t = job.index[base + lane];
            const Table& table = view.tables[t];
            const uint32_t slot = job.states[lane] & ((1u << bits) - 1);
            const uint32_t token = owner(view, t, slot >> (bits - view.log2_hints), slot);
            const uint32_t* cdf = view.cdf + table.first + token;
            const uint32_t g = (cdf[1] - cdf[0]) >> table.slot_shift;
            uint32_t low;
            job.states[lane] = decode_step(job.states[lane], {cdf[0], g, table.slot_shift}, bits, low);
            if (token == 0) [[unlikely]] {
                candidates |= 1u << lane;
                job.symbols[base + lane] = static_cast<Symbol>(escape_place(table.offset) + static_cast<int32_t>(low));
                continue;
            }
            const uint32_t value = static_cast<uint32_t>(table.offset) + ((token - 1) << table.shift) + low;
            const auto symbol = static_cast<Symbol>(value);
            job.symbols[base + lane] = symbol;
            job.fits &= static_cast<uint32_t>(int32_t{symbol}) == value;
        }
        if (candidates) add_ascending(job.candidates, base, candidates);
        if (!refill(job.states, num, job.words, words)) return kOverrun;
    }
    return static_cast<uint32_t>(words - job.words);
}

// Tables with buckets: one lookup a symbol, a search for the few slots that lie beyond a bucket's second token.
template <bool kShifts, typename Symbol, typename Index>
uint32_t decode_buckets(DecodeJob<Symbol, Index>& job) {
    const TableView view = *job.view;
    const uint64_t* entries = view.buckets;
    const Index* indexes = job.index;
    Symbol* symbols = job.symbols;
    const uint32_t log2_buckets = view.log2_buckets;
    const uint32_t bits = view.bits;
    const uint32_t slot_mask = (1u << bits) - 1;
    const uint16_t* words = job.words + job.num_words;
    uint32_t state[kMaxLanes];
    std::copy_n(job.states, job.lanes, state);
    for (uint32_t base = 0; base < job.n; base += job.lanes) {
        const uint32_t num = std::min(job.lanes, job.n - base);
        uint32_t candidates = 0;
        for (uint32_t lane = 0; lane < num; ++lane) {
            const uint32_t x = state[lane];
            const uint32_t slot = x & slot_mask;
            const uint32_t t = indexes[base + lane];
            const uint64_t entry = entries[(t << log2_buckets) + (slot >> (bits - log2_buckets))];
            const auto low_half = static_cast<uint32_t>(entry);
            const auto high_half = static_cast<uint32_t>(entry >> 32);
            const uint32_t shift = kShifts ? low_half >> 30 | (high_half >> 13 & 4) : 0;
            // In units of 2^shift slots.
            const uint32_t unit = slot >> shift;
            uint32_t j = unit - (low_half & (kShifts ? 0x7FFF : 0xFFFF));
            uint32_t g = (kShifts ? low_half >> 15 & 0x7FFF : low_half >> 16) + 1;
            int32_t value = static_cast<int32_t>(high_half) >> 16;
            const uint32_t walk = value == DecodeEntries::kWalk;
            const uint32_t next = j >= g;
            const uint32_t g1 = (high_half & (kShifts ? 0x7FFF : 0xFFFF)) + 1;
            j -= g & (0u - next);
            g ^= (g ^ g1) & (0u - next);
            value += static_cast<int32_t>(next << shift);
            if ((j >= g) | walk) [[unlikely]] {
                const Table& table = view.tables[t];
                const uint32_t token = owner(view, t, slot >> (bits - view.log2_hints), slot);
                const uint32_t* cdf = view.cdf + table.first + token;
                j = (slot - cdf[0]) >> shift;
                g = (cdf[1] - cdf[0]) >> shift;
                value = token ? table.offset + static_cast<int32_t>((token - 1) << shift) : escape_place(table.offset);
                candidates |= uint32_t{token == 0} << lane;
            }
            state[lane] = g * (x >> bits) + j;
            symbols[base + lane] = static_cast<Symbol>(value + static_cast<int32_t>(slot - (unit << shift)));
        }
        if (candidates) [[unlikely]] add_ascending(job.candidates, base, candidates);
        if (!refill(state, num, job.words, words)) return kOverrun;
    }
    std::copy_n(state, job.lanes, job.states);
    return static_cast<uint32_t>(words - job.words);
}

template <typename Symbol, typename Index>
uint32_t decode(DecodeJob<Symbol, Index>& job) {
    if (!job.view->buckets) return decode_any(job);
    return job.view->any_shift ? decode_buckets<true>(job) : decode_buckets<false>(job);
}

}  // namespace

constinit const Kernels kScalarKernels = {
    encode<int8_t, uint8_t>,   encode<int8_t, uint16_t>,  encode<int16_t, uint8_t>, encode<int16_t, uint16_t>,
    encode<int32_t, uint8_t>,  encode<int32_t, uint16_t>, decode<int16_t, uint8_t>, decode<int16_t, uint16_t>,
    decode<int32_t, uint8_t>,  decode<int32_t, uint16_t>,
};

}  // namespace narrows
