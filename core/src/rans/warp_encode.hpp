// How a warp encodes: chunks are planned, coded into slots of worst-case size, and gathered once their sizes are summed.
#pragma once

#include "rans/warp.hpp"

namespace narrows {

// Of a slot beside the symbols' own bytes: 128 for states, the rest so that chunks beyond are stored for certain.
inline constexpr uint32_t kSlotBytes = 192;

// Sizes of a chunk of symbols in slots: states, then words upward and the side stream downward.
struct Slot {
    NARROWS_LANE Slot(uint8_t* at, uint32_t num_symbols, uint32_t symbol_bytes)
        : states(reinterpret_cast<uint32_t*>(at)),
          words(reinterpret_cast<uint16_t*>(at + 128)),
          room(((num_symbols * symbol_bytes) & ~3u) + kSlotBytes - 128),
          side_end(reinterpret_cast<uint32_t*>(at + 128 + room)) {}
    uint32_t* states;
    uint16_t* words;
    uint32_t room;  // bytes of words and side stream
    uint32_t* side_end;

    NARROWS_LANE bool holds(uint32_t num_words, uint32_t num_side_words) const {
        return 2 * uint64_t{num_words} + 4 * (uint64_t{num_side_words} + 1) <= room;
    }
};

// The side stream from its end to its start, since groups are encoded from the last to the first.
struct SideWriter {
    uint64_t held = 0;  // its first bits so far, below 2^num_held
    uint32_t num_held = 0;
    uint32_t num_full = 0;  // words behind them

    template <typename Warp>
    NARROWS_WARP void prepend(const Warp& warp, const Slot& slot, uint32_t num_words, uint32_t value, uint32_t count) {
        held = held << count | value;
        num_held += count;
        if (num_held < 32) return;
        num_held -= 32;
        ++num_full;
        const auto word = static_cast<uint32_t>(held >> num_held);
        if (slot.holds(num_words, num_full)) warp.on(0, [&] { *(slot.side_end - num_full) = word; });
        held &= (uint64_t{1} << num_held) - 1;
    }
    template <typename Warp>
    NARROWS_WARP void prepend_exp_golomb(const Warp& warp, const Slot& slot, uint32_t num_words, uint32_t z,
                                         uint32_t order) {
        const uint64_t y = (uint64_t{z} >> order) + 1;
        const uint32_t width = bit_width(y) - 1;
        NARROWS_ROLLED for (uint32_t part = 0; part < 4; ++part) {
            const uint32_t value = part == 0   ? z & ((1u << order) - 1)
                                   : part == 1 ? static_cast<uint32_t>(y - (uint64_t{1} << width))
                                               : part == 2;
            prepend(warp, slot, num_words, value, part == 0 ? order : part == 2 ? 1 : width);
        }
    }
    // The word with the first bits in its upper end stands before the full ones.
    template <typename Warp>
    NARROWS_WARP void finish(const Warp& warp, const Slot& slot) const {
        if (num_held)
            warp.on(0, [&] { *(slot.side_end - num_full - 1) = static_cast<uint32_t>(held << (32 - num_held)); });
    }
    NARROWS_LANE uint32_t num_bits() const { return 32 * num_full + num_held; }
};

// Byte `i` of the side stream of `num_bits` bits that ends before `end`.
NARROWS_LANE uint8_t side_byte(const uint32_t* end, uint32_t num_bits, uint32_t i) {
    const uint32_t num_words = (num_bits + 31) / 32;
    const uint32_t bit = 32 * num_words - num_bits + 8 * i;
    const uint32_t* word = end - num_words + bit / 32;
    const uint64_t pair = word[0] | (word + 1 < end ? uint64_t{word[1]} << 32 : 0);
    return static_cast<uint8_t>(pair >> (bit & 31));
}

NARROWS_LANE uint32_t varint_bytes(uint32_t value) { return (bit_width(value | 1) + 6) / 7; }

NARROWS_LANE uint32_t header_bytes(const Chunk& chunk) {
    return 7 + (chunk.flags & kIndexHashFlag ? 4 : 0) + varint_bytes(chunk.num_symbols) +
           varint_bytes(chunk.num_words) + varint_bytes(chunk.num_side_bytes);
}

NARROWS_LANE uint64_t body_bytes(const Chunk& chunk) {
    return 2 * uint64_t{chunk.num_words} + 4 * uint64_t{lanes_of(chunk)} + chunk.num_side_bytes;
}

// Expected cost of n symbols in 1/256 bit; above 2,047 symbols from a sample.
template <typename Warp>
NARROWS_WARP uint64_t expected_cost(const Warp& warp, const WarpTables& tables, const EncodeTensor& tensor,
                                    uint64_t first, uint64_t n) {
    if (n == 0) return 0;
    const uint64_t stride = n / 1024 > 1 ? n / 1024 : 1;
    const uint64_t taken = (n + stride - 1) / stride;
    typename Warp::template Lanes<uint64_t> sums;
    warp.each([&](uint32_t lane) {
        uint64_t sum = 0;
        NARROWS_ROLLED for (uint64_t i = lane; i < taken; i += 32) {
            const auto t = static_cast<uint32_t>(
                load(tensor.index, first + i * stride, static_cast<uint32_t>(tensor.index_element)));
            if (t < tables.num_tables) sum += tables.entropy_256[t];
        }
        sums[lane] = sum;
    });
    return warp.sum(sums) * n / taken;
}

// How many symbols a chunk of a tensor has.
template <typename Warp>
NARROWS_WARP void plan_chunks(const Warp& warp, const EncodeLaunch& launch, uint64_t number) {
    EncodeTensor& tensor = launch.tensors[number];
    const uint64_t n = tensor.num_symbols, target = launch.chunk_bytes * 2048;
    const uint64_t cost = expected_cost(warp, launch.tables, tensor, 0, n);
    uint64_t chunks = (cost + target / 2) / target > 1 ? (cost + target / 2) / target : 1;
    if (chunks > 4) chunks = (chunks + 2) / 4 * 4;
    uint64_t each = ((n + chunks - 1) / chunks + 31) / 32 * 32;
    each = each < 32 ? 32 : each < (1u << 22) ? each : 1u << 22;
    warp.on(0, [&] { tensor.chunk_symbols = each; });
}

NARROWS_LANE uint64_t slot_of(const EncodeTensor& tensor, uint64_t first) {
    const uint64_t bytes = tensor.chunk_symbols * bytes_of(static_cast<uint32_t>(tensor.symbol_element)) + kSlotBytes;
    return tensor.slot + first / tensor.chunk_symbols * bytes;
}

// Codes chunk `number`, of tensor `which`, into its slot. kCommon: int16 symbols, uint8 index.
template <bool kCommon, typename Warp>
NARROWS_WARP void encode_chunk_of(const Warp& warp, const EncodeLaunch& launch, uint64_t number, uint64_t which) {
    using Lanes = typename Warp::template Lanes<uint32_t>;
    const WarpTables& tables = launch.tables;
    const EncodeTensor tensor = launch.tensors[which];  // a copy: stores in the loop cannot change it
    Chunk chunk{};
    chunk.tensor = static_cast<uint32_t>(which);
    chunk.first = (number - tensor.first_chunk) * tensor.chunk_symbols;
    if (chunk.first >= tensor.num_symbols && number > tensor.first_chunk) {
        chunk.profile = kStoredProfile;
        chunk.bits = 1;
        warp.on(0, [&] { launch.chunks[number] = chunk, launch.sizes[number] = 0, launch.faults[number] = kNoFault; });
        return;
    }
    const uint64_t rest = tensor.num_symbols - chunk.first;
    const auto n = static_cast<uint32_t>(rest < tensor.chunk_symbols ? rest : tensor.chunk_symbols);
    const auto symbol_element = kCommon ? uint32_t{kI16} : static_cast<uint32_t>(tensor.symbol_element);
    const auto index_element = kCommon ? uint32_t{kU8} : static_cast<uint32_t>(tensor.index_element);
    const auto bits = static_cast<uint32_t>(tables.bits);
    // A lane costs 3 bytes: at least 128 bytes of data each.
    const uint64_t worth = expected_cost(warp, tables, tensor, chunk.first, n) / (128 * 2048);
    const uint32_t log2_lanes = worth < 2 ? 0 : worth < 32 ? bit_width(worth) - 1 : 5;
    const uint32_t lanes = 1u << log2_lanes;
    const Slot slot(launch.slots + slot_of(tensor, chunk.first), n, bytes_of(symbol_element));

    Lanes state, faults, wide, next_symbol, next_table;
    warp.each([&](uint32_t lane) { state[lane] = kLow, faults[lane] = kNoFault, wide[lane] = 0; });
    uint32_t base = (n + lanes - 1) / lanes * lanes;
    const auto fetch = [&](uint32_t lane) {
        const uint32_t i = base - lanes + lane;
        const bool there = base > 0 && lane < lanes && i < n;
        next_symbol[lane] = there ? static_cast<uint32_t>(load(tensor.symbols, chunk.first + i, symbol_element)) : 0;
        next_table[lane] = there ? static_cast<uint32_t>(load(tensor.index, chunk.first + i, index_element)) : 0;
    };
    warp.each(fetch);
    uint32_t num_words = 0;
    SideWriter side;
    while (base > 0) {
        base -= lanes;
        const uint32_t num = n - base < lanes ? n - base : lanes;
        Lanes start, g, reciprocal, shift, low, side_value, side_code;
        warp.each([&](uint32_t lane) {
            const auto symbol = static_cast<int32_t>(next_symbol[lane]);
            uint32_t t = next_table[lane];
            fetch(lane);  // a group ahead
            side_code[lane] = side_value[lane] = 0;
            if (t >= tables.num_tables) {
                faults[lane] = kNoTable;
                t = 0;
            }
            const WarpTable table = tables.tables[t];
            wide[lane] |= static_cast<uint32_t>(symbol ^ (symbol >> 31));
            const uint32_t above = static_cast<uint32_t>(symbol) - static_cast<uint32_t>(table.offset);
            uint32_t token = above >> table.shift;
            uint32_t rest_bits = above & ((1u << table.shift) - 1);
            const uint32_t raw = table.shift - table.slot_shift;
            if (token++ < table.num_tokens - 1) {
                if (raw) side_value[lane] = rest_bits >> table.slot_shift, side_code[lane] = raw;
            } else if (table.has_escape) {
                token = 0;
                rest_bits = escape_distance(symbol, table.offset, table.span());
                side_value[lane] = rest_bits >> table.slot_shift;
                side_code[lane] = 1u << 31 | (raw + 2);
            } else {
                if (lane < num && faults[lane] < kOutsideClosed) faults[lane] = kOutsideClosed;
                token = 1;
            }
            const uint64_t entry = tables.tokens[table.first + token];
            start[lane] = static_cast<uint32_t>(entry) >> 16;
            g[lane] = (static_cast<uint32_t>(entry) & 0xFFFF) + 1;
            reciprocal[lane] = static_cast<uint32_t>(entry >> 32);
            shift[lane] = table.slot_shift;
            low[lane] = rest_bits & ((1u << table.slot_shift) - 1);
        });
        const uint32_t need =
            warp.ballot([&](uint32_t lane) { return lane < num && must_emit(state[lane], g[lane], bits); });
        const bool room = slot.holds(num_words + count_ones(need), side.num_full);
        warp.each([&](uint32_t lane) {
            if (lane >= num) return;
            uint32_t x = state[lane];
            if (need >> lane & 1) {
                if (room) slot.words[num_words + count_ones(need & ((1u << lane) - 1))] = static_cast<uint16_t>(x);
                x >>= 16;
            }
            const uint32_t q = divide(x, g[lane], reciprocal[lane]);
            state[lane] = encode_step(x, q, {start[lane], g[lane], shift[lane]}, low[lane], bits);
        });
        num_words += count_ones(need);
        uint32_t sides = warp.ballot([&](uint32_t lane) { return lane < num && side_code[lane] != 0; });
        while (sides) {
            const uint32_t lane = bit_width(sides) - 1;
            sides ^= 1u << lane;
            const uint32_t value = warp.broadcast(side_value, lane), code = warp.broadcast(side_code, lane);
            if (code >> 31)
                side.prepend_exp_golomb(warp, slot, num_words, value, code & 31);
            else
                side.prepend(warp, slot, num_words, value, code);
        }
    }
    if (slot.holds(num_words, side.num_full)) side.finish(warp, slot);
    warp.each([&](uint32_t lane) { slot.states[lane] = state[lane]; });

    chunk.num_symbols = n;
    chunk.num_words = num_words;
    chunk.num_side_bytes = (side.num_bits() + 7) / 8;
    chunk.bits = bits;
    chunk.flags = static_cast<uint32_t>(launch.flags) | log2_lanes | (chunk.num_side_bytes ? kSideFlag : 0);
    if (chunk.flags & kIndexHashFlag)
        chunk.index_hash = hash_of_index(warp, tensor.index, chunk.first, n, index_element);
    // For `gather_chunk`, which puts the body's place here.
    chunk.body = side.num_bits();
    Chunk stored = chunk;
    stored.profile = kStoredProfile;
    stored.flags = static_cast<uint32_t>(launch.flags);
    stored.num_words = 0;
    stored.bits = warp.ballot([&](uint32_t lane) { return wide[lane] >= 1u << 15; })  ? 4
                  : warp.ballot([&](uint32_t lane) { return wide[lane] >= 1u << 7; }) ? 2
                                                                                      : 1;
    stored.num_side_bytes = stored.bits * n;
    if (header_bytes(stored) + body_bytes(stored) < header_bytes(chunk) + body_bytes(chunk)) chunk = stored;
    const uint32_t fault = highest(warp, faults);
    warp.on(0, [&] {
        launch.chunks[number] = chunk;
        launch.sizes[number] = header_bytes(chunk) + body_bytes(chunk);
        launch.faults[number] = fault;
    });
}

template <typename Warp>
NARROWS_WARP void encode_chunk(const Warp& warp, const EncodeLaunch& launch, uint64_t number) {
    uint64_t which = 0;
    for (uint64_t left = launch.num_tensors; left > 1;) {
        const uint64_t half = left / 2;
        which += launch.tensors[which + half].first_chunk <= number ? half : 0;
        left -= half;
    }
    const EncodeTensor& tensor = launch.tensors[which];
    if (tensor.symbol_element == kI16 && tensor.index_element == kU8)
        encode_chunk_of<true>(warp, launch, number, which);
    else
        encode_chunk_of<false>(warp, launch, number, which);
}

NARROWS_LANE void put_bytes(uint8_t*& at, uint32_t value, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) *at++ = static_cast<uint8_t>(value >> (8 * i));
}

NARROWS_LANE void put_varint(uint8_t*& at, uint32_t value) {
    for (; value >= 128; value >>= 7) *at++ = static_cast<uint8_t>(value | 128);
    *at++ = static_cast<uint8_t>(value);
}

// Puts a coded chunk in its place in the payload.
template <typename Warp>
NARROWS_WARP void gather_chunk(const Warp& warp, const EncodeLaunch& launch, uint64_t number) {
    if (launch.sizes[number] == 0) return;
    const Chunk chunk = launch.chunks[number];
    const EncodeTensor& tensor = launch.tensors[chunk.tensor];
    const uint64_t begin = launch.ends[number] - launch.sizes[number];
    const uint64_t body = begin + header_bytes(chunk);
    uint8_t* const out = launch.payload + body;
    warp.sync();
    warp.on(0, [&] {
        launch.chunks[number].body = body;
        uint8_t* at = launch.payload + begin;
        put_bytes(at, 1 << 4 | chunk.profile, 1);
        put_bytes(at, chunk.bits, 1);
        put_bytes(at, chunk.flags, 1);
        put_bytes(at, static_cast<uint32_t>(launch.tables.digest), 4);
        if (chunk.flags & kIndexHashFlag) put_bytes(at, chunk.index_hash, 4);
        put_varint(at, chunk.num_symbols);
        put_varint(at, chunk.num_words);
        put_varint(at, chunk.num_side_bytes);
    });
    const auto element = static_cast<uint32_t>(tensor.symbol_element);
    if (chunk.profile == kStoredProfile) {
        warp.each([&](uint32_t lane) {
            for (uint32_t i = lane; i < chunk.num_symbols; i += 32) {
                uint8_t* at = out + uint64_t{i} * chunk.bits;
                put_bytes(at, static_cast<uint32_t>(load(tensor.symbols, chunk.first + i, element)), chunk.bits);
            }
        });
        return;
    }
    const Slot slot(launch.slots + slot_of(tensor, chunk.first), chunk.num_symbols, bytes_of(element));
    const uint32_t word_bytes = 2 * chunk.num_words, state_bytes = 4 * lanes_of(chunk);
    const auto side_bits = static_cast<uint32_t>(chunk.body);
    warp.each([&](uint32_t lane) {
        for (uint32_t i = lane; i < chunk.num_words; i += 32) {
            uint8_t* at = out + 2 * i;
            put_bytes(at, slot.words[i], 2);
        }
        for (uint32_t i = lane; i < lanes_of(chunk); i += 32) {
            uint8_t* at = out + word_bytes + 4 * i;
            put_bytes(at, slot.states[i], 4);
        }
        for (uint32_t i = lane; i < chunk.num_side_bytes; i += 32)
            out[word_bytes + state_bytes + i] = side_byte(slot.side_end, side_bits, i);
    });
}

}  // namespace narrows
