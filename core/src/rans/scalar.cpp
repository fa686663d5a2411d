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
      any_shift(t.any_shift()),
      any_raw(t.any_raw()),
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

// Groups from the last to the first, lanes of a group upward: the decoder walks the words back. kRaw: some shift is
// above 7. kBits: the tables' bits, or 0 for any.
template <bool kShifts, bool kRaw, uint32_t kBits, typename Symbol, typename Index>
uint32_t encode_symbols(EncodeJob<Symbol, Index>& job) {
    const Table* const table_of = job.view->tables;
    const Reciprocal* const entries = job.view->reciprocals;
    const uint32_t bits = kBits ? kBits : job.view->bits, high_bits = 16 - bits, lanes = job.lanes;
    const Symbol* symbols = job.symbols;
    const Index* index = job.index;
    uint32_t state[kMaxLanes];
    std::copy_n(job.states, lanes, state);
    uint16_t* words = job.words;
    for (uint32_t base = (job.n + lanes - 1) / lanes * lanes; base > 0;) {
        base -= lanes;
        const uint32_t num = std::min(lanes, job.n - base);
        uint32_t escapes = 0;
        for (uint32_t lane = 0; lane < num; ++lane) {
            const int32_t symbol = symbols[base + lane];
            const Table& table = table_of[index[base + lane]];
            const uint32_t shift = !kShifts ? 0 : kRaw ? table.slot_shift : table.shift;
            uint32_t above = static_cast<uint32_t>(symbol) - static_cast<uint32_t>(table.offset);
            uint32_t token = kShifts ? above >> table.shift : above;
            uint32_t at = table.first + token + 1;
            if (token >= table.num_tokens - 1) [[unlikely]] {
                if (!table.has_escape) {
                    job.closed = true;
                    continue;
                }
                at = table.first;
                token = 0;
                above = escape_distance(symbol, table) & ((1u << table.slot_shift) - 1);
                escapes |= 1u << lane;
            } else if constexpr (kRaw) {
                token = 0;
                above &= (1u << table.slot_shift) - 1;
            }
            const Reciprocal& entry = entries[at];
            uint32_t x = state[lane];
            // One word at most; written always, kept if needed.
            *words = static_cast<uint16_t>(x);
            const uint32_t high = x >> 16;
            const bool need = high >> high_bits >= entry.g;
            words += need;
            x = need ? high : x;
            const auto q = static_cast<uint32_t>((static_cast<unsigned __int128>(x) * entry.reciprocal) >> 64);
            // `above` is (token << shift) + low.
            state[lane] = (q << bits) + ((x - q * entry.g - token) << shift) + entry.bias + above;
        }
        if (escapes) [[unlikely]] add_descending(job.escapes, base, escapes);
    }
    std::copy_n(state, lanes, job.states);
    return static_cast<uint32_t>(words - job.words);
}

template <typename Symbol, typename Index>
uint32_t encode(EncodeJob<Symbol, Index>& job) {
    if (job.view->any_raw) return encode_symbols<true, true, 0>(job);
    if (job.view->bits != 15)
        return job.view->any_shift ? encode_symbols<true, false, 0>(job) : encode_symbols<false, false, 0>(job);
    return job.view->any_shift ? encode_symbols<true, false, 15>(job) : encode_symbols<false, false, 15>(job);
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

// Runs step(lane, x) for each symbol: groups upward and lanes of a group downward, as words are taken. The step
// gives the state before it takes a word.
template <typename Symbol, typename Index, typename Step>
[[gnu::always_inline]] inline uint32_t decode_with(DecodeJob<Symbol, Index>& job, const Step& step) {
    const uint32_t lanes = job.lanes;
    const uint16_t* const first = job.words;
    const uint16_t* words = job.words + job.num_words;
    uint32_t state[kMaxLanes];
    std::copy_n(job.states, lanes, state);
    for (uint32_t base = 0; base < job.n; base += lanes) {
        const uint32_t num = std::min(lanes, job.n - base);
        uint32_t candidates = 0;
        if (words - first >= static_cast<ptrdiff_t>(num)) {
            for (uint32_t lane = num; lane-- > 0;) {
                const uint32_t x = step(base, lane, state[lane], candidates);
                // No branch: which lanes take a word cannot be predicted.
                const uint32_t need = x < kLow;
                state[lane] = x << (need << 4) | (words[-1] & (0u - need));
                words -= need;
            }
        } else {
            for (uint32_t lane = num; lane-- > 0;) {
                state[lane] = step(base, lane, state[lane], candidates);
                if (state[lane] >= kLow) continue;
                if (words == first) return kOverrun;
                state[lane] = state[lane] << 16 | *--words;
            }
        }
        if (candidates) [[unlikely]] add_ascending(job.candidates, base, candidates);
    }
    std::copy_n(state, lanes, job.states);
    return static_cast<uint32_t>(words - first);
}

// Any table.
template <typename Symbol, typename Index>
uint32_t decode_any(DecodeJob<Symbol, Index>& job) {
    const TableView& view = *job.view;
    return decode_with(job, [&](uint32_t base, uint32_t lane, uint32_t x, uint32_t& candidates) {
        const uint32_t t = job.index[base + lane];
        const Table& table = view.tables[t];
        const uint32_t slot = x & ((1u << view.bits) - 1);
        const uint32_t token = owner(view, t, slot >> (view.bits - view.log2_hints), slot);
        const uint32_t* cdf = view.cdf + table.first + token;
        const uint32_t g = (cdf[1] - cdf[0]) >> table.slot_shift;
        uint32_t low;
        x = decode_step(x, {cdf[0], g, table.slot_shift}, view.bits, low);
        auto value = static_cast<uint32_t>(table.offset) + ((token - 1) << table.shift) + low;
        if (token == 0) [[unlikely]] {
            candidates |= 1u << lane;
            value = static_cast<uint32_t>(escape_place(table.offset)) + low;
        }
        const auto symbol = static_cast<Symbol>(value);
        job.symbols[base + lane] = symbol;
        job.fits &= static_cast<uint32_t>(int32_t{symbol}) == value;
        return x;
    });
}

struct Found {
    uint32_t j, g;  // the slot less the token's start, and the token's size, in units of 2^shift slots
    int32_t value;
    bool escape;
};

// What a bucket does not tell.
template <bool kShifts>
[[gnu::noinline]] Found search(const TableView& view, uint32_t t, uint32_t slot) {
    const Table& table = view.tables[t];
    const uint32_t shift = kShifts ? table.shift : 0;
    const uint32_t token = owner(view, t, slot >> (view.bits - view.log2_hints), slot);
    const uint32_t* cdf = view.cdf + table.first + token;
    return {(slot - cdf[0]) >> shift, (cdf[1] - cdf[0]) >> shift,
            token ? table.offset + static_cast<int32_t>((token - 1) << shift) : escape_place(table.offset), token == 0};
}

// Tables with buckets: one lookup a symbol, a search for the few slots that it does not settle. kBits: the tables'
// bits, or 0 for any.
template <bool kShifts, uint32_t kBits, typename Symbol, typename Index>
uint32_t decode_buckets(DecodeJob<Symbol, Index>& job) {
    const TableView& view = *job.view;
    const uint64_t* const entries = view.buckets;
    const Index* const index = job.index;
    Symbol* const symbols = job.symbols;
    const uint32_t bits = kBits ? kBits : view.bits, run_bits = bits - view.log2_buckets;
    constexpr uint32_t kField = kShifts ? 0x7FFF : 0xFFFF;
    return decode_with(job, [=, &view](uint32_t base, uint32_t lane, uint32_t x, uint32_t& candidates) {
        const uint32_t slot = x & ((1u << bits) - 1);
        const uint64_t entry = entries[((uint64_t{index[base + lane]} << bits) + slot) >> run_bits];
        const auto low = static_cast<uint32_t>(entry);
        const auto high = static_cast<uint32_t>(entry >> 32);
        const uint32_t shift = kShifts ? low >> 30 | (high >> 13 & 4) : 0;
        // In units of 2^shift slots; g is less one.
        const uint32_t unit = slot >> shift;
        uint32_t j = unit - (low & kField);
        uint32_t g = kShifts ? low >> 15 & kField : low >> 16;
        // All ones if the next token owns the slot: g and j are below 2^16, or j is negative and stays so.
        const auto next = static_cast<uint32_t>(static_cast<int32_t>(g - j) >> 31);
        j -= (g & next) - next;
        g ^= (g ^ high) & next & kField;
        int32_t value = (static_cast<int32_t>(high) >> 16) + static_cast<int32_t>(slot - ((unit + next) << shift));
        if (j > g) [[unlikely]] {
            const Found found = search<kShifts>(view, index[base + lane], slot);
            j = found.j;
            g = found.g - 1;
            value = found.value + static_cast<int32_t>(slot - (unit << shift));
            candidates |= uint32_t{found.escape} << lane;
        }
        symbols[base + lane] = static_cast<Symbol>(value);
        return (g + 1) * (x >> bits) + j;
    });
}

// Tables with slots: one lookup a symbol, and nothing else.
template <typename Symbol, typename Index>
uint32_t decode_slots(DecodeJob<Symbol, Index>& job) {
    const uint32_t* const slots = job.view->slots;
    const Index* const index = job.index;
    Symbol* const symbols = job.symbols;
    const int32_t first_value = job.view->base;
    return decode_with(job, [=](uint32_t base, uint32_t lane, uint32_t x, uint32_t&) {
        const uint32_t entry = slots[(size_t{index[base + lane]} << 12) + (x & 0xFFF)];
        symbols[base + lane] = static_cast<Symbol>(first_value + static_cast<int32_t>(entry >> 12 & 0xFF));
        return ((entry & 0xFFF) + 1) * (x >> 12) + (entry >> 20);
    });
}

template <typename Symbol, typename Index>
uint32_t decode(DecodeJob<Symbol, Index>& job) {
    if (job.view->slots) return decode_slots(job);
    if (!job.view->buckets) return decode_any(job);
    if (job.view->bits == 15) return job.view->any_shift ? decode_buckets<true, 15>(job) : decode_buckets<false, 15>(job);
    return job.view->any_shift ? decode_buckets<true, 0>(job) : decode_buckets<false, 0>(job);
}

}  // namespace

constinit const Kernels kScalarKernels = {
    encode<int8_t, uint8_t>,   encode<int8_t, uint16_t>,  encode<int16_t, uint8_t>, encode<int16_t, uint16_t>,
    encode<int32_t, uint8_t>,  encode<int32_t, uint16_t>, decode<int16_t, uint8_t>, decode<int16_t, uint16_t>,
    decode<int32_t, uint8_t>,  decode<int32_t, uint16_t>,
};

}  // namespace narrows
