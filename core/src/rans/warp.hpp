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
NARROWS_LANE uint32_t lanes_of(const Chunk& chunk) { return chunk.profile == kRansProfile ? 1u << (chunk.flags & 7) : 0; }

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

}  // namespace narrows
