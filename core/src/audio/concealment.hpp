// What is played where packets of speech are missing: the sound so far, repeated at the lag that fits best and faded out.
//
// A transform that came gives more than the samples before the gap: it also has the left half of the block that
// the missing one would have completed, samples mixed with their mirror. The lag is the one at which a repetition
// explains both, samples and half, and the half says how loud the repetition is to be. Later transforms overlap
// with it as with any other. All of it is integers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "audio/layout.hpp"
#include "narrows/mdct.hpp"

namespace narrows::audio {

// Of one channel: kept between packets.
struct Past {
    std::vector<int32_t> samples;  // the last ones given out
    std::vector<int32_t> period;   // what is repeated: the first `lag` of it
    uint32_t lag = 0, at = 0;      // `at` is where in the period it goes on
    int32_t gain = 0;              // 1/2^15
};

class Concealment {
   public:
    // Of a layout with two transforms a frame.
    Concealment(const Layout& layout, const Mdct& whole);

    Past silence() const;
    bool valid(const Past& past) const noexcept;
    // Notes a block of `layout.size` samples that was given out.
    void heard(std::span<const int32_t> block, Past& past) const;
    // A frame that is missing and, behind it, the block that the next one will overlap with: [transforms + 1][size].
    // `half` is the left half of the block begun; `lost` counts the frames of the gap, this one included.
    void run(std::span<const int32_t> half, uint32_t lost, Past& past, std::span<int32_t> frame) const;

   private:
    void begin(std::span<const int32_t> half, Past& past) const;

    const Layout& layout_;
    const Mdct& whole_;
    size_t matched_;               // samples before the gap that a repetition is to explain
    size_t least_, most_;          // lags
    std::vector<SinCos> window_;   // of the block's rotation, by distance from its middle, 1/2^15
};

}  // namespace narrows::audio
