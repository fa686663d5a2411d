// What the vector kernels share: rare lanes and groups that are not full. Included by files for one instruction
// set each; everything is local to them, so that none can be linked to another's code.
#pragma once

#include "rans/kernels.hpp"
#include "rans/side.hpp"

namespace narrows {
namespace {

// The lanes of `rare`: escapes, and slots beyond a bucket's second token, whose owner is searched. In units of
// 2^shift slots j is the slot less the token's start and g the token's size. Returns the lanes with escapes.
[[gnu::noinline]] uint32_t search(const TableView& view, uint32_t rare, const uint32_t* slot, const uint32_t* t,
                                  uint32_t* j, uint32_t* g, uint32_t* value) {
    uint32_t escapes = 0;
    for (; rare; rare &= rare - 1) {
        const auto lane = static_cast<uint32_t>(__builtin_ctz(rare));
        const Table& table = view.tables[t[lane]];
        const uint32_t* cdf = view.cdf + table.first;
        uint32_t token = 0;
        for (uint32_t count = table.num_tokens; count > 1;) {
            const uint32_t half = count / 2;
            if (cdf[token + half] <= slot[lane]) token += half;
            count -= half;
        }
        j[lane] = (slot[lane] - cdf[token]) >> table.shift;
        g[lane] = (cdf[token + 1] - cdf[token]) >> table.shift;
        if (token == 0) {
            value[lane] = static_cast<uint32_t>(escape_place(table.offset));
            escapes |= 1u << lane;
        } else {
            value[lane] = static_cast<uint32_t>(table.offset) + ((token - 1) << table.shift);
        }
    }
    return escapes;
}

// The lanes of `outside`: their low bits are those of the escape's number. True if a table has no escape.
template <typename Symbol, typename Index>
[[gnu::noinline]] bool plan_escapes(const TableView& view, const Symbol* symbols, const Index* index, uint32_t outside,
                                    uint32_t* entries, uint32_t* low) {
    bool closed = false;
    for (; outside; outside &= outside - 1) {
        const auto lane = static_cast<uint32_t>(__builtin_ctz(outside));
        const Table& table = view.tables[index[lane]];
        if (table.has_escape) {
            low[lane] = escape_distance(symbols[lane], table) & ((1u << table.slot_shift) - 1);
        } else {
            closed = true;
            entries[lane] = 1;
            low[lane] = 0;
        }
    }
    return closed;
}

template <typename Job>
[[gnu::always_inline]] inline void add_candidates(Job& job, uint32_t base, uint32_t mask) {
    for (; mask; mask &= mask - 1) job.candidates.add(base + static_cast<uint32_t>(__builtin_ctz(mask)));
}

template <typename Job>
[[gnu::always_inline]] inline void add_escapes(Job& job, uint32_t base, uint32_t mask) {
    while (mask) {
        const uint32_t lane = 31 - static_cast<uint32_t>(__builtin_clz(mask));
        job.escapes.add(base + lane);
        mask ^= 1u << lane;
    }
}

// The symbols from `base` on are a group that is not full: the encoder's first. Sets the states of all lanes and
// returns the number of words.
template <typename Symbol, typename Index>
uint32_t encode_rest(EncodeJob<Symbol, Index>& job, uint32_t base, Kernels::Encode<Symbol, Index> portable) {
    EncodeJob<Symbol, Index> rest{};
    rest.symbols = job.symbols + base;
    rest.index = job.index + base;
    rest.n = job.n - base;
    rest.lanes = job.lanes;
    rest.view = job.view;
    rest.words = job.words;
    for (uint32_t lane = 0; lane < job.lanes; ++lane) rest.states[lane] = job.states[lane];
    const uint32_t num_words = portable(rest);
    for (uint32_t lane = 0; lane < job.lanes; ++lane) job.states[lane] = rest.states[lane];
    for (size_t i = 0; i < rest.escapes.size(); ++i) job.escapes.add(base + rest.escapes[i]);
    job.closed |= rest.closed;
    return num_words;
}

// The same for the decoder, whose last group it is; job.states hold the lanes.
template <typename Symbol, typename Index>
uint32_t decode_rest(DecodeJob<Symbol, Index>& job, uint32_t base, uint32_t num_words,
                     Kernels::Decode<Symbol, Index> portable) {
    if (base == job.n) return num_words;
    DecodeJob<Symbol, Index> rest{};
    rest.symbols = job.symbols + base;
    rest.index = job.index + base;
    rest.n = job.n - base;
    rest.lanes = job.lanes;
    rest.view = job.view;
    rest.words = job.words;
    rest.num_words = num_words;
    for (uint32_t lane = 0; lane < job.lanes; ++lane) rest.states[lane] = job.states[lane];
    const uint32_t left = portable(rest);
    for (uint32_t lane = 0; lane < job.lanes; ++lane) job.states[lane] = rest.states[lane];
    for (size_t i = 0; i < rest.candidates.size(); ++i) job.candidates.add(base + rest.candidates[i]);
    job.fits &= rest.fits;
    return left;
}

}  // namespace
}  // namespace narrows
