// rANS in vectors of 16 lanes, for chunks of 16 or 32; smaller ones run in AVX2. As avx2.cpp, with masks, compress
// and expand in place of permutation tables, and division rounded toward zero.
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
[[gnu::always_inline]] inline __m512 load_pairs(const uint64_t* entries, const uint32_t* at) {
    const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(load_pair(entries, at[0], at[1])),
                                                load_pair(entries, at[4], at[5]), 1);
    const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(load_pair(entries, at[8], at[9])),
                                                 load_pair(entries, at[12], at[13]), 1);
    return _mm512_castsi512_ps(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
}

// Positions to load from. The barrier keeps them in memory: moving each out of a vector register costs more.
[[gnu::always_inline]] inline void store_positions(uint32_t (&at)[16], __m512i v) {
    store(at, v);
    asm("" : "+m"(at));
}

struct Halves {
    __m512i low, high;
};

// Sixteen entries, split.
[[gnu::always_inline]] inline Halves look_up(const uint64_t* entries, const uint32_t* at) {
    const __m512 a = load_pairs(entries, at);
    const __m512 b = load_pairs(entries, at + 2);
    return {_mm512_castps_si512(_mm512_shuffle_ps(a, b, 0x88)), _mm512_castps_si512(_mm512_shuffle_ps(a, b, 0xDD))};
}

// Eight dwords.
[[gnu::always_inline]] inline __m256i load_eight(const uint32_t* entries, const uint32_t* at) {
    return _mm256_setr_epi32(
        static_cast<int>(entries[at[0]]), static_cast<int>(entries[at[1]]), static_cast<int>(entries[at[2]]),
        static_cast<int>(entries[at[3]]), static_cast<int>(entries[at[4]]), static_cast<int>(entries[at[5]]),
        static_cast<int>(entries[at[6]]), static_cast<int>(entries[at[7]]));
}

// ---- Encoder ----

// What the state update needs of each symbol.
struct Planned {
    __m512i g, base, shift;  // base: start + low
};

[[gnu::always_inline]] inline __m512i load_symbols(const int8_t* p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
[[gnu::always_inline]] inline __m512i load_symbols(const int16_t* p) {
    return _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
[[gnu::always_inline]] inline __m512i load_symbols(const int32_t* p) { return _mm512_loadu_si512(p); }

template <bool kShifts, typename Symbol, typename Index>
[[gnu::always_inline]] inline Planned plan(EncodeJob<Symbol, Index>& job, const TableView& view, uint32_t first,
                                           uint32_t& escapes) {
    alignas(64) uint32_t at[16];
    store_positions(at, load_index(job.index + first));
    const Halves record = look_up(view.encode_records, at);
    const __m512i above = _mm512_sub_epi32(load_symbols(job.symbols + first), record.low);
    const __m512i shift = _mm512_and_si512(record.high, _mm512_set1_epi32(7));
    const __m512i token = kShifts ? _mm512_srlv_epi32(above, shift) : above;
    const __m512i count = _mm512_and_si512(_mm512_srli_epi32(record.high, 3), _mm512_set1_epi32(0x1FFF));
    const __mmask16 outside = _mm512_cmpge_epu32_mask(token, count);
    const __m512i inside_token =
        _mm512_maskz_add_epi32(static_cast<__mmask16>(~outside), token, _mm512_set1_epi32(1));
    store_positions(at, _mm512_add_epi32(_mm512_srli_epi32(record.high, 16), inside_token));
    __m512i entry = _mm512_inserti64x4(_mm512_castsi256_si512(load_eight(view.encode_entries, at)),
                                       load_eight(view.encode_entries, at + 8), 1);
    __m512i low = kShifts ? _mm512_sub_epi32(above, _mm512_sllv_epi32(token, shift)) : _mm512_setzero_si512();
    if (outside) [[unlikely]] {
        alignas(64) uint32_t fixed_entries[16], fixed_low[16];
        store(fixed_entries, entry);
        store(fixed_low, low);
        job.closed |= plan_escapes(view, job.symbols + first, job.index + first, outside, fixed_entries, fixed_low);
        entry = _mm512_load_si512(fixed_entries);
        low = _mm512_load_si512(fixed_low);
    }
    escapes = outside;
    return {_mm512_and_si512(entry, _mm512_set1_epi32(0xFFFF)),
            _mm512_add_epi32(_mm512_srli_epi32(entry, 16), low), shift};
}

// One symbol in each of 16 lanes. q = floor(x / g) is below 2^20 and every rounding goes toward zero, by less than
// 2^-22 of q in all: it is exact or one too small.
template <bool kShifts>
[[gnu::always_inline]] inline __m512i encode_step(__m512i x, const Planned& symbol, __m128i bits, __m128i rest_bits,
                                                  uint16_t*& words) {
    constexpr int kToZero = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC;
    const __m512i g = symbol.g;
    const __mmask16 need = _mm512_cmpge_epu32_mask(_mm512_srl_epi32(x, rest_bits), g);
    // Sixteen words always; the next store overwrites those that were not needed.
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words),
                        _mm256_maskz_compress_epi16(need, _mm512_cvtepi32_epi16(x)));
    words += _mm_popcnt_u32(need);
    x = _mm512_mask_srli_epi32(x, need, x, 16);
    __m512i q = _mm512_cvttps_epu32(
        _mm512_div_round_ps(_mm512_cvt_roundepu32_ps(x, kToZero), _mm512_cvt_roundepu32_ps(g, kToZero), kToZero));
    __m512i r = _mm512_sub_epi32(x, _mm512_mullo_epi32(q, g));
    const __mmask16 more = _mm512_cmpge_epu32_mask(r, g);
    q = _mm512_mask_add_epi32(q, more, q, _mm512_set1_epi32(1));
    r = _mm512_mask_sub_epi32(r, more, r, g);
    if constexpr (kShifts) r = _mm512_sllv_epi32(r, symbol.shift);
    return _mm512_add_epi32(_mm512_add_epi32(_mm512_sll_epi32(q, bits), symbol.base), r);
}

template <uint32_t kVectors, bool kShifts, typename Symbol, typename Index>
uint32_t encode_vectors(EncodeJob<Symbol, Index>& job, Kernels::Encode<Symbol, Index> portable) {
    constexpr uint32_t kLanes = 16 * kVectors;
    const TableView view = *job.view;
    const __m128i bits = _mm_cvtsi32_si128(static_cast<int>(view.bits));
    const __m128i rest_bits = _mm_cvtsi32_si128(static_cast<int>(32 - view.bits));
    __m512i x[kVectors];
    uint16_t* words = job.words;
    uint32_t base = job.n / kLanes * kLanes;
    if (base < job.n) words += encode_rest(job, base, portable);
    for (uint32_t v = 0; v < kVectors; ++v) x[v] = _mm512_loadu_si512(job.states + 16 * v);
    while (base > 0) {
        base -= kLanes;
        uint32_t escapes = 0;
#pragma GCC unroll 4
        for (uint32_t v = 0; v < kVectors; ++v) {
            uint32_t some;
            const Planned symbol = plan<kShifts>(job, view, base + 16 * v, some);
            escapes |= some << (16 * v);
            x[v] = encode_step<kShifts>(x[v], symbol, bits, rest_bits, words);
        }
        add_escapes(job, base, escapes);
    }
    for (uint32_t v = 0; v < kVectors; ++v) _mm512_storeu_si512(job.states + 16 * v, x[v]);
    return static_cast<uint32_t>(words - job.words);
}

// ---- Decoder ----

[[gnu::always_inline]] inline void store_symbols(int32_t* p, __m512i v) { _mm512_storeu_si512(p, v); }
[[gnu::always_inline]] inline void store_symbols(int16_t* p, __m512i v) {
    // Tables with buckets hold values of int16 only.
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(v));
}

// Shift counts of a set of tables.
struct Widths {
    __m512i slot_mask;
    __m128i bits, bucket, log2_buckets;
};

template <bool kShifts, typename Symbol, typename Index>
[[gnu::always_inline]] inline __m512i decode_step(const TableView& view, __m512i x, const Index* index,
                                                  Symbol* symbols, const Widths& widths, uint32_t& candidates) {
    const __m512i slot = _mm512_and_si512(x, widths.slot_mask);
    const __m512i t = load_index(index);
    const __m512i where = _mm512_add_epi32(_mm512_sll_epi32(t, widths.log2_buckets),
                                           _mm512_srl_epi32(slot, widths.bucket));
    alignas(64) uint32_t at[16];
    store_positions(at, where);
    const auto [low, high] = look_up(view.buckets, at);

    const __m512i one = _mm512_set1_epi32(1);
    const __m512i field = _mm512_set1_epi32(kShifts ? 0x7FFF : 0xFFFF);
    const __m512i shift =
        kShifts ? _mm512_or_si512(_mm512_srli_epi32(low, 30),
                                  _mm512_and_si512(_mm512_srli_epi32(high, 13), _mm512_set1_epi32(4)))
                : _mm512_setzero_si512();
    // In units of 2^shift slots.
    const __m512i unit = kShifts ? _mm512_srlv_epi32(slot, shift) : slot;
    __m512i j = _mm512_sub_epi32(unit, _mm512_and_si512(low, field));
    // Sizes less one.
    const __m512i g0 = kShifts ? _mm512_and_si512(_mm512_srli_epi32(low, 15), field) : _mm512_srli_epi32(low, 16);
    const __m512i g1 = _mm512_and_si512(high, field);
    const __mmask16 next = _mm512_cmpgt_epi32_mask(j, g0);
    j = _mm512_mask_sub_epi32(j, next, j, _mm512_add_epi32(g0, one));
    __m512i g = _mm512_mask_blend_epi32(next, g0, g1);
    __m512i value = _mm512_srai_epi32(high, 16);
    const __mmask16 rare = static_cast<__mmask16>(
        _mm512_cmpgt_epi32_mask(j, g) | _mm512_cmpeq_epi32_mask(value, _mm512_set1_epi32(DecodeEntries::kWalk)));
    value = _mm512_mask_add_epi32(value, next, value, kShifts ? _mm512_sllv_epi32(one, shift) : one);
    g = _mm512_add_epi32(g, one);
    candidates = 0;
    if (rare) [[unlikely]] {
        alignas(64) uint32_t slots[16], ts[16], js[16], gs[16], values[16];
        store(slots, slot);
        store(ts, t);
        store(js, j);
        store(gs, g);
        store(values, value);
        candidates = search(view, rare, slots, ts, js, gs, values);
        j = _mm512_load_si512(js);
        g = _mm512_load_si512(gs);
        value = _mm512_load_si512(values);
    }
    if constexpr (kShifts) value = _mm512_add_epi32(value, _mm512_sub_epi32(slot, _mm512_sllv_epi32(unit, shift)));
    store_symbols(symbols, value);
    return _mm512_add_epi32(_mm512_mullo_epi32(g, _mm512_srl_epi32(x, widths.bits)), j);
}

[[gnu::always_inline]] inline __m512i refill(__m512i x, const uint16_t*& words) {
    const __mmask16 need = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32(1 << 16));
    words -= _mm_popcnt_u32(need);
    const __m512i next = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(words)));
    return _mm512_mask_or_epi32(x, need, _mm512_slli_epi32(x, 16), _mm512_maskz_expand_epi32(need, next));
}

template <uint32_t kVectors, bool kShifts, typename Symbol, typename Index>
uint32_t decode_vectors(DecodeJob<Symbol, Index>& job, Kernels::Decode<Symbol, Index> portable) {
    constexpr uint32_t kLanes = 16 * kVectors;
    const TableView view = *job.view;
    const Widths widths{_mm512_set1_epi32((1 << view.bits) - 1), _mm_cvtsi32_si128(static_cast<int>(view.bits)),
                        _mm_cvtsi32_si128(static_cast<int>(view.bits - view.log2_buckets)),
                        _mm_cvtsi32_si128(static_cast<int>(view.log2_buckets))};
    __m512i x[kVectors];
    for (uint32_t v = 0; v < kVectors; ++v) x[v] = _mm512_loadu_si512(job.states + 16 * v);
    const uint16_t* words = job.words + job.num_words;
    uint32_t base = 0;
    for (; base + kLanes <= job.n; base += kLanes) {
        uint32_t candidates = 0;
#pragma GCC unroll 4
        for (uint32_t v = 0; v < kVectors; ++v) {
            uint32_t some;
            x[v] = decode_step<kShifts>(view, x[v], job.index + base + 16 * v, job.symbols + base + 16 * v,
                                        widths, some);
            candidates |= some << (16 * v);
        }
        // A group takes at most kLanes words, and as many lie before the first.
        for (uint32_t v = kVectors; v-- > 0;) x[v] = refill(x[v], words);
        if (words < job.words) return kOverrun;
        if (view.any_escape) add_candidates(job, base, candidates);
    }
    for (uint32_t v = 0; v < kVectors; ++v) _mm512_storeu_si512(job.states + 16 * v, x[v]);
    return decode_rest(job, base, static_cast<uint32_t>(words - job.words), portable);
}

// ---- Which loop ----

template <auto kKernel, typename Symbol, typename Index>
uint32_t encode(EncodeJob<Symbol, Index>& job) {
    const auto portable = kScalarKernels.*kKernel;
    // Below 12 bits a float quotient may err by more than one.
    if (job.view->bits >= 12 && job.view->bits < 16 && job.view->encode_records) {
        const bool shifts = job.view->any_shift;
        if (job.lanes == 32)
            return shifts ? encode_vectors<2, true>(job, portable) : encode_vectors<2, false>(job, portable);
        if (job.lanes == 16)
            return shifts ? encode_vectors<1, true>(job, portable) : encode_vectors<1, false>(job, portable);
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
