// Lossless only: a linear prediction of each coefficient from its signed surroundings, least squares fitted to
// the band by the encoder and sent with it. Integers decide: sums are int64, the solution (double, fixed order)
// is rounded to 1/1024 before anything uses it.
#pragma once

#include <cstdint>
#include <vector>

#include "wave/bands.hpp"

namespace narrows::wave {

inline constexpr int kMaxTaps = 37;
inline constexpr int kTapBits = 10;

// The low-pass picture of the band's own level and channel.
struct LowPass {
    const int32_t* data = nullptr;
    int width = 0, height = 0;
};

struct Weights {
    int num_taps = 0;                // 0: no prediction
    int32_t tap[kMaxTaps] = {};      // 1/1024; 0 and 1 are W and WW
};

[[nodiscard]] int num_taps(const Surroundings& where);

// Rows of signed values around row y, and the part of the prediction that does not need the row itself.
class Prediction {
   public:
    Prediction(const Surroundings& where, const LowPass& low, int orientation);
    // Gathers the taps of row `y`; reads only what a decoder has by then.
    void begin_row(int y);
    // Sums all taps but W and WW into `out` [width].
    void sum_row(const Weights& weights, int32_t* out) const;
    const int32_t* tap(int k) const { return taps_[k]; }  // at x = 0; k >= 2
    int num_taps() const { return num_taps_; }

   private:
    const int32_t* padded(const Band* band, int y, int begin, int end);
    const int32_t* padded_low(int y);
    const Surroundings& where_;
    LowPass low_;
    int orientation_, width_, num_taps_;
    size_t stride_;
    std::vector<int32_t> rows_;
    size_t used_ = 0;
    const int32_t* taps_[kMaxTaps] = {};
};

// Weights for the values `v` [rows of where][width] (what self.row will hold), or none where they do not pay.
[[nodiscard]] Weights fit(const Surroundings& where, const LowPass& low, int orientation, const int32_t* v);

inline int32_t predict(const int32_t sum, const Weights& w, int32_t left, int32_t left2) {
    const uint32_t total = static_cast<uint32_t>(sum) + static_cast<uint32_t>(w.tap[0]) * static_cast<uint32_t>(left) +
                           static_cast<uint32_t>(w.tap[1]) * static_cast<uint32_t>(left2) + (1u << (kTapBits - 1));
    return static_cast<int32_t>(total) >> kTapBits;
}

}  // namespace narrows::wave
