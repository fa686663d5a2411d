// rANS in vectors of 8 lanes, for chunks of 8, 16 or 32; the rest runs portably. The layout of the loops follows
// the format: an encoder that appends words and a decoder that walks them back need no masked stores.
#include <immintrin.h>

#include <type_traits>

#include "rans/vectors.hpp"

namespace narrows {
namespace {

// Everything here is local to this file, so that no other instruction set can be linked to it.

// For each mask of 8 lanes: compress moves the chosen lanes' u16 to the front, expand takes u16 from the front and
// gives each chosen u32 lane the next one, the others 0.
struct Permutations {
    alignas(64) uint8_t expand[256][32];
    alignas(64) uint8_t compress[256][16];
};

constexpr Permutations make_permutations() {
    Permutations p{};
    for (unsigned mask = 0; mask < 256; ++mask) {
        unsigned rank = 0;
        for (unsigned lane = 0; lane < 8; ++lane) {
            const bool chosen = mask >> lane & 1;
            for (unsigned i = 0; i < 4; ++i)
                p.expand[mask][4 * lane + i] = static_cast<uint8_t>(chosen && i < 2 ? 2 * rank + i : 128);
            if (!chosen) continue;
            p.compress[mask][2 * rank] = static_cast<uint8_t>(2 * lane);
            p.compress[mask][2 * rank + 1] = static_cast<uint8_t>(2 * lane + 1);
            ++rank;
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
[[gnu::always_inline]] inline void store_positions(uint32_t* at, __m256i v) {
    store(at, v);
    asm("" : "+m"(*reinterpret_cast<uint32_t(*)[8]>(at)));
}

struct Halves {
    __m256i low, high;
};

// Eight entries, split.
template <typename Position>
[[gnu::always_inline]] inline Halves look_up(const uint64_t* entries, const Position* at) {
    const __m256i a = _mm256_inserti128_si256(_mm256_castsi128_si256(load_pair(entries, at[0], at[1])),
                                              load_pair(entries, at[4], at[5]), 1);
    const __m256i b = _mm256_inserti128_si256(_mm256_castsi128_si256(load_pair(entries, at[2], at[3])),
                                              load_pair(entries, at[6], at[7]), 1);
    return {_mm256_castps_si256(_mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0x88)),
            _mm256_castps_si256(_mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0xDD))};
}

// Eight dwords, each read with the one behind it.
[[gnu::always_inline]] inline __m256i look_up(const uint32_t* entries, const uint32_t* at) {
    const auto pair = [entries](uint32_t a, uint32_t b) {
        const __m128i low = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(entries + a));
        return _mm_castps_si128(_mm_loadh_pi(_mm_castsi128_ps(low), reinterpret_cast<const __m64*>(entries + b)));
    };
    const __m256i a = _mm256_inserti128_si256(_mm256_castsi128_si256(pair(at[0], at[1])), pair(at[4], at[5]), 1);
    const __m256i b = _mm256_inserti128_si256(_mm256_castsi128_si256(pair(at[2], at[3])), pair(at[6], at[7]), 1);
    return _mm256_castps_si256(_mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0x88));
}

// Calls visit with the constants 0 to kVectors - 1.
template <uint32_t kVectors, typename Visit, uint32_t v = 0>
[[gnu::always_inline]] inline void for_each_vector(Visit visit) {
    visit(std::integral_constant<uint32_t, v>{});
    if constexpr (v + 1 < kVectors) for_each_vector<kVectors, Visit, v + 1>(visit);
}

// ---- Encoder ----

// Symbols are planned a group ahead: a plan waits for nothing, and states then wait for little but each other.
struct Plan {
    alignas(32) uint32_t at[kMaxLanes];    // of encode_quotients
    alignas(32) uint32_t rest[kMaxLanes];  // low << 8 | shift
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

// The lanes of `outside` are escapes. True if a table has none.
template <typename Symbol, typename Index>
[[gnu::noinline]] bool plan_outside(const TableView& view, const Symbol* symbols, const Index* index,
                                    uint32_t outside, uint32_t* at, uint32_t* rest) {
    bool closed = false;
    for (; outside; outside &= outside - 1) {
        const uint32_t lane = _tzcnt_u32(outside);
        const Table& table = view.tables[index[lane]];
        closed |= !table.has_escape;
        at[lane] = table.first + !table.has_escape;
        const uint32_t low = escape_distance(symbols[lane], table) & ((1u << table.shift) - 1);
        rest[lane] = low << 8 | table.shift;
    }
    return closed;
}

// Eight symbols. Returns the lanes that are escapes.
template <bool kShifts, typename Symbol, typename Index>
[[gnu::always_inline]] inline uint32_t plan(EncodeJob<Symbol, Index>& job, const TableView& view, const Symbol* symbols,
                                            const Index* index, uint32_t* at, uint32_t* rest) {
    const Halves record = look_up(view.encode_records, index);
    const __m256i above = _mm256_sub_epi32(load_symbols(symbols), record.low);
    const __m256i shift = _mm256_and_si256(record.high, _mm256_set1_epi32(7));
    const __m256i count = _mm256_and_si256(_mm256_srli_epi32(record.high, 3), _mm256_set1_epi32(0x1FFF));
    const __m256i token = _mm256_min_epu32(kShifts ? _mm256_srlv_epi32(above, shift) : above, count);
    const uint32_t outside = mask_of(_mm256_cmpeq_epi32(token, count));
    const __m256i position = _mm256_add_epi32(_mm256_srli_epi32(record.high, 16), token);
    store(at, _mm256_sub_epi32(position, _mm256_set1_epi32(-1)));
    if constexpr (kShifts) {
        const __m256i low = _mm256_sub_epi32(above, _mm256_sllv_epi32(token, shift));
        store(rest, _mm256_or_si256(_mm256_slli_epi32(low, 8), shift));
    }
    if (outside) [[unlikely]]
        job.closed |= plan_outside(view, symbols, index, outside, at, rest);
    return outside;
}

// What does not change from step to step.
struct Counts {
    __m256i bits, rest_bits;
};

// One symbol in each of 8 lanes. q = floor(x / g) is below 2^20. Half of x, rounded down, times nearly 2 / g in floats
// falls short of x / g by at most 1 / g + .44, or 1 where g is 1 and all is exact: q comes out exact or one too small.
template <bool kShifts>
[[gnu::always_inline]] inline __m256i encode_step(__m256i x, const Halves& entry,
                                                  const uint32_t* rest, const Counts& counts, uint16_t*& words) {
    const __m256i most = _mm256_srli_epi32(entry.high, 16);  // g - 1
    __m256i base = _mm256_blend_epi16(entry.high, _mm256_setzero_si256(), 0xAA);
    const __m256i takes = _mm256_cmpgt_epi32(_mm256_srlv_epi32(x, counts.rest_bits), most);
    const uint32_t need = mask_of(takes);
    const __m256i low_halves = _mm256_blend_epi16(x, _mm256_setzero_si256(), 0xAA);
    const __m128i packed =
        _mm_packus_epi32(_mm256_castsi256_si128(low_halves), _mm256_extracti128_si256(low_halves, 1));
    const __m128i order = _mm_load_si128(reinterpret_cast<const __m128i*>(kPermutations.compress[need]));
    // Eight words always; the next store overwrites those that were not needed.
    _mm_storeu_si128(reinterpret_cast<__m128i*>(words), _mm_shuffle_epi8(packed, order));
    words += _mm_popcnt_u32(need);
    x = _mm256_srlv_epi32(x, _mm256_and_si256(takes, _mm256_set1_epi32(16)));

    const __m256 half = _mm256_cvtepi32_ps(_mm256_srli_epi32(x, 1));
    __m256i q = _mm256_cvttps_epi32(_mm256_mul_ps(half, _mm256_castsi256_ps(entry.low)));
    // r = x - q g; where that is above g - 1, q + 1 and r - g.
    __m256i r = _mm256_sub_epi32(_mm256_sub_epi32(x, q), _mm256_mullo_epi32(q, most));
    const __m256i more = _mm256_cmpgt_epi32(r, most);
    q = _mm256_sub_epi32(q, more);
    r = _mm256_sub_epi32(r, _mm256_and_si256(more, _mm256_sub_epi32(most, _mm256_set1_epi32(-1))));
    if constexpr (kShifts) {
        const __m256i planned = load(rest);
        r = _mm256_sllv_epi32(r, _mm256_and_si256(planned, _mm256_set1_epi32(7)));
        base = _mm256_add_epi32(base, _mm256_srli_epi32(planned, 8));
    }
    return _mm256_add_epi32(_mm256_add_epi32(_mm256_sllv_epi32(q, counts.bits), base), r);
}

template <uint32_t kVectors, bool kShifts, typename Symbol, typename Index>
uint32_t encode_vectors(EncodeJob<Symbol, Index>& job, Kernels::Encode<Symbol, Index> portable) {
    constexpr uint32_t kLanes = 8 * kVectors;
    const TableView view = *job.view;
    const int bits = static_cast<int>(view.bits);
    const Counts counts{_mm256_set1_epi32(bits), _mm256_set1_epi32(32 - bits)};
    uint16_t* words = job.words;
    uint32_t end = job.n / kLanes * kLanes;
    if (end < job.n) words += encode_rest(job, end, portable);
    __m256i x[kVectors];
    for (uint32_t v = 0; v < kVectors; ++v)
        x[v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(job.states + 8 * v));
    if (end > 0) {
        end -= kLanes;
        const Symbol* symbols = job.symbols + end;
        const Index* index = job.index + end;
        Plan plans[2];
        uint32_t escapes = 0;
        for (uint32_t i = 0; i < kLanes; i += 8)
            escapes |= plan<kShifts>(job, view, symbols + i, index + i, plans[0].at + i, plans[0].rest + i) << i;
        add_escapes(job, end, escapes);
        Halves ahead = look_up(view.encode_quotients, plans[0].at);  // one turn ahead, so that few registers wait
        for (uint32_t current = 0;; end -= kLanes) {
            if (end > 0) {  // otherwise the first group is planned once more, for nothing
                symbols -= kLanes;
                index -= kLanes;
            }
            Plan& now = plans[current];
            Plan& next = plans[current ^= 1];
            escapes = 0;
            for_each_vector<kVectors>([&](auto vector) __attribute__((always_inline)) {
                constexpr uint32_t i = 8 * vector.value;
                escapes |= plan<kShifts>(job, view, symbols + i, index + i, next.at + i, next.rest + i) << i;
                const Halves entry = ahead;
                ahead = look_up(view.encode_quotients, i + 8 < kLanes ? now.at + i + 8 : next.at);
                x[i / 8] = encode_step<kShifts>(x[i / 8], entry, now.rest + i, counts, words);
            });
            if (end == 0) break;
            if (escapes) [[unlikely]]
                add_escapes(job, end - kLanes, escapes);
        }
    }
    for (uint32_t v = 0; v < kVectors; ++v)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(job.states + 8 * v), x[v]);
    return static_cast<uint32_t>(words - job.words);
}

// ---- Decoder ----

// Two vectors of values, the first for the lower lanes.
[[gnu::always_inline]] inline void store_symbols(int32_t* p, __m256i a, __m256i b) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), b);
}
[[gnu::always_inline]] inline void store_symbols(int16_t* p, __m256i a, __m256i b) {
    // Tables with buckets or slots hold values of int16 only.
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8));
}
[[gnu::always_inline]] inline void store_symbols(int32_t* p, __m256i v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
}
[[gnu::always_inline]] inline void store_symbols(int16_t* p, __m256i v) {
    const __m128i packed = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), packed);
}

// Lanes whose bucket does not tell everything.
template <typename Index>
[[gnu::noinline]] uint32_t search_rare(const TableView& view, const Index* index, uint32_t rare, __m256i slot,
                                       __m256i& j, __m256i& g, __m256i& value) {
    alignas(32) uint32_t slots[8], ts[8], js[8], gs[8], values[8];
    store(slots, slot);
    store(ts, load_index(index));
    store(js, j);
    store(gs, g);
    store(values, value);
    const uint32_t escapes = search(view, rare, slots, ts, js, gs, values);
    j = load(js);
    g = load(gs);
    value = load(values);
    return escapes;
}

// How slots become symbols: `locate` says where to look, `step` gives the state before it takes a word, and the
// value; it adds lanes with escapes to `escapes`, from bit `lane` on.
template <bool kShifts>
struct Buckets {
    __m256i slot_mask, bits, run_bits, log2_buckets;
    explicit Buckets(const TableView& view)
        : slot_mask(_mm256_set1_epi32((1 << view.bits) - 1)),
          bits(_mm256_set1_epi32(static_cast<int>(view.bits))),
          run_bits(_mm256_set1_epi32(static_cast<int>(view.bits - view.log2_buckets))),
          log2_buckets(_mm256_set1_epi32(static_cast<int>(view.log2_buckets))) {}

    using Entry = Halves;
    [[gnu::always_inline]] static Halves load(const TableView& view, const uint32_t* at) {
        return look_up(view.buckets, at);
    }

    template <typename Index>
    [[gnu::always_inline]] void locate(__m256i x, const Index* index, uint32_t* at) const {
        const __m256i run = _mm256_srlv_epi32(_mm256_and_si256(x, slot_mask), run_bits);
        store_positions(at, _mm256_add_epi32(_mm256_sllv_epi32(load_index(index), log2_buckets), run));
    }

    template <typename Index>
    [[gnu::always_inline]] __m256i step(const TableView& view, __m256i x, const Index* index, const Halves& entry,
                                        __m256i& value, uint32_t lane, uint32_t& escapes) const {
        const auto [low, high] = entry;
        const __m256i slot = _mm256_and_si256(x, slot_mask);
        const __m256i field = _mm256_set1_epi32(kShifts ? 0x7FFF : 0xFFFF);
        const __m256i minus_one = _mm256_set1_epi32(-1);
        const __m256i shift =
            kShifts ? _mm256_or_si256(_mm256_srli_epi32(low, 30),
                                      _mm256_and_si256(_mm256_srli_epi32(high, 13), _mm256_set1_epi32(4)))
                    : _mm256_setzero_si256();
        // In units of 2^shift slots.
        const __m256i unit = kShifts ? _mm256_srlv_epi32(slot, shift) : slot;
        __m256i j = _mm256_sub_epi32(unit, _mm256_and_si256(low, field));
        // Sizes less one.
        const __m256i g0 = kShifts ? _mm256_and_si256(_mm256_srli_epi32(low, 15), field) : _mm256_srli_epi32(low, 16);
        const __m256i g1 = _mm256_and_si256(high, field);
        const __m256i next = _mm256_cmpgt_epi32(j, g0);
        j = _mm256_sub_epi32(j, _mm256_and_si256(next, _mm256_sub_epi32(g0, minus_one)));
        __m256i g = _mm256_blendv_epi8(g0, g1, next);
        // Signs: beyond the second token, or not of a token that the bucket knows.
        const __m256i rare = _mm256_or_si256(_mm256_cmpgt_epi32(j, g), j);
        // Less than the symbol by the low bits of slot; `next` is -1 where it holds.
        value = _mm256_srai_epi32(high, 16);
        if constexpr (kShifts)
            value = _mm256_sub_epi32(value, _mm256_sllv_epi32(_mm256_add_epi32(unit, next), shift));
        else
            value = _mm256_sub_epi32(value, next);
        g = _mm256_sub_epi32(g, minus_one);
        if (const uint32_t mask = mask_of(rare)) [[unlikely]] {
            if constexpr (kShifts) value = _mm256_add_epi32(value, _mm256_sllv_epi32(unit, shift));
            escapes |= search_rare(view, index, mask, slot, j, g, value) << lane;
            if constexpr (kShifts) value = _mm256_sub_epi32(value, _mm256_sllv_epi32(unit, shift));
        }
        if constexpr (kShifts) value = _mm256_add_epi32(value, slot);
        return _mm256_add_epi32(_mm256_mullo_epi32(g, _mm256_srlv_epi32(x, bits)), j);
    }
};

// 12 bits, no shifts, no escapes, few values: one dword a slot tells everything.
struct Slots {
    __m256i slot_mask = _mm256_set1_epi32(0xFFF);
    __m256i base;
    explicit Slots(const TableView& view) : base(_mm256_set1_epi32(view.base)) {}

    using Entry = __m256i;
    [[gnu::always_inline]] static __m256i load(const TableView& view, const uint32_t* at) {
        return look_up(view.slots, at);
    }

    template <typename Index>
    [[gnu::always_inline]] void locate(__m256i x, const Index* index, uint32_t* at) const {
        store_positions(at, _mm256_or_si256(_mm256_slli_epi32(load_index(index), 12), _mm256_and_si256(x, slot_mask)));
    }

    template <typename Index>
    [[gnu::always_inline]] __m256i step(const TableView&, __m256i x, const Index*, __m256i entry,
                                        __m256i& value, uint32_t, uint32_t&) const {
        value = _mm256_add_epi32(_mm256_and_si256(_mm256_srli_epi32(entry, 12), _mm256_set1_epi32(0xFF)), base);
        const __m256i q = _mm256_srli_epi32(x, 12);
        return _mm256_add_epi32(_mm256_mullo_epi32(_mm256_and_si256(entry, slot_mask), q),
                                _mm256_add_epi32(q, _mm256_srli_epi32(entry, 20)));
    }
};

[[gnu::always_inline]] inline __m256i refill(__m256i x, const uint16_t*& words) {
    const __m256i need = _mm256_cmpeq_epi32(_mm256_srli_epi32(x, 16), _mm256_setzero_si256());
    const uint32_t mask = mask_of(need);
    words -= _mm_popcnt_u32(mask);
    const __m256i next =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(words)));
    const __m256i order = _mm256_load_si256(reinterpret_cast<const __m256i*>(kPermutations.expand[mask]));
    return _mm256_or_si256(_mm256_sllv_epi32(x, _mm256_and_si256(need, _mm256_set1_epi32(16))),
                           _mm256_shuffle_epi8(next, order));
}

template <uint32_t kVectors, typename Entries, typename Symbol, typename Index>
uint32_t decode_vectors(DecodeJob<Symbol, Index>& job, Kernels::Decode<Symbol, Index> portable) {
    constexpr uint32_t kLanes = 8 * kVectors;
    const TableView view = *job.view;
    const Entries entries(view);
    __m256i x[kVectors], value[kVectors];
    for (uint32_t v = 0; v < kVectors; ++v)
        x[v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(job.states + 8 * v));
    const uint16_t* words = job.words + job.num_words;
    const uint16_t* const first_word = job.words;
    const Index* index = job.index;
    Symbol* symbols = job.symbols;
    uint32_t groups = job.n / kLanes;
    alignas(32) uint32_t at[kLanes];
    if (groups)
        for (uint32_t v = 0; v < kVectors; ++v) entries.locate(x[v], index + 8 * v, at + 8 * v);
    // Vectors from high lanes to low ones, as words are taken. Each says where its next symbols are to be looked up
    // long before it is its turn again; what is found there is loaded one turn ahead, so that few registers wait.
    typename Entries::Entry ahead{};
    if (groups) ahead = entries.load(view, at + kLanes - 8);
    for (; groups > 0; --groups) {
        const Index* next = index + (groups > 1 ? kLanes : 0);
        uint32_t escapes = 0;
        for_each_vector<kVectors>([&](auto vector) __attribute__((always_inline)) {
            constexpr uint32_t v = kVectors - 1 - vector.value;
            const auto entry = ahead;
            if (kVectors > 1) ahead = entries.load(view, at + 8 * (v > 0 ? v - 1 : kVectors - 1));
            x[v] = entries.step(view, x[v], index + 8 * v, entry, value[v], 8 * v, escapes);
            x[v] = refill(x[v], words);
            entries.locate(x[v], next + 8 * v, at + 8 * v);
            if (kVectors == 1) {
                ahead = entries.load(view, at);
                store_symbols(symbols, value[0]);
            } else if (v % 2 == 0) {
                store_symbols(symbols + 8 * v, value[v], value[(v + 1) % kVectors]);
            }
        });
        // A group takes at most kLanes words, and as many lie before the first.
        if (words < first_word) return kOverrun;
        if (escapes) [[unlikely]]
            add_candidates(job, static_cast<uint32_t>(index - job.index), escapes);
        index = next;
        symbols += kLanes;
    }
    for (uint32_t v = 0; v < kVectors; ++v)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(job.states + 8 * v), x[v]);
    return decode_rest(job, job.n / kLanes * kLanes, static_cast<uint32_t>(words - first_word), portable);
}

// ---- Which loop ----

template <auto kPortable, typename Symbol, typename Index>
uint32_t encode(EncodeJob<Symbol, Index>& job) {
    const auto portable = kScalarKernels.*kPortable;
    // Below 12 bits a float quotient may err by more than one.
    if (job.view->bits >= 12 && job.view->encode_quotients) {
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

template <typename Entries, typename Symbol, typename Index>
uint32_t decode_lanes(DecodeJob<Symbol, Index>& job, Kernels::Decode<Symbol, Index> portable) {
    if (job.lanes == 32) return decode_vectors<4, Entries>(job, portable);
    if (job.lanes == 16) return decode_vectors<2, Entries>(job, portable);
    return decode_vectors<1, Entries>(job, portable);
}

template <auto kPortable, typename Symbol, typename Index>
uint32_t decode(DecodeJob<Symbol, Index>& job) {
    const auto portable = kScalarKernels.*kPortable;
    if (job.lanes < 8) return portable(job);
    if (job.view->slots) return decode_lanes<Slots>(job, portable);
    if (!job.view->buckets) return portable(job);
    return job.view->any_shift ? decode_lanes<Buckets<true>>(job, portable)
                               : decode_lanes<Buckets<false>>(job, portable);
}

}  // namespace

constinit const Kernels kAvx2Kernels = {
    encode<&Kernels::encode_i8_u8>,   encode<&Kernels::encode_i8_u16>,  encode<&Kernels::encode_i16_u8>,
    encode<&Kernels::encode_i16_u16>, encode<&Kernels::encode_i32_u8>,  encode<&Kernels::encode_i32_u16>,
    decode<&Kernels::decode_i16_u8>,  decode<&Kernels::decode_i16_u16>, decode<&Kernels::decode_i32_u8>,
    decode<&Kernels::decode_i32_u16>,
};

}  // namespace narrows
