// The trained tables of the audio coder and how contexts index them.
//
// Every binary decision has a logit that is the sum of one entry of each of several tables; the sum goes through
// kLogistic. An entry is [set][context][decision]: tables differ in what they take for context.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "audio/layout.hpp"
#include "narrows/log2.hpp"
#include "narrows/mixing.hpp"
#include "narrows/range.hpp"

namespace narrows {

namespace audio {

inline constexpr size_t kDecisions = 16;

// Contexts of the coefficient tables, see CoefficientContexts in syntax.hpp.
inline constexpr std::array<size_t, 9> kCoefficientContexts = {64, 64, 144, 144, 192, 384, 243, 97, 243};
enum CoefficientSet : size_t { kAlone = 0, kWithPrevious = 1, kTransientSet = 2, kCoefficientSets = 3 };
// Contexts of the envelope tables; sets: without and with the frame before.
inline constexpr std::array<size_t, 6> kEnvelopeContexts = {48, 32, 91, 91, 170, 192};
inline constexpr size_t kEnvelopeSets = 2;
// Contexts of the tables that say whether a band has more than zeros, one decision each; sets as for coefficients.
inline constexpr std::array<size_t, 4> kBandContexts = {48, 192, 80, 81};
// Single logits.
enum Flag : size_t { kSilent = 0, kTransient = 3, kStereo = 5, kFull = 8, kStepZero = 16, kStepSign = 17, kStepMore = 18, kNumFlags = 48 };

template <size_t K>
constexpr std::array<size_t, K + 1> starts_of(const std::array<size_t, K>& contexts, size_t decisions = kDecisions) noexcept {
    std::array<size_t, K + 1> starts{};
    for (size_t k = 0; k < K; ++k) starts[k + 1] = starts[k] + contexts[k] * decisions;
    return starts;
}
inline constexpr auto kCoefficientStarts = starts_of(kCoefficientContexts);
inline constexpr auto kEnvelopeStarts = starts_of(kEnvelopeContexts);
inline constexpr auto kBandStarts = starts_of(kBandContexts, 1);
inline constexpr size_t kBandSize = kBandStarts.back();
inline constexpr size_t kCoefficientSize = kCoefficientStarts.back();
inline constexpr size_t kEnvelopeSize = kEnvelopeStarts.back();

// What the range coder takes for a logit: 11 nats at most.
inline constexpr int kLogitMax = 2815;
inline uint32_t probability(int logit) noexcept {
    return kLogistic.squash[static_cast<size_t>(std::clamp(logit, -kLogitMax, kLogitMax) + kSquashMax)];  // 1 to 2^16 - 1
}
// What a model's entry of coefficients may be, so that one of each table add up in 16 bits.
inline constexpr int kLargestEntry = 3640;

// The entries of one decision's context: one pointer a table, to its decisions.
template <size_t K>
struct Entries {
    std::array<const int16_t*, K> at;
    int logit(size_t decision) const noexcept {
        int sum = 0;
        for (size_t k = 0; k < K; ++k) sum += at[k][decision];
        return sum;
    }
};
using CoefficientEntries = Entries<kCoefficientContexts.size()>;
static_assert(kLargestEntry * static_cast<int>(kCoefficientContexts.size()) <= 32'767);

// The first decisions of a context, all at once.
inline constexpr size_t kLanes = 8;
typedef int16_t Lanes [[gnu::vector_size(2 * kLanes)]];
NARROWS_INLINE Lanes lanes_at(const int16_t* entries) noexcept {
    Lanes lanes;
    std::memcpy(&lanes, entries, sizeof lanes);
    return lanes;
}
// Logits to where their probabilities stand in the logistic table.
NARROWS_INLINE Lanes places_of(Lanes logits) noexcept {
    constexpr int16_t kMost = kLogitMax;
    logits = logits < kMost ? logits : Lanes{} + kMost;
    logits = logits > -kMost ? logits : Lanes{} - kMost;
    return logits + static_cast<int16_t>(kSquashMax);
}
using EnvelopeEntries = Entries<kEnvelopeContexts.size()>;
using BandEntries = Entries<kBandContexts.size()>;

}  // namespace audio

struct AudioTables {
    std::vector<int16_t> coefficients;  // [kCoefficientSets][kCoefficientSize]
    std::vector<int16_t> envelope;      // [kEnvelopeSets][kEnvelopeSize]
    std::vector<int16_t> bands;         // [kCoefficientSets][kBandSize]
    std::vector<int16_t> flags;         // [kNumFlags]
    std::vector<int16_t> steps;         // [kMaxBands]: what bands add to 256 log2 of the step
};

}  // namespace narrows
