// rANS in vectors of 16 lanes, for chunks of 16 or 32; smaller ones run in AVX2. As avx2.cpp, with masks, compress
// and expand in place of permutation tables, and with symbols planned 32 at a time in u16.
#include <immintrin.h>

#include "rans/vectors.hpp"

namespace narrows {
namespace {

[[gnu::always_inline]] inline void store(uint32_t* p, __m512i v) { _mm512_store_si512(p, v); }

[[gnu::always_inline]] inline __m512i load_index(const uint8_t* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
[[gnu::always_inline]] inline __m512i load_index(const uint16_t* p) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

// Two entries in one register. Scalar loads of a stored vector beat the gather instruction.
[[gnu::always_inline]] inline __m128i load_pair(const uint64_t* entries, uint32_t a, uint32_t b) {
    const __m128i low = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(entries + a));
    return _mm_castps_si128(_mm_loadh_pi(_mm_castsi128_ps(low), reinterpret_cast<const __m64*>(entries + b)));
}

// The entries of lanes i, i + 1 of each four.
template <typename Position>
[[gnu::always_inline]] inline __m512 load_pairs(const uint64_t* entries, const Position* at) {
    const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(load_pair(entries, at[0], at[1])),
                                                load_pair(entries, at[4], at[5]), 1);
    const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(load_pair(entries, at[8], at[9])),
                                                 load_pair(entries, at[12], at[13]), 1);
    return _mm512_castsi512_ps(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
}

struct Halves {
    __m512i low, high;
};

[[gnu::always_inline]] inline Halves split(__m512 a, __m512 b) {
    return {_mm512_castps_si512(_mm512_shuffle_ps(a, b, 0x88)), _mm512_castps_si512(_mm512_shuffle_ps(a, b, 0xDD))};
}

// Sixteen entries, split.
template <typename Position>
[[gnu::always_inline]] inline Halves look_up(const uint64_t* entries, const Position* at) {
    return split(load_pairs(entries, at), load_pairs(entries, at + 2));
}

// ---- Encoder ----

// Plans are made kAhead groups before the states need them, so that the entries copied for a group have left the
// store buffer when they are loaded as vectors.
constexpr uint32_t kAhead = 4;

struct Words {
    alignas(64) uint16_t at[32];
};
constexpr Words make_even() {
    Words even{};
    for (unsigned i = 0; i < 32; ++i) even.at[i] = static_cast<uint16_t>(2 * i);
    return even;
}
constexpr Words kEven = make_even();  // picks the low halves of 32 dwords

struct Plan {
    alignas(64) uint64_t entries[32];  // of encode_quotients, ordered for `split`
    alignas(64) uint16_t low[32];
    alignas(64) uint16_t shift[32];
};

[[gnu::always_inline]] inline __m512i load_indexes(const uint8_t* p, __mmask32 there) {
    return _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(there, p));
}
[[gnu::always_inline]] inline __m512i load_indexes(const uint16_t* p, __mmask32 there) {
    return _mm512_maskz_loadu_epi16(there, p);
}

// 32 symbols as int16; `beyond` gets those that are not.
[[gnu::always_inline]] inline __m512i load_symbols(const int8_t* p, __mmask32 there, __mmask32& beyond) {
    beyond = 0;
    return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(there, p));
}
[[gnu::always_inline]] inline __m512i load_symbols(const int16_t* p, __mmask32 there, __mmask32& beyond) {
    beyond = 0;
    return _mm512_maskz_loadu_epi16(there, p);
}
[[gnu::always_inline]] inline __m512i load_symbols(const int32_t* p, __mmask32 there, __mmask32& beyond) {
    const __m512i a = _mm512_maskz_loadu_epi32(static_cast<__mmask16>(there), p);
    const __m512i b = _mm512_maskz_loadu_epi32(static_cast<__mmask16>(there >> 16), p + 16);
    const __m256i low = _mm512_cvtepi32_epi16(a), high = _mm512_cvtepi32_epi16(b);
    beyond = uint32_t{_mm512_cmpneq_epi32_mask(_mm512_cvtepi16_epi32(low), a)} |
             uint32_t{_mm512_cmpneq_epi32_mask(_mm512_cvtepi16_epi32(high), b)} << 16;
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

[[gnu::always_inline]] inline __m512i load_wide(const int8_t* p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
[[gnu::always_inline]] inline __m512i load_wide(const int16_t* p) {
    return _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
[[gnu::always_inline]] inline __m512i load_wide(const int32_t* p) { return _mm512_loadu_si512(p); }

[[gnu::always_inline]] inline void store_words(uint16_t* p, __m512i v) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(v));
}

// Columns of `encode_records` for up to 64 kBanks tables, so that vpermi2w finds what 32 symbols need.
template <uint32_t kBanks>
struct Columns {
    alignas(64) uint16_t offset[64 * kBanks];
    alignas(64) uint16_t extent[64 * kBanks];  // (num_tokens - 1) << 3 | shift
    alignas(64) uint16_t first[64 * kBanks];

    // False if a table has values beyond int16.
    [[gnu::always_inline]] bool set(const TableView& view) {
        __mmask8 beyond = 0;
        for (uint32_t t = 0; t < 64 * kBanks; t += 8) {
            const uint32_t left = view.num_tables > t ? view.num_tables - t : 0;
            const auto there = static_cast<__mmask8>(left < 8 ? (1u << left) - 1 : 255);
            const __m512i record = _mm512_maskz_loadu_epi64(there, view.encode_records + t);
            const __m512i low = _mm512_srai_epi64(_mm512_slli_epi64(record, 32), 32);
            const __m512i high = _mm512_srli_epi64(record, 32);
            const __m512i count = _mm512_and_si512(_mm512_srli_epi64(high, 3), _mm512_set1_epi64(0x1FFF));
            const __m512i span = _mm512_sllv_epi64(count, _mm512_and_si512(high, _mm512_set1_epi64(7)));
            beyond = static_cast<__mmask8>(
                beyond | _mm512_cmplt_epi64_mask(low, _mm512_set1_epi64(INT16_MIN)) |
                _mm512_cmpgt_epi64_mask(_mm512_add_epi64(low, span), _mm512_set1_epi64(INT16_MAX + 1)));
            _mm_store_si128(reinterpret_cast<__m128i*>(offset + t), _mm512_cvtepi64_epi16(low));
            _mm_store_si128(reinterpret_cast<__m128i*>(extent + t), _mm512_cvtepi64_epi16(high));
            _mm_store_si128(reinterpret_cast<__m128i*>(first + t), _mm512_cvtepi64_epi16(_mm512_srli_epi64(high, 16)));
        }
        return !beyond;
    }

    [[gnu::always_inline]] static __m512i bank(const uint16_t* column, __m512i t, uint32_t i) {
        return _mm512_permutex2var_epi16(_mm512_load_si512(column + 64 * i), t,
                                         _mm512_load_si512(column + 64 * i + 32));
    }
    [[gnu::always_inline]] static __m512i pick(const uint16_t* column, __m512i t) {
        __m512i picked = bank(column, t, 0);
        if constexpr (kBanks > 1)
            picked = _mm512_mask_mov_epi16(picked, _mm512_test_epi16_mask(t, _mm512_set1_epi16(64)), bank(column, t, 1));
        if constexpr (kBanks > 2) {
            const __m512i upper = _mm512_mask_mov_epi16(
                bank(column, t, 2), _mm512_test_epi16_mask(t, _mm512_set1_epi16(64)), bank(column, t, 3));
            picked = _mm512_mask_mov_epi16(picked, _mm512_test_epi16_mask(t, _mm512_set1_epi16(128)), upper);
        }
        return picked;
    }
};

// The lanes of `outside` are escapes. True if a table has none.
template <typename Symbol, typename Index>
[[gnu::noinline]] bool plan_outside(const TableView& view, const Symbol* symbols, const Index* index,
                                    uint32_t outside, uint16_t* low) {
    bool closed = false;
    for (; outside; outside &= outside - 1) {
        const auto lane = static_cast<uint32_t>(__builtin_ctz(outside));
        const Table& table = view.tables[index[lane]];
        closed |= !table.has_escape;
        low[lane] = static_cast<uint16_t>(escape_distance(symbols[lane], table) & ((1u << table.shift) - 1));
    }
    return closed;
}

// For other tables: `encode_records` are looked up one by one.
struct Records {};

// Copies the entries of 32 symbols. The barrier keeps the compiler from gathering them.
[[gnu::always_inline]] inline void copy_entries(const TableView& view, const uint16_t* at, Plan& plan) {
#pragma GCC unroll 32
    for (uint32_t i = 0; i < 32; ++i) {
        uint64_t entry = view.encode_quotients[at[i]];
        asm("" : "+r"(entry));
        plan.entries[(i & 16) | (i & 2) << 2 | (i >> 1 & 6) | (i & 1)] = entry;
    }
}

// Plans `n` symbols, 16 or 32; what is planned beyond them is not used.
template <bool kShifts, typename Lookup, typename Symbol, typename Index>
[[gnu::always_inline]] inline void make_plan(EncodeJob<Symbol, Index>& job, const TableView& view,
                                             const Lookup& tables, uint32_t from, uint32_t n, Plan& plan) {
    const __mmask32 there = n == 32 ? ~0u : 0xFFFFu;
    const __m512i t = load_indexes(job.index + from, there);
    __mmask32 beyond;
    const __m512i symbols = load_symbols(job.symbols + from, there, beyond);
    const __m512i above = _mm512_sub_epi16(symbols, tables.pick(tables.offset, t));
    const __m512i extent = tables.pick(tables.extent, t);
    const __m512i shift = _mm512_and_si512(extent, _mm512_set1_epi16(7));
    const __m512i token = kShifts ? _mm512_srlv_epi16(above, shift) : above;
    // Values are within int16: below offset, `above` wraps to 2^15 - offset or more, past every table's end.
    const __mmask32 inside =
        _mm512_mask_cmplt_epu16_mask(~beyond, token, _mm512_srli_epi16(extent, 3));
    alignas(64) uint16_t at[32];
    _mm512_store_si512(at, _mm512_add_epi16(tables.pick(tables.first, t),
                                            _mm512_maskz_add_epi16(inside, token, _mm512_set1_epi16(1))));
    asm("" : "+m"(at));
    if constexpr (kShifts) {
        _mm512_store_si512(plan.shift, shift);
        _mm512_store_si512(plan.low, _mm512_sub_epi16(above, _mm512_sllv_epi16(token, shift)));
    }
    if (const uint32_t outside = ~inside & there) [[unlikely]] {
        job.closed |= plan_outside(view, job.symbols + from, job.index + from, outside, plan.low);
        add_escapes(job, from, outside);
    }
    copy_entries(view, at, plan);
}

template <bool kShifts, typename Symbol, typename Index>
[[gnu::always_inline]] inline void make_plan(EncodeJob<Symbol, Index>& job, const TableView& view, const Records&,
                                             uint32_t from, uint32_t n, Plan& plan) {
    alignas(64) uint16_t at[32] = {};
    uint32_t outside = 0;
    for (uint32_t lane = 0; lane < n; lane += 16) {
        const Halves record = look_up(view.encode_records, job.index + from + lane);
        const __m512i above = _mm512_sub_epi32(load_wide(job.symbols + from + lane), record.low);
        const __m512i shift = _mm512_and_si512(record.high, _mm512_set1_epi32(7));
        const __m512i token = kShifts ? _mm512_srlv_epi32(above, shift) : above;
        const __m512i count = _mm512_and_si512(_mm512_srli_epi32(record.high, 3), _mm512_set1_epi32(0x1FFF));
        const __mmask16 inside = _mm512_cmplt_epu32_mask(token, count);
        store_words(at + lane, _mm512_add_epi32(_mm512_srli_epi32(record.high, 16),
                                                _mm512_maskz_add_epi32(inside, token, _mm512_set1_epi32(1))));
        if constexpr (kShifts) {
            store_words(plan.shift + lane, shift);
            store_words(plan.low + lane, _mm512_sub_epi32(above, _mm512_sllv_epi32(token, shift)));
        }
        outside |= static_cast<uint32_t>(static_cast<__mmask16>(~inside)) << lane;
    }
    asm("" : "+m"(at));
    if (outside) [[unlikely]] {
        job.closed |= plan_outside(view, job.symbols + from, job.index + from, outside, plan.low);
        add_escapes(job, from, outside);
    }
    copy_entries(view, at, plan);
}

// What does not change from step to step.
struct Counts {
    __m512i bits, rest_bits;
};

// One symbol in each of 16 lanes: first whether a word goes and x after it, then the coding. q as in avx2.cpp: exact
// or one too small.
struct Coding {
    __m512i inverse, most, base, shift;  // most: g - 1; base: start + low
};

template <bool kShifts>
[[gnu::always_inline]] inline Coding load_coding(const Plan& plan, uint32_t lane) {
    const Halves entry = split(_mm512_load_ps(plan.entries + lane), _mm512_load_ps(plan.entries + lane + 8));
    __m512i base = _mm512_and_si512(entry.high, _mm512_set1_epi32(0xFFFF));
    __m512i shift = _mm512_setzero_si512();
    if constexpr (kShifts) {
        base = _mm512_add_epi32(base, load_index(plan.low + lane));
        shift = load_index(plan.shift + lane);
    }
    return {entry.low, _mm512_srli_epi32(entry.high, 16), base, shift};
}

template <bool kShifts>
[[gnu::always_inline]] inline __m512i code(__m512i x, const Coding& c, const Counts& counts) {
    const __m512i one = _mm512_set1_epi32(1);
    const __m512i g = _mm512_add_epi32(c.most, one);
    const __m512 half = _mm512_cvtepi32_ps(_mm512_srli_epi32(x, 1));
    __m512i q = _mm512_cvttps_epi32(_mm512_mul_ps(half, _mm512_castsi512_ps(c.inverse)));
    __m512i r = _mm512_sub_epi32(x, _mm512_mullo_epi32(q, g));
    const __mmask16 more = _mm512_cmpgt_epi32_mask(r, c.most);
    q = _mm512_mask_add_epi32(q, more, q, one);
    r = _mm512_mask_sub_epi32(r, more, r, g);
    if constexpr (kShifts) r = _mm512_sllv_epi32(r, c.shift);
    return _mm512_add_epi32(_mm512_add_epi32(_mm512_sllv_epi32(q, counts.bits), c.base), r);
}

template <uint32_t kVectors, bool kShifts>
[[gnu::always_inline]] inline void encode_group(__m512i (&x)[kVectors], const Plan& plan, const Counts& counts,
                                                uint16_t*& words) {
    Coding coding[kVectors];
    __mmask16 need[kVectors];
    for (uint32_t v = 0; v < kVectors; ++v) {
        coding[v] = load_coding<kShifts>(plan, 16 * v);
        need[v] = _mm512_cmpgt_epi32_mask(_mm512_srlv_epi32(x[v], counts.rest_bits), coding[v].most);
    }
    // All lanes' words always; the next store overwrites those that were not needed.
    if constexpr (kVectors == 2) {
        const __mmask32 both = _mm512_kunpackw(need[1], need[0]);
        const __m512i low_halves = _mm512_permutex2var_epi16(x[0], _mm512_load_si512(kEven.at), x[1]);
        _mm512_storeu_si512(words, _mm512_maskz_compress_epi16(both, low_halves));
        words += _mm_popcnt_u32(both);
    } else {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(words),
                            _mm256_maskz_compress_epi16(need[0], _mm512_cvtepi32_epi16(x[0])));
        words += _mm_popcnt_u32(need[0]);
    }
    for (uint32_t v = 0; v < kVectors; ++v)
        x[v] = code<kShifts>(_mm512_mask_srli_epi32(x[v], need[v], x[v], 16), coding[v], counts);
}

template <uint32_t kVectors, bool kShifts, typename Lookup, typename Symbol, typename Index>
[[gnu::noinline]] uint32_t encode_vectors(EncodeJob<Symbol, Index>& job, const Lookup& tables,
                        Kernels::Encode<Symbol, Index> portable) {
    constexpr uint32_t kLanes = 16 * kVectors;
    const TableView view = *job.view;
    const Counts counts{_mm512_set1_epi32(static_cast<int>(view.bits)),
                        _mm512_set1_epi32(static_cast<int>(32 - view.bits))};
    uint16_t* words = job.words;
    uint32_t end = job.n / kLanes * kLanes;
    if (end < job.n) words += encode_rest(job, end, portable);
    __m512i x[kVectors];
    for (uint32_t v = 0; v < kVectors; ++v) x[v] = _mm512_loadu_si512(job.states + 16 * v);
    Plan plans[kAhead];
    const uint32_t groups = end / kLanes;
    for (uint32_t i = 0; i < groups + kAhead; ++i) {
        Plan& at = plans[i % kAhead];
        if (i >= kAhead) encode_group<kVectors, kShifts>(x, at, counts, words);
        if (i < groups) make_plan<kShifts>(job, view, tables, end - (i + 1) * kLanes, kLanes, at);
    }
    for (uint32_t v = 0; v < kVectors; ++v) _mm512_storeu_si512(job.states + 16 * v, x[v]);
    return static_cast<uint32_t>(words - job.words);
}

// ---- Decoder ----

[[gnu::always_inline]] inline void store_symbols(int32_t* p, const __m512i (&v)[2]) {
    _mm512_storeu_si512(p, v[0]);
    _mm512_storeu_si512(p + 16, v[1]);
}
[[gnu::always_inline]] inline void store_symbols(int16_t* p, const __m512i (&v)[2]) {
    // Tables with buckets hold values of int16 only.
    _mm512_storeu_si512(p, _mm512_permutex2var_epi16(v[0], _mm512_load_si512(kEven.at), v[1]));
}
[[gnu::always_inline]] inline void store_symbols(int32_t* p, const __m512i (&v)[1]) { _mm512_storeu_si512(p, v[0]); }
[[gnu::always_inline]] inline void store_symbols(int16_t* p, const __m512i (&v)[1]) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(v[0]));
}

// Shift counts of a set of tables.
struct Widths {
    __m512i slot_mask, bits, bucket, log2_buckets;
};

// What a step finds in 16 lanes, in units of 2^shift slots: j within the token of size g; neg = -2^shift.
struct Found {
    __m512i slot, j, g, value, neg;
    __mmask16 rare;
};

template <bool kShifts>
[[gnu::always_inline]] inline Found find(const TableView& view, __m512i slot, const uint32_t* at) {
    const auto [low, high] = look_up(view.buckets, at);
    const __m512i one = _mm512_set1_epi32(1);
    const __m512i field = _mm512_set1_epi32(kShifts ? 0x7FFF : 0xFFFF);
    __m512i unit = slot, neg = _mm512_set1_epi32(-1);
    if constexpr (kShifts) {
        // (low >> 30) | (high >> 13 & 4)
        const __m512i shift = _mm512_ternarylogic_epi32(_mm512_srli_epi32(low, 30), _mm512_srli_epi32(high, 13),
                                                        _mm512_set1_epi32(4), 0xF8);
        unit = _mm512_srlv_epi32(slot, shift);
        neg = _mm512_sllv_epi32(neg, shift);
    }
    const __m512i j = _mm512_sub_epi32(unit, _mm512_and_si512(low, field));
    // Sizes less one.
    const __m512i g0 = kShifts ? _mm512_and_si512(_mm512_srli_epi32(low, 15), field) : _mm512_srli_epi32(low, 16);
    const __mmask16 next = _mm512_cmpgt_epi32_mask(j, g0);
    const __m512i j1 = _mm512_mask_sub_epi32(j, next, j, _mm512_add_epi32(g0, one));
    const __m512i g = _mm512_mask_and_epi32(g0, next, high, field);
    const __m512i value = _mm512_srai_epi32(high, 16);
    // Where the bucket does not know the token, j1 is negative.
    const __mmask16 rare = _mm512_cmpgt_epu32_mask(j1, g);
    return {slot, j1, _mm512_add_epi32(g, one), _mm512_mask_sub_epi32(value, next, value, neg), neg, rare};
}

template <typename Symbol, typename Index>
[[gnu::noinline]] void find_rare(DecodeJob<Symbol, Index>& job, const TableView& view, uint32_t first, Found& found) {
    alignas(64) uint32_t slots[16], ts[16], js[16], gs[16], values[16];
    store(slots, found.slot);
    store(ts, load_index(job.index + first));
    store(js, found.j);
    store(gs, found.g);
    store(values, found.value);
    add_candidates(job, first, search(view, found.rare, slots, ts, js, gs, values));
    found.j = _mm512_load_si512(js);
    found.g = _mm512_load_si512(gs);
    found.value = _mm512_load_si512(values);
}

[[gnu::always_inline]] inline __m512i refill(__m512i x, const uint16_t*& words) {
    const __mmask16 need = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32(1 << 16));
    words -= _mm_popcnt_u32(need);
    const __m512i next = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(words)));
    return _mm512_or_si512(_mm512_mask_slli_epi32(x, need, x, 16), _mm512_maskz_expand_epi32(need, next));
}

template <uint32_t kVectors, bool kShifts, typename Symbol, typename Index>
uint32_t decode_vectors(DecodeJob<Symbol, Index>& job, Kernels::Decode<Symbol, Index> portable) {
    constexpr uint32_t kLanes = 16 * kVectors;
    const TableView view = *job.view;
    const int bits = static_cast<int>(view.bits), log2_buckets = static_cast<int>(view.log2_buckets);
    const Widths widths{_mm512_set1_epi32((1 << bits) - 1), _mm512_set1_epi32(bits),
                        _mm512_set1_epi32(bits - log2_buckets), _mm512_set1_epi32(log2_buckets)};
    __m512i x[kVectors];
    for (uint32_t v = 0; v < kVectors; ++v) x[v] = _mm512_loadu_si512(job.states + 16 * v);
    const uint16_t* words = job.words + job.num_words;
    uint32_t base = 0;
    for (; base + kLanes <= job.n; base += kLanes) {
        alignas(64) uint32_t at[kLanes];
        __m512i slot[kVectors], value[kVectors];
#pragma GCC unroll 2
        for (uint32_t v = 0; v < kVectors; ++v) {
            slot[v] = _mm512_and_si512(x[v], widths.slot_mask);
            store(at + 16 * v,
                  _mm512_add_epi32(_mm512_sllv_epi32(load_index(job.index + base + 16 * v), widths.log2_buckets),
                                   _mm512_srlv_epi32(slot[v], widths.bucket)));
        }
        // Positions stay in memory: moving each out of a vector register costs more.
        asm("" : "+m"(at));
#pragma GCC unroll 2
        for (uint32_t v = 0; v < kVectors; ++v) {
            Found found = find<kShifts>(view, slot[v], at + 16 * v);
            if (found.rare) [[unlikely]] find_rare(job, view, base + 16 * v, found);
            value[v] = kShifts ? _mm512_add_epi32(found.value, _mm512_andnot_si512(found.neg, slot[v])) : found.value;
            x[v] = _mm512_add_epi32(_mm512_mullo_epi32(found.g, _mm512_srlv_epi32(x[v], widths.bits)), found.j);
        }
        store_symbols(job.symbols + base, value);
        // A group takes at most kLanes words, and as many lie before the first.
        for (uint32_t v = kVectors; v-- > 0;) x[v] = refill(x[v], words);
        if (words < job.words) return kOverrun;
    }
    for (uint32_t v = 0; v < kVectors; ++v) _mm512_storeu_si512(job.states + 16 * v, x[v]);
    return decode_rest(job, base, static_cast<uint32_t>(words - job.words), portable);
}

// ---- Which loop ----

template <uint32_t kVectors, typename Symbol, typename Index>
uint32_t encode_lanes(EncodeJob<Symbol, Index>& job, Kernels::Encode<Symbol, Index> portable) {
    if (job.view->num_tables <= 64) {
        Columns<1> columns;
        if (columns.set(*job.view))
            return job.view->any_shift ? encode_vectors<kVectors, true>(job, columns, portable)
                                       : encode_vectors<kVectors, false>(job, columns, portable);
    } else if (job.view->num_tables <= 256) {
        Columns<4> columns;
        if (columns.set(*job.view)) return encode_vectors<kVectors, true>(job, columns, portable);
    }
    return encode_vectors<kVectors, true>(job, Records{}, portable);
}

template <auto kKernel, typename Symbol, typename Index>
uint32_t encode(EncodeJob<Symbol, Index>& job) {
    const auto portable = kScalarKernels.*kKernel;
    // Below 12 bits a float quotient may err by more than one.
    if (job.view->bits >= 12 && job.view->encode_quotients) {
        if (job.lanes == 32) return encode_lanes<2>(job, portable);
        if (job.lanes == 16) return encode_lanes<1>(job, portable);
    }
    return (kAvx2Kernels.*kKernel)(job);
}

template <auto kKernel, typename Symbol, typename Index>
uint32_t decode(DecodeJob<Symbol, Index>& job) {
    const auto portable = kScalarKernels.*kKernel;
    if (job.view->buckets) {
        const bool shifts = job.view->any_shift;
        if (job.lanes == 32)
            return shifts ? decode_vectors<2, true>(job, portable) : decode_vectors<2, false>(job, portable);
        if (job.lanes == 16)
            return shifts ? decode_vectors<1, true>(job, portable) : decode_vectors<1, false>(job, portable);
    }
    return (kAvx2Kernels.*kKernel)(job);
}

}  // namespace

constinit const Kernels kAvx512Kernels = {
    encode<&Kernels::encode_i8_u8>,   encode<&Kernels::encode_i8_u16>,  encode<&Kernels::encode_i16_u8>,
    encode<&Kernels::encode_i16_u16>, encode<&Kernels::encode_i32_u8>,  encode<&Kernels::encode_i32_u16>,
    decode<&Kernels::decode_i16_u8>,  decode<&Kernels::decode_i16_u16>, decode<&Kernels::decode_i32_u8>,
    decode<&Kernels::decode_i32_u16>,
};

}  // namespace narrows
