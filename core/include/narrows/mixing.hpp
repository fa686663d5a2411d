// Context mixing in integers: many small models each guess the next bit, a weighted sum in the logistic domain
// joins them, and the weights follow the error (Mahoney 2005). It drives RangeEncoder::encode_bit.
//
//   history (1 byte a context) -> AdaptiveProbability -> stretch -> Mixer -> Refiner -> P(bit = 1) in 1/2^16
//
// Everything is integers with defined rounding and saturation: scalar and vector code give the same bits.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#if defined(__SSE4_1__)
#include <smmintrin.h>
#endif

namespace narrows {

// The logistic domain: ln(p / (1 - p)) in units of 1/256.
inline constexpr int kStretchMax = 2047;  // what a model may say: 8 nats
inline constexpr int kSquashMax = 3071;   // what a mixer may say: 12 nats

struct LogisticTables {
    std::array<uint16_t, 2 * kSquashMax + 1> squash;  // 2^16 / (1 + e^(-x / 256)), at least 1, at most 2^16 - 1
    std::array<int16_t, 4096> stretch;                // its inverse at (16 i + 8) / 2^16, cut to kStretchMax
};
extern const LogisticTables kLogistic;

// x is cut to +-kSquashMax.
inline uint32_t squash(int x) noexcept {
    return kLogistic.squash[static_cast<size_t>(std::clamp(x, -kSquashMax, kSquashMax) + kSquashMax)];
}
// p1 < 2^16.
inline int stretch(uint32_t p1) noexcept { return kLogistic.stretch[p1 >> 4]; }

// A bit history is one byte: how often 0 and 1 were seen in a context, in bounded numbers, and which was last.
// When a bit contradicts a long run the other count drops, since recent bits predict better than old ones.
// States are numbered by n0 + n1, so that a larger number has seen more; 0 has seen nothing.
struct HistoryTables {
    std::array<std::array<uint8_t, 2>, 256> next;
    std::array<uint16_t, 256> start;  // (n1 + 0.4) / (n0 + n1 + 0.8) in 1/2^16
    uint32_t num_states;
};
extern const HistoryTables kHistory;

// 2^16 / (n + 1.5)
extern const std::array<uint16_t, 1024> kReciprocal;

// P(bit = 1) with 22 bits that moves by 1 / (n + 1.5), n = bits seen up to `limit` <= 1023: first an average,
// then an exponential one.
class AdaptiveProbability {
   public:
    AdaptiveProbability() = default;
    explicit AdaptiveProbability(uint32_t p1) noexcept : value_(p1 << 16) {}
    uint32_t p1() const noexcept { return value_ >> 16; }
    void update(uint32_t bit, uint32_t limit) noexcept {
        const uint32_t n = value_ & 1023;
        const int32_t p = static_cast<int32_t>(value_ >> 10);
        const int32_t target = bit ? (1 << 22) - 1 : 0;
        const int32_t step = static_cast<int32_t>((static_cast<int64_t>(target - p) * kReciprocal[n]) >> 16);
        value_ = static_cast<uint32_t>(p + step) << 10 | (n + (n < limit));
    }

   private:
    uint32_t value_ = 1u << 31;
};

// One probability a bit history, learned: what follows "0 three times, then 1" is up to the data.
class HistoryMap {
   public:
    HistoryMap() noexcept {
        for (size_t s = 0; s < 256; ++s) map_[s] = AdaptiveProbability(kHistory.start[s]);
    }
    AdaptiveProbability& operator[](uint8_t state) noexcept { return map_[state]; }

   private:
    std::array<AdaptiveProbability, 256> map_;
};

// A hash table of contexts. A slot is a check byte and 15 histories: a nibble's tree, or whatever decisions its
// user numbers 0 to 14. Four slots share a cache line; the one that has seen least makes room.
class SlotTable {
   public:
    static constexpr uint32_t kNodes = 15;
    // 2^bits bytes, bits 10 to 32.
    explicit SlotTable(uint32_t bits);

    void prefetch(uint32_t hash, uint32_t near = 0) const noexcept { __builtin_prefetch(&lines_[line(hash, near)]); }
    // The histories of the context `hash`, or of its part `near` < 32, which lies within 16 lines of it. They
    // stay valid until the line is needed for another context.
    uint8_t* find(uint32_t hash, uint32_t near = 0) noexcept {
        Slot* slots = lines_[line(hash, near)].slots;
        const uint8_t check = static_cast<uint8_t>((hash & 255) + near * 29);
        size_t least = 0;
        for (size_t i = 0; i < 4; ++i) {
            if (slots[i].check == check && slots[i].history[0] != 0) return slots[i].history;
            if (slots[i].history[0] < slots[least].history[0]) least = i;
        }
        std::memset(slots[least].history, 0, kNodes);
        slots[least].check = check;
        return slots[least].history;
    }

   private:
    struct Slot {
        uint8_t check;
        uint8_t history[kNodes];
    };
    struct alignas(64) Line {
        Slot slots[4];
    };
    size_t line(uint32_t hash, uint32_t near) const noexcept {
        return static_cast<size_t>(uint64_t{hash} >> shift_) ^ (near & 15);
    }
    struct Release {
        void operator()(Line* lines) const noexcept;
    };
    uint32_t shift_;
    std::unique_ptr<Line[], Release> lines_;
};

// Multiplicative hash of a context; the upper bits are the good ones.
inline uint32_t mix_hash(uint32_t a, uint32_t b) noexcept {
    const uint64_t h =
        (uint64_t{a} + 0x9E3779B9u) * 0x9E3779B97F4A7C15u ^ (uint64_t{b} + 0x7F4A7C15u) * 0xD1B54A32D192ED03u;
    return static_cast<uint32_t>((h ^ (h >> 29)) * 0xBF58476D1CE4E5B9u >> 32);
}

// A set of weight vectors over N inputs, one of which is chosen for each bit. Inputs are stretched
// probabilities (+-kStretchMax), weights int16 with 1.0 = 2^14, so a dot product of 32 inputs fits an int32.
template <size_t N>
class Mixer {
    static_assert(N % 8 == 0 && N <= 32);

   public:
    using Inputs = std::array<int16_t, N>;
    // `start` is each weight at first, in 1/2^14.
    Mixer(size_t num_contexts, int start) : weights_(num_contexts) {
        for (Weights& w : weights_) w.w.fill(static_cast<int16_t>(start));
    }
    // The mixed guess in the logistic domain, cut to +-kSquashMax; `context` < num_contexts.
    int mix(const Inputs& inputs, size_t context) noexcept {
        chosen_ = context;
        const int16_t* w = weights_[context].w.data();
        int32_t sum = 0;
#if defined(__SSE4_1__)
        __m128i total = _mm_setzero_si128();
        for (size_t i = 0; i < N; i += 8) {
            total = _mm_add_epi32(total, _mm_madd_epi16(load(&inputs[i]), load(w + i)));
        }
        total = _mm_add_epi32(total, _mm_shuffle_epi32(total, 0x4E));
        total = _mm_add_epi32(total, _mm_shuffle_epi32(total, 0xB1));
        sum = _mm_cvtsi128_si32(total);
#else
        for (size_t i = 0; i < N; ++i) sum += int32_t{inputs[i]} * w[i];
#endif
        out_ = std::clamp(sum >> 14, -kSquashMax, kSquashMax);
        return out_;
    }
    // Moves the chosen weights along the gradient of the cost of `bit`. `rate` 1 to 15.
    void update(const Inputs& inputs, uint32_t bit, int rate) noexcept {
        const int error = (static_cast<int>(bit << 16) - static_cast<int>(squash(out_))) * rate >> 5;
        if (error == 0) return;
        int16_t* w = weights_[chosen_].w.data();
#if defined(__SSE4_1__)
        const __m128i e = _mm_set1_epi16(static_cast<short>(error));
        for (size_t i = 0; i < N; i += 8) {
            // (x e + 2^14) >> 15, the rounding multiply that every instruction set has.
            const __m128i step = _mm_mulhrs_epi16(load(&inputs[i]), e);
            _mm_store_si128(reinterpret_cast<__m128i*>(w + i), _mm_adds_epi16(load(w + i), step));
        }
#else
        for (size_t i = 0; i < N; ++i) {
            const int step = (int{inputs[i]} * error + (1 << 14)) >> 15;
            w[i] = static_cast<int16_t>(std::clamp(w[i] + step, -32768, 32767));
        }
#endif
    }

   private:
#if defined(__SSE4_1__)
    static __m128i load(const int16_t* at) noexcept { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); }
#endif
    struct alignas(16) Weights {
        std::array<int16_t, N> w;
    };
    std::vector<Weights> weights_;
    size_t chosen_ = 0;
    int out_ = 0;
};

// Secondary estimation: what really happened when the mixer said so, by context (33 points over the logistic
// domain, read and written with linear interpolation).
class Refiner {
   public:
    explicit Refiner(size_t num_contexts) : table_(num_contexts * kPoints) {
        for (size_t i = 0; i < table_.size(); ++i)
            table_[i] = static_cast<uint16_t>(squash((static_cast<int>(i % kPoints) - 16) * 128));
    }
    // P(bit = 1) in 1/2^16; x is the mixed guess, `context` < num_contexts.
    uint32_t refine(int x, size_t context) noexcept {
        const uint32_t at = static_cast<uint32_t>(std::clamp(x, -kStretchMax, kStretchMax) + 2048);
        low_ = context * kPoints + (at >> 7);
        weight_ = at & 127;
        return (table_[low_] * (128 - weight_) + table_[low_ + 1] * weight_) >> 7;
    }
    void update(uint32_t bit, uint32_t shift) noexcept {
        uint16_t& p = table_[low_ + (weight_ >> 6)];
        const int target = bit ? 65535 : 0;
        p = static_cast<uint16_t>(p + ((target - p) >> shift));
    }

   private:
    static constexpr size_t kPoints = 33;
    std::vector<uint16_t> table_;
    size_t low_ = 0;
    uint32_t weight_ = 0;
};

// What a range coder takes: never certain.
inline uint32_t coder_probability(uint32_t p1) noexcept { return std::clamp(p1, 1u, 65535u); }

}  // namespace narrows
