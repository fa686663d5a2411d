// A stack of symbols of which each has its own distribution (rANS, Duda 2014, one 64-bit state, 32-bit words): what
// adapters for other libraries code with, whose models are a row of probabilities or a mean and a scale a symbol.
// A payload says how many symbols it holds and carries a sum over the intervals they were coded with, so that models
// which differ from the encoder's are noticed. Layout: docs/compat.md, "Payloads of the adapters".
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "narrows/distributions.hpp"
#include "narrows/status.hpp"

namespace narrows {

// The slots of a symbol, out of 2^bits.
struct Interval {
    uint32_t start, size;
};

class IntervalStack {
   public:
    static constexpr uint32_t kMaxBits = 24;

    // 1 <= bits <= kMaxBits.
    explicit IntervalStack(uint32_t bits) noexcept : bits_(bits) {}
    uint32_t bits() const noexcept { return bits_; }
    size_t size() const noexcept { return size_; }

    // Pushes the last first, so that they pop in order. None is empty or leaves the 2^bits slots: the caller checked.
    void push(std::span<const Interval> intervals);
    // The slot that the top symbol's interval holds; size() > 0.
    uint32_t slot() const noexcept { return static_cast<uint32_t>(state_) & ((1u << bits_) - 1); }
    // Pops the top symbol, whose interval holds slot(). False if words are missing; with the last symbol also if
    // anything is left or the intervals were not the encoder's.
    [[nodiscard]] bool pop(Interval interval) noexcept;

    // Words, state, number of symbols, sum, CRC32C; nothing for an empty stack.
    std::vector<uint32_t> payload() const;
    // corrupt, with `what`, for anything else. The stack is unchanged then.
    [[nodiscard]] Status open(std::span<const uint32_t> payload, std::string& what);

    // Where the stack stands: `restore` undoes the pops since, if nothing was pushed.
    struct Position {
        uint64_t state;
        size_t size, num_words;
        uint32_t sum;
    };
    Position position() const noexcept { return {state_, size_, num_words_, sum_}; }
    void restore(const Position& position) noexcept;

   private:
    static constexpr uint64_t kLow = uint64_t{1} << 32;
    uint32_t bits_;
    uint32_t sum_ = 0;
    size_t size_ = 0;
    uint64_t state_ = kLow;
    std::vector<uint32_t> words_;  // those popped since the last push stand behind the first num_words_
    size_t num_words_ = 0;
};

// Distributions of symbols first .. first + num_symbols - 1. `num_rows` is 1, for all symbols alike, or a row each.

// Boundaries as integers: num_symbols + 1 a row, from 0 to 2^bits, never falling.
struct CdfRows {
    std::span<const uint32_t> cdf;
    size_t num_rows, num_symbols;
};

// Weights, in proportion to which the slots are shared out; each symbol gets one at least.
template <typename Float>
struct ProbabilityRows {
    std::span<const Float> weights;
    size_t num_rows, num_symbols;
};

// Cumulative probabilities as torchac has them: num_symbols + 1 entries a row, of which the last counts as 1.
struct FloatCdfRows {
    std::span<const float> cdf;
    size_t num_rows, num_symbols;
    bool normalize;  // leave a slot for each symbol
};
struct ShortCdfRows {
    std::span<const int16_t> cdf;  // read as unsigned
    size_t num_rows, num_symbols;
};

// A family of distributions cut to the symbols from `first` on, each of which gets one slot at least.
struct DistributionRows {
    DistributionTables tables;
    Family family;
    int32_t first;
    std::span<const double> means, scales;
    size_t num_rows, num_symbols;
};

using IntervalModel = std::variant<CdfRows, ProbabilityRows<float>, ProbabilityRows<double>, FloatCdfRows,
                                   ShortCdfRows, DistributionRows>;

// Appends the interval of each symbol. bad_argument, with `what`, for a symbol without slots or outside, a row that
// is no distribution, and a number of rows that is neither 1 nor that of the symbols.
[[nodiscard]] Status intervals_of(const IntervalModel& model, uint32_t bits, std::span<const int32_t> symbols,
                                  std::vector<Interval>& intervals, std::string& what);

// The boundaries of the model's first row, num_symbols + 1 of them; bad_argument, with `what`, if it is none.
[[nodiscard]] Status boundaries_of(const IntervalModel& model, uint32_t bits, std::vector<uint32_t>& boundaries,
                                   std::string& what);

// Pops symbols from the stack, all or none. corrupt, with `what`, if the payload cannot have been made with these
// models, bad_argument if one of them is no distribution.
[[nodiscard]] Status pop(IntervalStack& stack, const IntervalModel& model, std::span<int32_t> symbols,
                         std::string& what);

}  // namespace narrows
