// rANS in vectors of 4 lanes, for chunks of 4 to 32; the rest runs portably. As avx2.cpp, with a table lookup of
// bytes to compress and expand words.
#include <arm_neon.h>

#include <cstring>

#include "rans/vectors.hpp"

namespace narrows {
namespace {

// For each mask of 4 lanes, byte positions: compress moves the low halves of the chosen lanes to the front; expand
// takes words from the front into the low halves of the chosen lanes. 255 gives 0.
struct Permutations {
    alignas(64) uint8_t compress[16][8];
    alignas(64) uint8_t expand[16][16];
    uint8_t count[16];
};

constexpr Permutations make_permutations() {
    Permutations p{};
    for (unsigned mask = 0; mask < 16; ++mask) {
        for (uint8_t& at : p.compress[mask]) at = 255;
        for (uint8_t& at : p.expand[mask]) at = 255;
        unsigned rank = 0;
        for (unsigned lane = 0; lane < 4; ++lane)
            if (mask >> lane & 1) {
                for (unsigned byte = 0; byte < 2; ++byte) {
                    p.compress[mask][2 * rank + byte] = static_cast<uint8_t>(4 * lane + byte);
                    p.expand[mask][4 * lane + byte] = static_cast<uint8_t>(2 * rank + byte);
                }
                ++rank;
            }
        p.count[mask] = static_cast<uint8_t>(rank);
    }
    return p;
}
constexpr Permutations kPermutations = make_permutations();

constexpr uint32_t kLaneBits[4] = {1, 2, 4, 8};

[[gnu::always_inline]] inline uint32_t mask_of(uint32x4_t v) {
    return vaddvq_u32(vandq_u32(v, vld1q_u32(kLaneBits)));
}

[[gnu::always_inline]] inline int32x4_t shift_count(uint32_t left) { return vdupq_n_s32(static_cast<int32_t>(left)); }

[[gnu::always_inline]] inline uint32x4_t load_index(const uint8_t* p) {
    uint32_t four;
    std::memcpy(&four, p, 4);
    return vmovl_u16(vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four)))));
}
[[gnu::always_inline]] inline uint32x4_t load_index(const uint16_t* p) { return vmovl_u16(vld1_u16(p)); }

struct Halves {
    uint32x4_t low, high;
};

// Four entries, split.
[[gnu::always_inline]] inline Halves look_up(const uint64_t* entries, uint32x4_t at) {
    const uint64_t first = vgetq_lane_u64(vreinterpretq_u64_u32(at), 0);
    const uint64_t second = vgetq_lane_u64(vreinterpretq_u64_u32(at), 1);
    const uint64x2_t a = vcombine_u64(vld1_u64(entries + static_cast<uint32_t>(first)), vld1_u64(entries + (first >> 32)));
    const uint64x2_t b =
        vcombine_u64(vld1_u64(entries + static_cast<uint32_t>(second)), vld1_u64(entries + (second >> 32)));
    const uint32x4_t x = vreinterpretq_u32_u64(a), y = vreinterpretq_u32_u64(b);
    return {vuzp1q_u32(x, y), vuzp2q_u32(x, y)};
}

[[gnu::always_inline]] inline uint32x4_t look_up(const uint32_t* entries, uint32x4_t at) {
    uint32x4_t v = vld1q_dup_u32(entries + vgetq_lane_u32(at, 0));
    v = vld1q_lane_u32(entries + vgetq_lane_u32(at, 1), v, 1);
    v = vld1q_lane_u32(entries + vgetq_lane_u32(at, 2), v, 2);
    return vld1q_lane_u32(entries + vgetq_lane_u32(at, 3), v, 3);
}

// ---- Encoder ----

// What the state update needs of each symbol.
struct Planned {
    uint32x4_t g, base;  // base: start + low
    int32x4_t shift;
};

[[gnu::always_inline]] inline uint32x4_t load_symbols(const int8_t* p) {
    uint32_t four;
    std::memcpy(&four, p, 4);
    return vreinterpretq_u32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(four))))));
}
[[gnu::always_inline]] inline uint32x4_t load_symbols(const int16_t* p) {
    return vreinterpretq_u32_s32(vmovl_s16(vld1_s16(p)));
}
[[gnu::always_inline]] inline uint32x4_t load_symbols(const int32_t* p) {
    return vreinterpretq_u32_s32(vld1q_s32(p));
}

template <bool kShifts, typename Symbol, typename Index>
[[gnu::always_inline]] inline Planned plan(EncodeJob<Symbol, Index>& job, const TableView& view, uint32_t first,
                                           uint32_t& escapes) {
    const Halves record = look_up(view.encode_records, load_index(job.index + first));
    const uint32x4_t above = vsubq_u32(load_symbols(job.symbols + first), record.low);
    const int32x4_t shift = vreinterpretq_s32_u32(vandq_u32(record.high, vdupq_n_u32(7)));
    const uint32x4_t token = kShifts ? vshlq_u32(above, vnegq_s32(shift)) : above;
    const uint32x4_t count = vandq_u32(vshrq_n_u32(record.high, 3), vdupq_n_u32(0x1FFF));
    const uint32x4_t outside = vcgeq_u32(token, count);
    const uint32x4_t inside_token = vbicq_u32(vaddq_u32(token, vdupq_n_u32(1)), outside);
    uint32x4_t entry = look_up(view.encode_entries, vaddq_u32(vshrq_n_u32(record.high, 16), inside_token));
    uint32x4_t low = kShifts ? vsubq_u32(above, vshlq_u32(token, shift)) : vdupq_n_u32(0);
    const uint32_t mask = mask_of(outside);
    if (mask) [[unlikely]] {
        uint32_t fixed_entries[4], fixed_low[4];
        vst1q_u32(fixed_entries, entry);
        vst1q_u32(fixed_low, low);
        job.closed |= plan_escapes(view, job.symbols + first, job.index + first, mask, fixed_entries, fixed_low);
        entry = vld1q_u32(fixed_entries);
        low = vld1q_u32(fixed_low);
    }
    escapes = mask;
    return {vandq_u32(entry, vdupq_n_u32(0xFFFF)), vsraq_n_u32(low, entry, 16), shift};
}

// One symbol in each of 4 lanes. q = floor(x / g) is below 2^20, and the float quotient errs by less than 2^-21 of
// it, always down: it is exact or one too small.
template <bool kShifts>
[[gnu::always_inline]] inline uint32x4_t encode_step(uint32x4_t x, const Planned& symbol, int32x4_t bits,
                                                     int32x4_t minus_rest_bits, uint16_t*& words) {
    const uint32x4_t g = symbol.g;
    const uint32x4_t need = vcgeq_u32(vshlq_u32(x, minus_rest_bits), g);
    const uint32_t mask = mask_of(need);
    // Four words always; the next store overwrites those that were not needed.
    const uint8x8_t given = vqtbl1_u8(vreinterpretq_u8_u32(x), vld1_u8(kPermutations.compress[mask]));
    vst1_u16(words, vreinterpret_u16_u8(given));
    words += kPermutations.count[mask];
    x = vshlq_u32(x, vandq_s32(vreinterpretq_s32_u32(need), vdupq_n_s32(-16)));

    const float32x4_t less = vmulq_f32(vcvtq_f32_u32(x), vdupq_n_f32(1.0f - 0x1p-22f));
    uint32x4_t q = vcvtq_u32_f32(vdivq_f32(less, vcvtq_f32_u32(g)));
    uint32x4_t r = vmlsq_u32(x, q, g);
    const uint32x4_t more = vcgeq_u32(r, g);
    q = vsubq_u32(q, more);
    r = vsubq_u32(r, vandq_u32(more, g));
    if constexpr (kShifts) r = vshlq_u32(r, symbol.shift);
    return vaddq_u32(vaddq_u32(vshlq_u32(q, bits), symbol.base), r);
}

template <uint32_t kVectors, bool kShifts, typename Symbol, typename Index>
uint32_t encode_vectors(EncodeJob<Symbol, Index>& job, Kernels::Encode<Symbol, Index> portable) {
    constexpr uint32_t kLanes = 4 * kVectors;
    const TableView view = *job.view;
    const int32x4_t bits = shift_count(view.bits);
    const int32x4_t minus_rest_bits = vnegq_s32(shift_count(32 - view.bits));
    uint32x4_t x[kVectors];
    uint16_t* words = job.words;
    uint32_t base = job.n / kLanes * kLanes;
    if (base < job.n) words += encode_rest(job, base, portable);
    for (uint32_t v = 0; v < kVectors; ++v) x[v] = vld1q_u32(job.states + 4 * v);
    while (base > 0) {
        base -= kLanes;
        uint32_t escapes = 0;
#pragma GCC unroll 8
        for (uint32_t v = 0; v < kVectors; ++v) {
            uint32_t some;
            const Planned symbol = plan<kShifts>(job, view, base + 4 * v, some);
            escapes |= some << (4 * v);
            x[v] = encode_step<kShifts>(x[v], symbol, bits, minus_rest_bits, words);
        }
        add_escapes(job, base, escapes);
    }
    for (uint32_t v = 0; v < kVectors; ++v) vst1q_u32(job.states + 4 * v, x[v]);
    return static_cast<uint32_t>(words - job.words);
}

// ---- Decoder ----

[[gnu::always_inline]] inline void store_symbols(int32_t* p, uint32x4_t v) {
    vst1q_s32(p, vreinterpretq_s32_u32(v));
}
[[gnu::always_inline]] inline void store_symbols(int16_t* p, uint32x4_t v) {
    // Tables with buckets hold values of int16 only.
    vst1_s16(p, vmovn_s32(vreinterpretq_s32_u32(v)));
}

// Shift counts of a set of tables; negative ones shift right.
struct Widths {
    uint32x4_t slot_mask;
    int32x4_t minus_bits, minus_bucket, log2_buckets;
};

template <bool kShifts, typename Symbol, typename Index>
[[gnu::always_inline]] inline uint32x4_t decode_step(const TableView& view, uint32x4_t x, const Index* index,
                                                     Symbol* symbols, const Widths& widths, uint32_t& candidates) {
    const uint32x4_t slot = vandq_u32(x, widths.slot_mask);
    const uint32x4_t t = load_index(index);
    const Halves entry = look_up(
        view.buckets, vaddq_u32(vshlq_u32(t, widths.log2_buckets), vshlq_u32(slot, widths.minus_bucket)));

    const uint32x4_t one = vdupq_n_u32(1);
    const uint32x4_t field = vdupq_n_u32(kShifts ? 0x7FFF : 0xFFFF);
    const int32x4_t shift =
        kShifts ? vreinterpretq_s32_u32(vorrq_u32(vshrq_n_u32(entry.low, 30),
                                                  vandq_u32(vshrq_n_u32(entry.high, 13), vdupq_n_u32(4))))
                : vdupq_n_s32(0);
    // In units of 2^shift slots.
    const uint32x4_t unit = kShifts ? vshlq_u32(slot, vnegq_s32(shift)) : slot;
    uint32x4_t j = vsubq_u32(unit, vandq_u32(entry.low, field));
    // Sizes less one.
    const uint32x4_t g0 = kShifts ? vandq_u32(vshrq_n_u32(entry.low, 15), field) : vshrq_n_u32(entry.low, 16);
    const uint32x4_t g1 = vandq_u32(entry.high, field);
    const uint32x4_t next = vcgtq_u32(j, g0);
    j = vsubq_u32(j, vandq_u32(next, vaddq_u32(g0, one)));
    uint32x4_t g = vbslq_u32(next, g1, g0);
    uint32x4_t value = vreinterpretq_u32_s32(vshrq_n_s32(vreinterpretq_s32_u32(entry.high), 16));
    const uint32x4_t rare = vcgtq_u32(j, g);
    value = kShifts ? vaddq_u32(value, vandq_u32(next, vshlq_u32(one, shift))) : vsubq_u32(value, next);
    g = vaddq_u32(g, one);
    candidates = 0;
    if (const uint32_t mask = mask_of(rare)) [[unlikely]] {
        uint32_t slots[4], ts[4], js[4], gs[4], values[4];
        vst1q_u32(slots, slot);
        vst1q_u32(ts, t);
        vst1q_u32(js, j);
        vst1q_u32(gs, g);
        vst1q_u32(values, value);
        candidates = search(view, mask, slots, ts, js, gs, values);
        j = vld1q_u32(js);
        g = vld1q_u32(gs);
        value = vld1q_u32(values);
    }
    if constexpr (kShifts) value = vaddq_u32(value, vsubq_u32(slot, vshlq_u32(unit, shift)));
    store_symbols(symbols, value);
    return vmlaq_u32(j, g, vshlq_u32(x, widths.minus_bits));
}

[[gnu::always_inline]] inline uint32x4_t refill(uint32x4_t x, const uint16_t*& words) {
    const uint32x4_t need = vcltq_u32(x, vdupq_n_u32(1 << 16));
    const uint32_t mask = mask_of(need);
    words -= kPermutations.count[mask];
    const uint8x16_t next = vreinterpretq_u8_u16(vcombine_u16(vld1_u16(words), vdup_n_u16(0)));
    const uint8x16_t taken = vqtbl1q_u8(next, vld1q_u8(kPermutations.expand[mask]));
    const int32x4_t up = vandq_s32(vreinterpretq_s32_u32(need), vdupq_n_s32(16));
    return vorrq_u32(vshlq_u32(x, up), vreinterpretq_u32_u8(taken));
}

template <uint32_t kVectors, bool kShifts, typename Symbol, typename Index>
uint32_t decode_vectors(DecodeJob<Symbol, Index>& job, Kernels::Decode<Symbol, Index> portable) {
    constexpr uint32_t kLanes = 4 * kVectors;
    const TableView view = *job.view;
    const Widths widths{vdupq_n_u32((1u << view.bits) - 1), vnegq_s32(shift_count(view.bits)),
                        vnegq_s32(shift_count(view.bits - view.log2_buckets)), shift_count(view.log2_buckets)};
    uint32x4_t x[kVectors];
    for (uint32_t v = 0; v < kVectors; ++v) x[v] = vld1q_u32(job.states + 4 * v);
    const uint16_t* words = job.words + job.num_words;
    uint32_t base = 0;
    for (; base + kLanes <= job.n; base += kLanes) {
        uint32_t candidates = 0;
#pragma GCC unroll 8
        for (uint32_t v = 0; v < kVectors; ++v) {
            uint32_t some;
            x[v] = decode_step<kShifts>(view, x[v], job.index + base + 4 * v, job.symbols + base + 4 * v,
                                        widths, some);
            candidates |= some << (4 * v);
        }
        // A group takes at most kLanes words, and as many lie before the first.
        for (uint32_t v = kVectors; v-- > 0;) x[v] = refill(x[v], words);
        if (words < job.words) return kOverrun;
        if (view.any_escape) add_candidates(job, base, candidates);
    }
    for (uint32_t v = 0; v < kVectors; ++v) vst1q_u32(job.states + 4 * v, x[v]);
    return decode_rest(job, base, static_cast<uint32_t>(words - job.words), portable);
}

// ---- Which loop ----

template <auto kPortable, typename Symbol, typename Index>
uint32_t encode(EncodeJob<Symbol, Index>& job) {
    const auto portable = kScalarKernels.*kPortable;
    // Below 12 bits a float quotient may err by more than one.
    if (job.view->bits >= 12 && job.view->bits < 16 && job.view->encode_records) {
        const bool shifts = job.view->any_shift;
        if (job.lanes == 32)
            return shifts ? encode_vectors<8, true>(job, portable) : encode_vectors<8, false>(job, portable);
        if (job.lanes == 16)
            return shifts ? encode_vectors<4, true>(job, portable) : encode_vectors<4, false>(job, portable);
        if (job.lanes == 8)
            return shifts ? encode_vectors<2, true>(job, portable) : encode_vectors<2, false>(job, portable);
        if (job.lanes == 4)
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
            return shifts ? decode_vectors<8, true>(job, portable) : decode_vectors<8, false>(job, portable);
        if (job.lanes == 16)
            return shifts ? decode_vectors<4, true>(job, portable) : decode_vectors<4, false>(job, portable);
        if (job.lanes == 8)
            return shifts ? decode_vectors<2, true>(job, portable) : decode_vectors<2, false>(job, portable);
        if (job.lanes == 4)
            return shifts ? decode_vectors<1, true>(job, portable) : decode_vectors<1, false>(job, portable);
    }
    return portable(job);
}

}  // namespace

constinit const Kernels kNeonKernels = {
    encode<&Kernels::encode_i8_u8>,   encode<&Kernels::encode_i8_u16>,  encode<&Kernels::encode_i16_u8>,
    encode<&Kernels::encode_i16_u16>, encode<&Kernels::encode_i32_u8>,  encode<&Kernels::encode_i32_u16>,
    decode<&Kernels::decode_i16_u8>,  decode<&Kernels::decode_i16_u16>, decode<&Kernels::decode_i32_u8>,
    decode<&Kernels::decode_i32_u16>,
};

}  // namespace narrows
