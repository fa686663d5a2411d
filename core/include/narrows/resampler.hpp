// Streaming change of sampling rate by a windowed sinc with exact integer phase: output m lies at input position
// m in_hz / out_hz, so nothing drifts, and how input is split changes nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace narrows {

inline constexpr uint32_t kLeastRate = 1'000, kLargestRate = 768'000;

// Coefficients for one pair of rates, shared by every stream that has it.
struct ResamplerTables {
    uint64_t up, down;         // out_hz and in_hz without their common divisor
    size_t reach;              // an output needs inputs up to `reach` ahead of its position, and as many behind
    std::vector<int32_t> all;  // [up][2 reach] in 1/2^30; empty where that would be large
    // The 2 reach coefficients of a phase in [0, up), into `out` unless they are stored.
    const int32_t* of(uint64_t phase, std::vector<int32_t>& out) const;
    // Rates of kLeastRate to kLargestRate.
    static std::shared_ptr<const ResamplerTables> get(uint32_t in_hz, uint32_t out_hz);
};

class Resampler {
   public:
    Resampler(uint32_t in_hz, uint32_t out_hz, size_t channels);
    // Appends the outputs [time, channels] that `in` [time, channels] completes. Inputs up to +-2^25.
    void push(std::span<const int32_t> in, std::vector<int32_t>& out);
    // Appends outputs up to `total` in all, with zeros behind the end of the input.
    void finish(uint64_t total, std::vector<int32_t>& out);
    // Outputs that `inputs` samples complete, and inputs that `outputs` samples cover.
    uint64_t outputs_of(uint64_t inputs) const noexcept;
    uint64_t inputs_of(uint64_t outputs) const noexcept;
    size_t reach() const noexcept { return tables_->reach; }
    uint64_t made() const noexcept { return made_; }

    // All that changes: `history` has 2 reach samples of each channel.
    struct State {
        uint64_t taken, made;
        std::vector<int32_t> history;
    };
    State state() const { return {taken_, made_, history_}; }
    // False if the state cannot be one of this resampler.
    [[nodiscard]] bool restore(const State& state);

   private:
    std::shared_ptr<const ResamplerTables> tables_;
    size_t channels_;
    uint64_t taken_ = 0, made_ = 0;
    std::vector<int32_t> history_;  // the last 2 reach inputs
    std::vector<int32_t> work_, phase_;
};

}  // namespace narrows
