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
      bits(t.bits()),
      any_escape(t.any_escape()),
      any_shift(std::ranges::any_of(t.all(), [](const Table& table) { return table.shift > 0; })) {}

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
    std::fill_n(state, job.lanes, kLow);
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

// Any table: the token is found by bisection.
template <typename Symbol, typename Index>
uint32_t decode_any(DecodeJob<Symbol, Index>& job) {
    const uint32_t bits = job.view->bits;
    const uint16_t* words = job.words + job.num_words;
    for (uint32_t base = 0; base < job.n; base += job.lanes) {
        const uint32_t num = std::min(job.lanes, job.n - base);
        uint32_t candidates = 0;
        for (uint32_t lane = 0; lane < num; ++lane) {
            const Table& table = job.view->tables[job.index[base + lane]];
            const uint32_t* cdf = job.view->cdf + table.first;
            const uint32_t slot = job.states[lane] & ((1u << bits) - 1);
            const auto token =
                static_cast<uint32_t>(std::upper_bound(cdf, cdf + table.num_tokens, slot) - cdf) - 1;
            const uint32_t g = (cdf[token + 1] - cdf[token]) >> table.slot_shift;
            uint32_t low;
            job.states[lane] = decode_step(job.states[lane], {cdf[token], g, table.slot_shift}, bits, low);
            candidates |= uint32_t{token == 0} << lane;
            const uint32_t value = static_cast<uint32_t>(table.offset) + ((token - 1) << table.shift) + low;
            const auto symbol = static_cast<Symbol>(value);
            job.symbols[base + lane] = symbol;
            job.fits &= static_cast<uint32_t>(int32_t{symbol}) == value || token == 0;
        }
        add_ascending(job.candidates, base, candidates);
        if (!refill(job.states, num, job.words, words)) return kOverrun;
    }
    return static_cast<uint32_t>(words - job.words);
}

// Tables with buckets: one lookup a symbol, a walk for the few slots that lie beyond a bucket's second token.
template <bool kShifts, typename Symbol, typename Index>
uint32_t decode_buckets(DecodeJob<Symbol, Index>& job) {
    const TableView view = *job.view;
    const uint64_t* entries = view.buckets;
    const Index* indexes = job.index;
    Symbol* symbols = job.symbols;
    const uint32_t log2_per_table = view.log2_buckets;
    const uint32_t bits = view.bits;
    const uint32_t slot_mask = (1u << bits) - 1;
    const bool any_escape = view.any_escape;
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
            const uint64_t entry = entries[(t << log2_per_table) + (slot >> (bits - log2_per_table))];
            const auto low_half = static_cast<uint32_t>(entry);
            const auto high_half = static_cast<uint32_t>(entry >> 32);
            const uint32_t shift = kShifts ? low_half >> 30 | (high_half >> 13 & 4) : 0;
            uint32_t d = slot - (low_half & 0x7FFF);
            uint32_t f = (low_half >> 15 & 0x7FFF) + 1;
            auto value = static_cast<uint32_t>(static_cast<int32_t>(high_half) >> 16);
            candidates |= uint32_t{d == slot && d < f} << lane;
            const uint32_t next = d >= f;
            d -= f & (0u - next);
            const uint32_t f1 = (high_half & 0x7FFF) + 1;
            f ^= (f ^ f1) & (0u - next);
            value += next << shift;
            if (d >= f) [[unlikely]] {
                const Table& table = view.tables[t];
                const uint32_t* cdf = view.cdf + table.first;
                uint32_t token = 0;
                while (cdf[token + 1] <= slot) ++token;
                d = slot - cdf[token];
                f = cdf[token + 1] - cdf[token];
                value = static_cast<uint32_t>(table.offset) + ((token - 1) << shift);
            }
            state[lane] = (f >> shift) * (x >> bits) + (d >> shift);
            symbols[base + lane] = static_cast<Symbol>(value + (d & ((1u << shift) - 1)));
        }
        if (any_escape && candidates) [[unlikely]] add_ascending(job.candidates, base, candidates);
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
