// How a warp decodes a chunk, or what lies between two entries of one; then its side stream.
#pragma once

#include "rans/warp.hpp"

namespace narrows {

NARROWS_LANE uint32_t load16(const uint8_t* p) { return p[0] | uint32_t{p[1]} << 8; }
NARROWS_LANE uint32_t load32_bytes(const uint8_t* p) { return load16(p) | load16(p + 2) << 16; }

// What a slot stands for.
struct Found {
    uint32_t d, f;  // distance from the token's first slot, number of its slots
    uint32_t shift;
    uint32_t value;  // of the token's first symbol
    bool maybe_escape;
};

NARROWS_LANE Found find(const WarpTables& tables, const uint64_t* buckets, uint32_t t, uint32_t slot) {
    Found found;
    if (buckets) {
        const auto log2 = static_cast<uint32_t>(tables.log2_buckets);
        const uint64_t entry = buckets[(t << log2) + (slot >> (static_cast<uint32_t>(tables.bits) - log2))];
        const auto low = static_cast<uint32_t>(entry), high = static_cast<uint32_t>(entry >> 32);
        found.shift = low >> 30 | (high >> 13 & 4);
        found.d = slot - (low & 0x7FFF);
        found.f = (low >> 15 & 0x7FFF) + 1;
        found.value = static_cast<uint32_t>(static_cast<int32_t>(high) >> 16);
        found.maybe_escape = found.d == slot && found.d < found.f;
        if (found.d >= found.f) {
            found.d -= found.f;
            found.f = (high & 0x7FFF) + 1;
            found.value += 1u << found.shift;
        }
        if (found.d < found.f) return found;
    }
    const WarpTable& table = tables.tables[t];
    const uint32_t* cdf = tables.cdf + table.first;
    const uint32_t token = token_of(cdf, table.num_tokens, slot);
    found.d = slot - cdf[token];
    found.f = cdf[token + 1] - cdf[token];
    found.shift = table.slot_shift;
    found.value = static_cast<uint32_t>(table.offset) + ((token - 1) << table.shift);
    found.maybe_escape = token == 0;
    return found;
}

// The side stream of a chunk, after 16 bits of each final state where the flag says so. As BitReader of side.hpp.
struct SideReader {
    const uint32_t* states;
    uint32_t num_prefix;  // bytes of states
    const uint8_t* bytes;
    uint64_t num_bits;
    uint64_t at;

    NARROWS_LANE uint32_t byte(uint64_t i) const {
        return i < num_prefix ? states[i / 2] >> (8 * (i & 1)) & 255 : bytes[i - num_prefix];
    }
    // Bits past the end are zeros; `overrun` tells.
    NARROWS_LANE uint32_t get(uint32_t count) {
        uint32_t value = 0;
        for (uint32_t got = 0; got < count;) {
            const uint32_t left = 8 - static_cast<uint32_t>(at & 7);
            const uint32_t take = count - got < left ? count - got : left;
            const uint32_t held = at < num_bits ? byte(at >> 3) : 0;
            value |= (held >> (at & 7) & ((1u << take) - 1)) << got;
            got += take;
            at += take;
        }
        return value;
    }
    // False if the prefix is longer than any uint32 needs.
    NARROWS_LANE bool get_exp_golomb(uint32_t order, uint64_t& z) {
        uint32_t width = 0;
        while (get(1) == 0)
            if (++width > 32) return false;
        const uint64_t y = (uint64_t{1} << width) + get(width);
        z = ((y - 1) << order) + get(order);
        return true;
    }
    NARROWS_LANE bool overrun() const { return at > num_bits; }
    // True if the last byte was reached (bits in the states are there whether needed or not), the rest zeros.
    NARROWS_LANE bool finished() {
        if (num_bits != 8 * uint64_t{num_prefix} && (at + 7) / 8 != num_bits / 8) return false;
        while (at < num_bits)
            if (get(num_bits - at < 8 ? static_cast<uint32_t>(num_bits - at) : 8)) return false;
        return true;
    }
};

NARROWS_LANE SideReader side_reader(const DecodeLaunch& launch, const Chunk& chunk, uint64_t number) {
    const uint32_t prefix = chunk.flags & kStatePayloadFlag ? 2 * lanes_of(chunk) : 0;
    return {launch.final_states + 32 * number, prefix,
            launch.payload + chunk.body + 2 * uint64_t{chunk.num_words} + 4 * lanes_of(chunk),
            8 * (uint64_t{prefix} + chunk.num_side_bytes), 0};
}

// Replaces what `decode_segment` left at escapes and adds raw bits, for symbols [first, last) of a chunk.
template <typename Warp>
NARROWS_RARE uint32_t read_side(const Warp& warp, const DecodeLaunch& launch, const Chunk& chunk, uint32_t first,
                                uint32_t last, SideReader& side) {
    const DecodeTensor& tensor = launch.tensors[chunk.tensor];
    const auto symbol_element = static_cast<uint32_t>(tensor.symbol_element);
    const auto index_element = static_cast<uint32_t>(tensor.index_element);
    const uint64_t bit0 = tensor.escape_bit + chunk.first;
    typename Warp::template Lanes<uint32_t> codes, faults;
    warp.each([&](uint32_t lane) { faults[lane] = kNoFault; });
    const auto escaped = [&](uint32_t i) { return launch.escapes[(bit0 + i) / 32] >> ((bit0 + i) & 31) & 1; };
    for (uint64_t block = first; block < last; block += 1024) {
        // Of 32 x 32 symbols: which runs of 32 have anything to read.
        uint32_t runs = warp.ballot([&](uint32_t lane) {
            const uint64_t i = block + 32 * lane;
            if (i >= last) return false;
            const uint64_t bit = bit0 + i;
            const uint32_t more = i + 32 - (bit & 31) < last && (bit & 31) ? launch.escapes[bit / 32 + 1] : 0;
            return launch.tables.any_raw || launch.escapes[bit / 32] >> (bit & 31) || more;
        });
        for (; runs; runs &= runs - 1) {
            const auto run = static_cast<uint32_t>(block) + 32 * (bit_width(runs & (0 - runs)) - 1);
            uint32_t mask = warp.ballot([&](uint32_t lane) {
                codes[lane] = 0;
                const uint32_t i = run + lane;
                if (i >= last) return false;
                const auto t = static_cast<uint32_t>(load(tensor.index, chunk.first + i, index_element));
                const WarpTable& table = launch.tables.tables[t];
                const uint32_t raw = table.shift - table.slot_shift;
                codes[lane] = escaped(i) ? 1u << 31 | (raw + 2) : raw;
                return codes[lane] != 0;
            });
            for (; mask; mask &= mask - 1) {
                const uint32_t from = bit_width(mask & (0 - mask)) - 1;
                const uint32_t code = warp.broadcast(codes, from);
                uint64_t z = 0;
                if (!(code >> 31))
                    z = side.get(code);
                else if (!side.get_exp_golomb(code & 31, z))
                    return kSideDamaged;
                if (side.overrun()) return kSideDamaged;
                warp.on(from, [&] {
                    const uint64_t i = chunk.first + run + from;
                    const WarpTable& table =
                        launch.tables.tables[static_cast<uint32_t>(load(tensor.index, i, index_element))];
                    const auto kept = static_cast<uint32_t>(load(tensor.symbols, i, symbol_element));
                    const uint32_t low = (kept - static_cast<uint32_t>(table.offset)) & ((1u << table.slot_shift) - 1);
                    int32_t value;
                    if (!(code >> 31)) {
                        // The token's first value and all its low bits: within int32.
                        value = static_cast<int32_t>(kept + static_cast<uint32_t>(z << table.slot_shift));
                    } else if (!escape_value(z << table.slot_shift | low, table.offset, table.span(), value)) {
                        faults[from] = kSideDamaged;
                        return;
                    }
                    if (!store(tensor.symbols, i, symbol_element, value) && faults[from] < kNotFitting)
                        faults[from] = kNotFitting;
                });
            }
        }
    }
    return highest(warp, faults);
}

// Of the sides of a whole chunk.
template <typename Warp>
NARROWS_RARE uint32_t read_whole_side(const Warp& warp, const DecodeLaunch& launch, const Chunk& chunk,
                                      uint64_t number) {
    SideReader side = side_reader(launch, chunk, number);
    const uint32_t fault = read_side(warp, launch, chunk, 0, chunk.num_symbols, side);
    return fault == kSideDamaged ? fault : side.finished() ? fault : kSideLeft;
}

template <typename Warp>
NARROWS_RARE uint32_t decode_stored(const Warp& warp, const DecodeLaunch& launch, const Chunk& chunk) {
    const DecodeTensor& tensor = launch.tensors[chunk.tensor];
    const uint8_t* body = launch.payload + chunk.body;
    const auto symbol_element = static_cast<uint32_t>(tensor.symbol_element);
    const auto index_element = static_cast<uint32_t>(tensor.index_element);
    const uint32_t unused = 32 - 8 * chunk.bits;
    typename Warp::template Lanes<uint32_t> faults;
    warp.each([&](uint32_t lane) {
        bool named = true, fits = true;
        for (uint32_t i = lane; i < chunk.num_symbols; i += 32) {
            named &= static_cast<uint32_t>(load(tensor.index, chunk.first + i, index_element)) < launch.tables.num_tables;
            uint32_t value = 0;
            for (uint32_t k = 0; k < chunk.bits; ++k)
                value |= uint32_t{body[uint64_t{i} * chunk.bits + k]} << (8 * k);
            const int32_t symbol = static_cast<int32_t>(value << unused) >> unused;
            fits &= store(tensor.symbols, chunk.first + i, symbol_element, symbol);
        }
        faults[lane] = !named ? kNoTable : !fits ? kNotFitting : kNoFault;
    });
    return highest(warp, faults);
}

// Decodes what lies between two entries of a chunk, by default all of it. kCommon: int16 symbols, uint8 index.
template <bool kSplit, bool kCommon, typename Warp>
NARROWS_WARP uint32_t decode_rans(const Warp& warp, const DecodeLaunch& launch, const Chunk& chunk, uint64_t number,
                                  uint32_t segment, const uint64_t* buckets) {
    using Lanes = typename Warp::template Lanes<uint32_t>;
    const WarpTables& tables = launch.tables;
    const DecodeTensor tensor = launch.tensors[chunk.tensor];  // a copy: stores in the loop cannot change it
    const auto symbol_element = kCommon ? uint32_t{kI16} : static_cast<uint32_t>(tensor.symbol_element);
    const auto index_element = kCommon ? uint32_t{kU8} : static_cast<uint32_t>(tensor.index_element);
    const auto bits = static_cast<uint32_t>(tables.bits);
    const uint32_t n = chunk.num_symbols, lanes = lanes_of(chunk);
    const uint64_t first = chunk.first;
    const uint32_t slot_mask = (1u << bits) - 1;
    const uint8_t* const words = launch.payload + chunk.body;
    const uint8_t* const states = words + 2 * uint64_t{chunk.num_words};
    const uint64_t bit0 = tensor.escape_bit + first;
    const Entry* from = kSplit && segment > 0 ? launch.entries + chunk.first_entry + segment - 1 : nullptr;
    const Entry* to = kSplit && segment < chunk.num_entries ? launch.entries + chunk.first_entry + segment : nullptr;

    // A lane decodes groups [start, stop); one that joins takes its word in the group before.
    Lanes state, start, stop, next_table, faults;
    warp.each([&](uint32_t lane) {
        faults[lane] = kNoFault;
        start[lane] = from && lane < lanes ? from->join[lane] + 1 : 0;
        stop[lane] = 0xFFFFFFFFu;
        state[lane] = kLow;
        if (lane < lanes) state[lane] = from ? from->state[lane] : load32_bytes(states + 4 * lane);
    });
    if (!from && warp.ballot([&](uint32_t lane) { return state[lane] < kLow; })) return kWrittenState;

    uint32_t left = from ? from->num_words : chunk.num_words;
    const uint32_t floor = to ? to->num_words : 0;
    uint32_t base = from ? from->group * lanes : 0;
    const auto fetch = [&](uint32_t lane, uint32_t i) {
        next_table[lane] =
            lane < lanes && i < n ? static_cast<uint32_t>(load(tensor.index, first + i, index_element)) : 0;
    };
    warp.each([&](uint32_t lane) { fetch(lane, base + lane); });
    uint32_t group = kSplit ? base / lanes : 0;
    uint32_t end = n;
    if (kSplit && to) {
        Lanes joins;
        warp.each([&](uint32_t lane) { joins[lane] = lane < lanes ? to->join[lane] : 0; });
        const uint64_t behind = (uint64_t{highest(warp, joins)} + 1) * lanes;
        end = behind < n ? static_cast<uint32_t>(behind) : n;
    }
    for (; base < end; base += lanes, ++group) {
        const uint32_t num = n - base < lanes ? n - base : lanes;
        warp.each([&](uint32_t lane) {
            uint32_t t = next_table[lane];
            const uint32_t i = base + lane;
            fetch(lane, i + lanes);  // a group ahead
            if (lane >= num || (kSplit && (group < start[lane] || group >= stop[lane]))) return;
            if (t >= tables.num_tables) {
                faults[lane] = kNoTable;
                t = 0;
            }
            const uint32_t x = state[lane];
            const Found found = find(tables, buckets, t, x & slot_mask);
            const uint32_t low = found.d & ((1u << found.shift) - 1);
            state[lane] = (found.f >> found.shift) * (x >> bits) + (found.d >> found.shift);
            const uint32_t value = found.value + low;
            const bool fits = store(tensor.symbols, first + i, symbol_element, static_cast<int32_t>(value));
            if (found.maybe_escape && tables.tables[t].has_escape)
                Warp::set_bits(launch.escapes + (bit0 + i) / 32, 1u << ((bit0 + i) & 31));
            else if (!fits && faults[lane] < kNotFitting)
                faults[lane] = kNotFitting;
        });
        const uint32_t need = warp.ballot([&](uint32_t lane) {
            if (kSplit && (group + 1 < start[lane] || group >= stop[lane])) return false;
            return lane < num && state[lane] < kLow;
        });
        const uint32_t taken = count_ones(need);
        const uint32_t there = left - floor;
        if (taken > there && (!kSplit || !to)) return kWordsRunOut;
        warp.each([&](uint32_t lane) {
            if (!(need >> lane & 1)) return;
            const uint32_t above = count_ones(need & ~((2u << lane) - 1));
            if (above < there)
                state[lane] = state[lane] << 16 | load16(words + 2 * uint64_t{left - 1 - above});
            else
                stop[lane] = group;
        });
        left -= taken < there ? taken : there;
    }
    if (const uint32_t most = highest(warp, faults); most == kNoTable) return most;
    if (kSplit && to) {
        // What this segment reached is what the entry said: so the next began as a decoder without it would.
        const uint32_t differ = warp.ballot([&](uint32_t lane) {
            return lane < lanes && (stop[lane] != to->join[lane] || state[lane] != to->state[lane]);
        });
        if (differ || left != floor) return kEntryDiffers;
    } else {
        if (left != 0) return kWordsLeft;
        const bool payload = chunk.flags & kStatePayloadFlag;
        if (warp.ballot([&](uint32_t lane) { return lane < lanes && state[lane] - kLow > (payload ? 0xFFFFu : 0u); }))
            return kFinalState;
        if (payload)
            warp.each([&](uint32_t lane) { launch.final_states[32 * number + lane] = state[lane] - kLow; });
    }
    return highest(warp, faults);
}

template <bool kSplit, typename Warp>
NARROWS_WARP void decode_segment(const Warp& warp, const DecodeLaunch& launch, uint64_t number,
                                 const uint64_t* buckets) {
    const uint32_t segment = kSplit ? launch.segments[2 * number + 1] : 0;
    if (kSplit) number = launch.segments[2 * number];
    const Chunk& chunk = launch.chunks[number];
    const DecodeTensor& tensor = launch.tensors[chunk.tensor];
    uint32_t fault = kNoFault;
    if (chunk.flags & kIndexHashFlag && segment == 0 &&
        hash_of_index(warp, tensor.index, chunk.first, chunk.num_symbols,
                      static_cast<uint32_t>(tensor.index_element)) != chunk.index_hash)
        fault = kIndexDiffers;
    if (chunk.profile == kStoredProfile) {
        if (!fault) fault = decode_stored(warp, launch, chunk);
    } else {
        if (!fault)
            fault = tensor.symbol_element == kI16 && tensor.index_element == kU8
                        ? decode_rans<kSplit, true>(warp, launch, chunk, number, segment, buckets)
                        : decode_rans<kSplit, false>(warp, launch, chunk, number, segment, buckets);
        if ((!kSplit || chunk.num_entries == 0) && (fault == kNoFault || fault == kNotFitting)) {
            warp.sync();
            const uint32_t of_side = read_whole_side(warp, launch, chunk, number);
            fault = of_side > fault ? of_side : fault;
        }
    }
    if (fault) warp.on(0, [&] { Warp::raise(launch.faults + number, fault); });
}

// The side streams of chunks with entries, after all of `decode_segment`.
template <typename Warp>
NARROWS_WARP void decode_side(const Warp& warp, const DecodeLaunch& launch, uint64_t number) {
    const uint32_t segment = launch.segments[2 * number + 1];
    number = launch.segments[2 * number];
    const Chunk& chunk = launch.chunks[number];
    if (chunk.num_entries == 0 || launch.faults[number] > kNotFitting) return;
    const Entry* entries = launch.entries + chunk.first_entry;
    const bool last = segment == chunk.num_entries;
    SideReader side = side_reader(launch, chunk, number);
    side.at = segment ? entries[segment - 1].side_bit : 0;
    uint32_t fault = kSideDamaged;
    if (!side.overrun()) {
        const uint32_t begin = segment ? entries[segment - 1].group * lanes_of(chunk) : 0;
        const uint32_t end = last ? chunk.num_symbols : entries[segment].group * lanes_of(chunk);
        fault = read_side(warp, launch, chunk, begin, end, side);
        if (fault != kSideDamaged) {
            if (!last && side.at != entries[segment].side_bit) fault = kEntryDiffers;
            if (last && !side.finished()) fault = kSideLeft;
        }
    }
    if (fault) warp.on(0, [&] { Warp::raise(launch.faults + number, fault); });
}

}  // namespace narrows
