// Chunks coded by warps: lane i of a chunk is thread i of a warp on a device, and element i of an array on the host,
// where the tests run this same source. Format: docs/format.md, "Entropy payloads"; mapping: docs/cuda.md.
//
// Code between two calls of a Warp is written for one lane; what lanes tell each other goes through ballot, sum and
// broadcast, so that a host may run the lanes of such a piece one after the other. Launch structures hold 8-byte
// fields only: a caller fills them as arrays of uint64. No header that NVRTC lacks.
#pragma once

#include "rans/lane.hpp"

#if defined(__CUDACC__)
#define NARROWS_WARP __device__ __forceinline__
#define NARROWS_RARE __device__ __noinline__  // what few chunks need shall not cost the loops registers
#define NARROWS_ROLLED _Pragma("unroll 1")
#else
#define NARROWS_WARP
#define NARROWS_RARE
#define NARROWS_ROLLED
#endif

namespace narrows {

// ---- 32 lanes ----

#if defined(__CUDACC__)

class Warp {
   public:
    template <typename T>
    class Lanes {
       public:
        __device__ T& operator[](uint32_t) { return value_; }
        __device__ const T& operator[](uint32_t) const { return value_; }

       private:
        T value_;
    };
    template <typename Body>
    __device__ void each(Body body) const {
        body(threadIdx.x & 31);
    }
    template <typename Body>
    __device__ void on(uint32_t lane, Body body) const {
        if ((threadIdx.x & 31) == lane) body();
    }
    template <typename Test>
    __device__ uint32_t ballot(Test test) const {
        return __ballot_sync(0xFFFFFFFFu, test(threadIdx.x & 31));
    }
    __device__ uint32_t broadcast(const Lanes<uint32_t>& values, uint32_t from) const {
        return __shfl_sync(0xFFFFFFFFu, values[0], static_cast<int>(from));
    }
    __device__ uint64_t sum(const Lanes<uint64_t>& values) const {
        uint64_t total = values[0];
        for (int step = 16; step > 0; step /= 2) total += __shfl_xor_sync(0xFFFFFFFFu, total, step);
        return total;
    }
    // What lanes wrote to memory is seen by all.
    __device__ void sync() const { __syncwarp(); }
    __device__ static void set_bits(uint32_t* word, uint32_t bits) { atomicOr(word, bits); }
    __device__ static void raise(uint32_t* word, uint32_t value) { atomicMax(word, value); }
};
__device__ __forceinline__ uint32_t count_ones(uint32_t x) { return static_cast<uint32_t>(__popc(x)); }
__device__ __forceinline__ uint32_t bit_width(uint64_t x) { return 64 - static_cast<uint32_t>(__clzll(x)); }

#else

class Warp {
   public:
    template <typename T>
    class Lanes {
       public:
        T& operator[](uint32_t lane) { return values_[lane]; }
        const T& operator[](uint32_t lane) const { return values_[lane]; }

       private:
        T values_[32];
    };
    template <typename Body>
    void each(Body body) const {
        for (uint32_t lane = 0; lane < 32; ++lane) body(lane);
    }
    template <typename Body>
    void on(uint32_t, Body body) const {
        body();
    }
    template <typename Test>
    uint32_t ballot(Test test) const {
        uint32_t mask = 0;
        for (uint32_t lane = 0; lane < 32; ++lane) mask |= uint32_t{test(lane)} << lane;
        return mask;
    }
    uint32_t broadcast(const Lanes<uint32_t>& values, uint32_t from) const { return values[from]; }
    uint64_t sum(const Lanes<uint64_t>& values) const {
        uint64_t total = 0;
        for (uint32_t lane = 0; lane < 32; ++lane) total += values[lane];
        return total;
    }
    void sync() const {}
    static void set_bits(uint32_t* word, uint32_t bits) { *word |= bits; }
    static void raise(uint32_t* word, uint32_t value) { *word = *word > value ? *word : value; }
};
inline uint32_t count_ones(uint32_t x) { return static_cast<uint32_t>(__builtin_popcount(x)); }
inline uint32_t bit_width(uint64_t x) { return x ? 64 - static_cast<uint32_t>(__builtin_clzll(x)) : 0; }

#endif

// ---- What launches read and write ----

// Of a chunk; the highest of several stays. Texts: warp.cpp.
enum Fault : uint32_t {
    kNoFault,
    kEntryDiffers,
    kNotFitting,
    kSideLeft,
    kSideDamaged,
    kFinalState,
    kWordsLeft,
    kWordsRunOut,
    kWrittenState,
    kIndexDiffers,
    kOutsideClosed,
    kNoTable,
    kNumFaults,
};

// Elements of arrays.
enum Element : uint32_t { kU8, kI8, kU16, kI16, kI32 };

NARROWS_LANE uint32_t bytes_of(uint32_t element) { return element <= kI8 ? 1 : element <= kI16 ? 2 : 4; }

NARROWS_LANE int32_t load(const void* array, uint64_t i, uint32_t element) {
    switch (element) {
        case kU8: return static_cast<const uint8_t*>(array)[i];
        case kI8: return static_cast<const int8_t*>(array)[i];
        case kU16: return static_cast<const uint16_t*>(array)[i];
        case kI16: return static_cast<const int16_t*>(array)[i];
        default: return static_cast<const int32_t*>(array)[i];
    }
}

// False if the element is too narrow for the value.
NARROWS_LANE bool store(void* array, uint64_t i, uint32_t element, int32_t value) {
    if (element == kI8) return (static_cast<int8_t*>(array)[i] = static_cast<int8_t>(value)) == value;
    if (element == kI16) return (static_cast<int16_t*>(array)[i] = static_cast<int16_t>(value)) == value;
    static_cast<int32_t*>(array)[i] = value;
    return true;
}

struct alignas(16) WarpTable {
    int32_t offset;
    uint32_t num_tokens;
    uint32_t first;  // of its boundaries and tokens
    uint8_t shift, slot_shift, has_escape, unused;

    NARROWS_LANE uint64_t span() const { return uint64_t{num_tokens - 1} << shift; }
};
static_assert(sizeof(WarpTable) == 16);

struct WarpTables {
    const WarpTable* tables;
    const uint32_t* cdf;
    const uint64_t* tokens;       // reciprocal of g:32 | start:16 | g - 1:16
    const uint64_t* buckets;      // as Buckets in narrows/tables.hpp; null if the tables do not fit
    const uint32_t* entropy_256;  // expected cost of a symbol
    uint64_t num_tables, bits, log2_buckets, digest, any_raw;
};

// A chunk of a payload, checked by who made it.
struct Chunk {
    uint64_t body;   // byte in the payload where words, states and side stream begin, or stored symbols
    uint64_t first;  // symbol of its tensor
    uint32_t tensor;
    uint32_t num_symbols, num_words, num_side_bytes;
    uint32_t profile, bits, flags, index_hash;  // bits: of probabilities; profile 2: bytes a symbol
    uint32_t first_entry, num_entries;          // of the entry index
};
static_assert(sizeof(Chunk) == 56);

struct EncodeTensor {
    const void* symbols;
    const void* index;
    uint64_t num_symbols;
    uint64_t symbol_element, index_element;
    uint64_t first_chunk;    // it has room for those up to the next tensor's first
    uint64_t slot;           // byte of its chunks' slots
    uint64_t chunk_symbols;  // written by `plan_chunks`
};

struct EncodeLaunch {
    WarpTables tables;
    EncodeTensor* tensors;
    uint64_t num_tensors, num_chunks, chunk_bytes, flags;
    uint8_t* slots;
    Chunk* chunks;
    uint64_t* sizes;       // of chunks in bytes, 0 where a tensor has fewer; [num_chunks]
    const uint64_t* ends;  // their running sum, for `gather_chunk`
    uint8_t* payload;
    uint32_t* faults;      // [num_chunks]
};

struct DecodeTensor {
    void* symbols;  // int32 if a table takes bits from the side stream: they may bring a value back into a range
    const void* index;
    uint64_t symbol_element, index_element;
    uint64_t escape_bit;  // of its first symbol in `escapes`
};

// Where decoding may begin within a chunk; docs/format.md, "Entry index".
struct Entry {
    uint32_t num_words;  // below it
    uint32_t group;      // no lane joins before
    uint64_t side_bit;   // at the start of that group
    uint32_t join[32];   // the group after whose symbol the lane has `state` and takes a word
    uint32_t state[32];
};
static_assert(sizeof(Entry) == 272);

struct DecodeLaunch {
    WarpTables tables;
    const uint8_t* payload;
    const Chunk* chunks;
    const DecodeTensor* tensors;
    uint64_t num_segments;
    const uint32_t* segments;  // chunk and number of the segment within it; null: a segment a chunk
    const Entry* entries;
    uint32_t* escapes;       // a bit a symbol, zeros at first
    uint32_t* final_states;  // [num_chunks, 32]
    uint32_t* faults;        // [num_chunks], zeros at first
};

inline constexpr uint32_t kRansProfile = 0, kStoredProfile = 2;
inline constexpr uint32_t kSideFlag = 8, kIndexHashFlag = 16, kStatePayloadFlag = 32;
// Of a slot beside the symbols' own bytes: 128 for states, the rest so that chunks beyond are stored for certain.
inline constexpr uint32_t kSlotBytes = 192;

template <typename Warp>
NARROWS_WARP uint32_t highest(const Warp& warp, const typename Warp::template Lanes<uint32_t>& faults) {
    uint32_t most = kNoFault;
    while (const uint32_t above = warp.ballot([&](uint32_t lane) { return faults[lane] > most; }))
        most = warp.broadcast(faults, bit_width(above) - 1);
    return most;
}

// ---- CRC32C of an index ----

// a b modulo the polynomial; reflected, so that 2^31 is 1.
NARROWS_LANE uint32_t multiply_crc(uint32_t a, uint32_t b) {
    uint32_t product = 0;
    NARROWS_ROLLED for (uint32_t bit = 1u << 31; bit; bit >>= 1) {
        product ^= a & bit ? b : 0;
        b = b >> 1 ^ (0x82F63B78u & (0 - (b & 1)));
    }
    return product;
}

// x^(16 n): what `n` zero indexes multiply a CRC by.
NARROWS_LANE uint32_t power_crc(uint64_t n) {
    uint32_t power = 1u << 31;
    NARROWS_ROLLED for (uint32_t square = 1u << 15; n; n >>= 1, square = multiply_crc(square, square))
        if (n & 1) power = multiply_crc(power, square);
    return power;
}

// Of the indexes as u16: each lane takes a run, and runs are joined as zlib's crc32_combine does.
template <typename Warp>
NARROWS_RARE uint32_t hash_of_index(const Warp& warp, const void* index, uint64_t first, uint32_t n, uint32_t element) {
    const uint32_t run = (n + 31) / 32;
    typename Warp::template Lanes<uint32_t> crcs;
    warp.each([&](uint32_t lane) {
        uint32_t crc = lane == 0 ? 0xFFFFFFFFu : 0;
        for (uint64_t i = uint64_t{lane} * run; i < n && i < uint64_t{lane + 1} * run; ++i) {
            crc ^= static_cast<uint16_t>(load(index, first + i, element));
            NARROWS_ROLLED for (uint32_t bit = 0; bit < 16; ++bit) crc = crc >> 1 ^ (0x82F63B78u & (0 - (crc & 1)));
        }
        crcs[lane] = crc;
    });
    const uint32_t by_run = power_crc(run);
    uint32_t crc = warp.broadcast(crcs, 0);
    for (uint32_t lane = 1; uint64_t{lane} * run < n; ++lane) {
        const uint64_t left = n - uint64_t{lane} * run;
        crc = multiply_crc(crc, left < run ? power_crc(left) : by_run) ^ warp.broadcast(crcs, lane);
    }
    return ~crc;
}

// ---- Encoding ----

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

NARROWS_LANE uint32_t lanes_of(const Chunk& chunk) { return chunk.profile == kRansProfile ? 1u << (chunk.flags & 7) : 0; }

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
        for (uint64_t i = lane; i < taken; i += 32) {
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
    const uint64_t chunks = (cost + target / 2) / target > 1 ? (cost + target / 2) / target : 1;
    uint64_t each = ((n + chunks - 1) / chunks + 31) / 32 * 32;
    each = each < 32 ? 32 : each < (1u << 22) ? each : 1u << 22;
    warp.on(0, [&] { tensor.chunk_symbols = each; });
}

NARROWS_LANE uint64_t slot_of(const EncodeTensor& tensor, uint64_t first) {
    const uint64_t bytes = tensor.chunk_symbols * bytes_of(static_cast<uint32_t>(tensor.symbol_element)) + kSlotBytes;
    return tensor.slot + first / tensor.chunk_symbols * bytes;
}

// Codes a chunk into its slot.
template <typename Warp>
NARROWS_WARP void encode_chunk(const Warp& warp, const EncodeLaunch& launch, uint64_t number) {
    using Lanes = typename Warp::template Lanes<uint32_t>;
    const WarpTables& tables = launch.tables;
    uint64_t which = 0;
    for (uint64_t left = launch.num_tensors; left > 1;) {
        const uint64_t half = left / 2;
        which += launch.tensors[which + half].first_chunk <= number ? half : 0;
        left -= half;
    }
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
    const auto symbol_element = static_cast<uint32_t>(tensor.symbol_element);
    const auto index_element = static_cast<uint32_t>(tensor.index_element);
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

// ---- Decoding ----

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

// Decodes what lies between two entries of a chunk, by default all of it.
template <bool kSplit, typename Warp>
NARROWS_WARP uint32_t decode_rans(const Warp& warp, const DecodeLaunch& launch, const Chunk& chunk, uint64_t number,
                                  uint32_t segment, const uint64_t* buckets) {
    using Lanes = typename Warp::template Lanes<uint32_t>;
    const WarpTables& tables = launch.tables;
    const DecodeTensor tensor = launch.tensors[chunk.tensor];  // a copy: stores in the loop cannot change it
    const auto symbol_element = static_cast<uint32_t>(tensor.symbol_element);
    const auto index_element = static_cast<uint32_t>(tensor.index_element);
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
        if (!fault) fault = decode_rans<kSplit>(warp, launch, chunk, number, segment, buckets);
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
