// rANS in vectors of 8 lanes, for chunks of 8, 16 or 32; the rest runs portably. The layout of the loops follows
// the format: an encoder that appends words and a decoder that walks them back need no masked stores.
#include <immintrin.h>

#include "rans/vectors.hpp"

namespace narrows {
namespace {

// Everything here is local to this file, so that no other instruction set can be linked to it.

// For each mask of 8 lanes: where the chosen lanes go. compress moves them, as u16, to the front; expand takes
// from the front, as u32.
struct Permutations {
    alignas(64) uint8_t compress[256][16];
    alignas(64) uint8_t expand[256][8];
};

constexpr Permutations make_permutations() {
    Permutations p{};
    for (unsigned mask = 0; mask < 256; ++mask) {
        unsigned rank = 0;
        for (unsigned lane = 0; lane < 8; ++lane) {
            p.expand[mask][lane] = static_cast<uint8_t>(rank);
            if (mask >> lane & 1) {
                p.compress[mask][2 * rank] = static_cast<uint8_t>(2 * lane);
                p.compress[mask][2 * rank + 1] = static_cast<uint8_t>(2 * lane + 1);
                ++rank;
            }
        }
    }
    return p;
}
constexpr Permutations kPermutations = make_permutations();

[[gnu::always_inline]] inline __m256i load(const uint32_t* p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
}
[[gnu::always_inline]] inline void store(uint32_t* p, __m256i v) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(p), v);
}
[[gnu::always_inline]] inline uint32_t mask_of(__m256i v) {
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(v)));
}

[[gnu::always_inline]] inline __m256i load_index(const uint8_t* p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
[[gnu::always_inline]] inline __m256i load_index(const uint16_t* p) {
    return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

// Two entries in one register. Scalar loads of a stored vector beat the gather instruction.
[[gnu::always_inline]] inline __m128i load_pair(const uint64_t* entries, uint32_t a, uint32_t b) {
    const __m128i low = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(entries + a));
    return _mm_castps_si128(_mm_loadh_pi(_mm_castsi128_ps(low), reinterpret_cast<const __m64*>(entries + b)));
}

// Positions to load from. The barrier keeps them in memory: moving each out of a vector register costs more.
[[gnu::always_inline]] inline void store_positions(uint32_t (&at)[8], __m256i v) {
    store(at, v);
    asm("" : "+m"(at));
}

struct Halves {
    __m256i low, high;
};

// Eight entries, split.
[[gnu::always_inline]] inline Halves look_up(const uint64_t* entries, const uint32_t* at) {
    const __m256i a = _mm256_inserti128_si256(_mm256_castsi128_si256(load_pair(entries, at[0], at[1])),
                                              load_pair(entries, at[4], at[5]), 1);
    const __m256i b = _mm256_inserti128_si256(_mm256_castsi128_si256(load_pair(entries, at[2], at[3])),
                                              load_pair(entries, at[6], at[7]), 1);
    return {_mm256_castps_si256(_mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0x88)),
            _mm256_castps_si256(_mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0xDD))};
}

// ---- Encoder ----

// What the state update needs of each symbol.
struct Planned {
    __m256i g, base, shift;  // base: start + low
};

[[gnu::always_inline]] inline __m256i load_symbols(const int8_t* p) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
[[gnu::always_inline]] inline __m256i load_symbols(const int16_t* p) {
    return _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
[[gnu::always_inline]] inline __m256i load_symbols(const int32_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

template <bool kShifts, typename Symbol, typename Index>
[[gnu::always_inline]] inline Planned plan(EncodeJob<Symbol, Index>& job, const TableView& view, uint32_t first,
                                           uint32_t& escapes) {
    alignas(32) uint32_t at[8];
    store_positions(at, load_index(job.index + first));
    const Halves record = look_up(view.encode_records, at);
    const __m256i above = _mm256_sub_epi32(load_symbols(job.symbols + first), record.low);
    const __m256i shift = _mm256_and_si256(record.high, _mm256_set1_epi32(7));
    const __m256i token = kShifts ? _mm256_srlv_epi32(above, shift) : above;
    const __m256i count = _mm256_and_si256(_mm256_srli_epi32(record.high, 3), _mm256_set1_epi32(0x1FFF));
    const __m256i outside = _mm256_cmpeq_epi32(_mm256_max_epu32(token, count), token);
    const __m256i inside_token = _mm256_andnot_si256(outside, _mm256_add_epi32(token, _mm256_set1_epi32(1)));
    store_positions(at, _mm256_add_epi32(_mm256_srli_epi32(record.high, 16), inside_token));
    const uint32_t* entries = view.encode_entries;
    __m256i entry = _mm256_setr_epi32(
        static_cast<int>(entries[at[0]]), static_cast<int>(entries[at[1]]), static_cast<int>(entries[at[2]]),
        static_cast<int>(entries[at[3]]), static_cast<int>(entries[at[4]]), static_cast<int>(entries[at[5]]),
        static_cast<int>(entries[at[6]]), static_cast<int>(entries[at[7]]));
    __m256i low = kShifts ? _mm256_sub_epi32(above, _mm256_sllv_epi32(token, shift)) : _mm256_setzero_si256();
    const uint32_t mask = mask_of(outside);
    if (mask) [[unlikely]] {
        alignas(32) uint32_t fixed_entries[8], fixed_low[8];
        store(fixed_entries, entry);
        store(fixed_low, low);
        job.closed |= plan_escapes(view, job.symbols + first, job.index + first, mask, fixed_entries, fixed_low);
        entry = load(fixed_entries);
        low = load(fixed_low);
    }
    escapes = mask;
    return {_mm256_blend_epi16(entry, _mm256_setzero_si256(), 0xAA),
            _mm256_add_epi32(_mm256_srli_epi32(entry, 16), low), shift};
}

// One symbol in each of 8 lanes. q = floor(x / g) is below 2^20, and the float quotient errs by less than 2^-21 of
// it, always down: it is exact or one too small.
template <bool kShifts>
[[gnu::always_inline]] inline __m256i encode_step(__m256i x, const Planned& symbol, __m128i bits, __m128i rest_bits,
                                                  uint16_t*& words) {
    const __m256i g = symbol.g;
    const __m256i stays = _mm256_cmpgt_epi32(g, _mm256_srl_epi32(x, rest_bits));
    const uint32_t need = mask_of(stays) ^ 255;
    const __m256i low_halves = _mm256_blend_epi16(x, _mm256_setzero_si256(), 0xAA);
    const __m128i packed =
        _mm_packus_epi32(_mm256_castsi256_si128(low_halves), _mm256_extracti128_si256(low_halves, 1));
    const __m128i order = _mm_load_si128(reinterpret_cast<const __m128i*>(kPermutations.compress[need]));
    // Eight words always; the next store overwrites those that were not needed.
    _mm_storeu_si128(reinterpret_cast<__m128i*>(words), _mm_shuffle_epi8(packed, order));
    words += _mm_popcnt_u32(need);
    x = _mm256_blendv_epi8(_mm256_srli_epi32(x, 16), x, stays);

    const __m256 high = _mm256_cvtepi32_ps(_mm256_srli_epi32(x, 16));
    const __m256 low = _mm256_cvtepi32_ps(_mm256_blend_epi16(x, _mm256_setzero_si256(), 0xAA));
    const __m256 whole = _mm256_add_ps(_mm256_mul_ps(high, _mm256_set1_ps(65536.0f)), low);
    const __m256 less = _mm256_mul_ps(whole, _mm256_set1_ps(1.0f - 0x1p-22f));
    __m256i q = _mm256_cvttps_epi32(_mm256_div_ps(less, _mm256_cvtepi32_ps(g)));
    __m256i r = _mm256_sub_epi32(x, _mm256_mullo_epi32(q, g));
    const __m256i exact = _mm256_cmpgt_epi32(g, r);
    q = _mm256_add_epi32(q, _mm256_andnot_si256(exact, _mm256_set1_epi32(1)));
    r = _mm256_sub_epi32(r, _mm256_andnot_si256(exact, g));
    if constexpr (kShifts) r = _mm256_sllv_epi32(r, symbol.shift);
    return _mm256_add_epi32(_mm256_add_epi32(_mm256_sll_epi32(q, bits), symbol.base), r);
}

template <uint32_t kVectors, bool kShifts, typename Symbol, typename Index>
uint32_t encode_vectors(EncodeJob<Symbol, Index>& job, Kernels::Encode<Symbol, Index> portable) {
    constexpr uint32_t kLanes = 8 * kVectors;
    const TableView view = *job.view;
    const __m128i bits = _mm_cvtsi32_si128(static_cast<int>(view.bits));
    const __m128i rest_bits = _mm_cvtsi32_si128(static_cast<int>(32 - view.bits));
    __m256i x[kVectors];
    for (__m256i& each : x) each = _mm256_set1_epi32(1 << 16);
    uint16_t* words = job.words;
    uint32_t base = job.n / kLanes * kLanes;
    if (base < job.n) {
        words += encode_rest(job, base, portable);
        for (uint32_t v = 0; v < kVectors; ++v)
            x[v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(job.states + 8 * v));
    }
    while (base > 0) {
        base -= kLanes;
        uint32_t escapes = 0;
#pragma GCC unroll 4
        for (uint32_t v = 0; v < kVectors; ++v) {
            uint32_t some;
            const Planned symbol = plan<kShifts>(job, view, base + 8 * v, some);
            escapes |= some << (8 * v);
            x[v] = encode_step<kShifts>(x[v], symbol, bits, rest_bits, words);
        }
        add_escapes(job, base, escapes);
    }
    for (uint32_t v = 0; v < kVectors; ++v)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(job.states + 8 * v), x[v]);
    return static_cast<uint32_t>(words - job.words);
}

// ---- Decoder ----

[[gnu::always_inline]] inline void store_symbols(int32_t* p, __m256i v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
}
[[gnu::always_inline]] inline void store_symbols(int16_t* p, __m256i v) {
    // Tables with buckets hold values of int16 only.
    const __m128i packed = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), packed);
}

// Shift counts of a set of tables.
struct Widths {
    __m256i slot_mask;
    __m128i bits, bucket, log2_buckets;
};

template <bool kShifts, typename Symbol, typename Index>
[[gnu::always_inline]] inline __m256i decode_step(const TableView& view, __m256i x, const Index* index,
                                                  Symbol* symbols, const Widths& widths, uint32_t& candidates) {
    const __m256i slot = _mm256_and_si256(x, widths.slot_mask);
    const __m256i t = load_index(index);
    const __m256i where = _mm256_add_epi32(_mm256_sll_epi32(t, widths.log2_buckets),
                                           _mm256_srl_epi32(slot, widths.bucket));
    alignas(32) uint32_t at[8];
    store_positions(at, where);
    const auto [low, high] = look_up(view.buckets, at);

    const __m256i one = _mm256_set1_epi32(1);
    const __m256i field = _mm256_set1_epi32(0x7FFF);
    const __m256i start = _mm256_and_si256(low, field);
    __m256i d = _mm256_sub_epi32(slot, start);
    // Frequencies less one.
    const __m256i f0 = _mm256_and_si256(_mm256_srli_epi32(low, 15), field);
    const __m256i f1 = _mm256_and_si256(high, field);
    const __m256i next = _mm256_cmpgt_epi32(d, f0);
    d = _mm256_sub_epi32(d, _mm256_and_si256(next, _mm256_add_epi32(f0, one)));
    __m256i f = _mm256_blendv_epi8(f0, f1, next);
    __m256i value = _mm256_srai_epi32(high, 16);
    __m256i shift = _mm256_setzero_si256();
    if constexpr (kShifts) {
        shift = _mm256_or_si256(_mm256_srli_epi32(low, 30),
                                _mm256_and_si256(_mm256_srli_epi32(high, 13), _mm256_set1_epi32(4)));
        value = _mm256_add_epi32(value, _mm256_and_si256(next, _mm256_sllv_epi32(one, shift)));
    } else {
        value = _mm256_sub_epi32(value, next);
    }
    candidates = mask_of(_mm256_andnot_si256(next, _mm256_cmpeq_epi32(start, _mm256_setzero_si256())));
    const uint32_t slow = mask_of(_mm256_cmpgt_epi32(d, f));
    f = _mm256_add_epi32(f, one);
    if (slow) [[unlikely]] {
        alignas(32) uint32_t slots[8], ts[8], ds[8], fs[8], values[8];
        store(slots, slot);
        store(ts, t);
        store(ds, d);
        store(fs, f);
        store(values, value);
        walk(view, slow, slots, ts, ds, fs, values);
        d = load(ds);
        f = load(fs);
        value = load(values);
    }
    const __m256i quotient = _mm256_srl_epi32(x, widths.bits);
    if constexpr (kShifts) {
        const __m256i j = _mm256_srlv_epi32(d, shift);
        store_symbols(symbols, _mm256_add_epi32(value, _mm256_sub_epi32(d, _mm256_sllv_epi32(j, shift))));
        return _mm256_add_epi32(_mm256_mullo_epi32(_mm256_srlv_epi32(f, shift), quotient), j);
    } else {
        store_symbols(symbols, value);
        return _mm256_add_epi32(_mm256_mullo_epi32(f, quotient), d);
    }
}

[[gnu::always_inline]] inline __m256i refill(__m256i x, const uint16_t*& words) {
    const __m256i need = _mm256_cmpeq_epi32(_mm256_srli_epi32(x, 16), _mm256_setzero_si256());
    const uint32_t mask = mask_of(need);
    words -= _mm_popcnt_u32(mask);
    const __m256i next = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(words)));
    const __m256i order =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(kPermutations.expand[mask])));
    const __m256i full = _mm256_or_si256(_mm256_slli_epi32(x, 16), _mm256_permutevar8x32_epi32(next, order));
    return _mm256_blendv_epi8(x, full, need);
}

template <uint32_t kVectors, bool kShifts, typename Symbol, typename Index>
uint32_t decode_vectors(DecodeJob<Symbol, Index>& job, Kernels::Decode<Symbol, Index> portable) {
    constexpr uint32_t kLanes = 8 * kVectors;
    const TableView view = *job.view;
    const Widths widths{_mm256_set1_epi32((1 << view.bits) - 1), _mm_cvtsi32_si128(static_cast<int>(view.bits)),
                        _mm_cvtsi32_si128(static_cast<int>(view.bits - view.log2_buckets)),
                        _mm_cvtsi32_si128(static_cast<int>(view.log2_buckets))};
    __m256i x[kVectors];
    for (uint32_t v = 0; v < kVectors; ++v)
        x[v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(job.states + 8 * v));
    const uint16_t* words = job.words + job.num_words;
    uint32_t base = 0;
    for (; base + kLanes <= job.n; base += kLanes) {
        uint32_t candidates = 0;
#pragma GCC unroll 4
        for (uint32_t v = 0; v < kVectors; ++v) {
            uint32_t some;
            x[v] = decode_step<kShifts>(view, x[v], job.index + base + 8 * v, job.symbols + base + 8 * v,
                                        widths, some);
            candidates |= some << (8 * v);
        }
        // A group takes at most kLanes words, and as many lie before the first.
        for (uint32_t v = kVectors; v-- > 0;) x[v] = refill(x[v], words);
        if (words < job.words) return kOverrun;
        if (view.any_escape) add_candidates(job, base, candidates);
    }
    for (uint32_t v = 0; v < kVectors; ++v)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(job.states + 8 * v), x[v]);
    return decode_rest(job, base, static_cast<uint32_t>(words - job.words), portable);
}

// ---- Which loop ----

template <auto kPortable, typename Symbol, typename Index>
uint32_t encode(EncodeJob<Symbol, Index>& job) {
    const auto portable = kScalarKernels.*kPortable;
    // Below 12 bits a float quotient may err by more than one.
    if (job.view->bits >= 12 && job.view->encode_records) {
        const bool shifts = job.view->any_shift;
        if (job.lanes == 32)
            return shifts ? encode_vectors<4, true>(job, portable) : encode_vectors<4, false>(job, portable);
        if (job.lanes == 16)
            return shifts ? encode_vectors<2, true>(job, portable) : encode_vectors<2, false>(job, portable);
        if (job.lanes == 8)
            return shifts ? encode_vectors<1, true>(job, portable) : encode_vectors<1, false>(job, portable);
    }
    return portable(job);
}

template <auto kPortable, typename Symbol, typename Index>
uint32_t decode(DecodeJob<Symbol, Index>& job) {
    const auto portable = kScalarKernels.*kPortable;
    if (job.view->buckets) {
        const bool shifts = job.view->any_shift;
        if (job.lanes == 32)
            return shifts ? decode_vectors<4, true>(job, portable) : decode_vectors<4, false>(job, portable);
        if (job.lanes == 16)
            return shifts ? decode_vectors<2, true>(job, portable) : decode_vectors<2, false>(job, portable);
        if (job.lanes == 8)
            return shifts ? decode_vectors<1, true>(job, portable) : decode_vectors<1, false>(job, portable);
    }
    return portable(job);
}

}  // namespace

constinit const Kernels kAvx2Kernels = {
    encode<&Kernels::encode_i8_u8>,   encode<&Kernels::encode_i8_u16>,  encode<&Kernels::encode_i16_u8>,
    encode<&Kernels::encode_i16_u16>, encode<&Kernels::encode_i32_u8>,  encode<&Kernels::encode_i32_u16>,
    decode<&Kernels::decode_i16_u8>,  decode<&Kernels::decode_i16_u16>, decode<&Kernels::decode_i32_u8>,
    decode<&Kernels::decode_i32_u16>,
};

}  // namespace narrows
