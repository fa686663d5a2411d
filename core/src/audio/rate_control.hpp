// Which step a packet of a constrained rate is coded with first, and how many bytes it may have at most: from the
// sizes of the packets before it alone.
//
// The mean of any window of 2 s is at most 2 % above the budget and one packet. The step is the finest at which no
// window would have more, were the packets to come as the long-term mean and, fading, as the last one. So it moves
// slowly, and grows before a window is full.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>

#include "audio/saved.hpp"

namespace narrows::audio {

inline constexpr int kLargestOffset = 96;     // of the step, 1/8 octave
inline constexpr uint32_t kWindowFrames = 100;
// The share of the budget that every packet may have whatever came before.
inline constexpr uint64_t kKept = 3, kKeptOf = 4;

class RateControl {
   public:
    // `bytes_256`: the budget of a packet in 1/256 byte.
    RateControl(uint32_t bytes_256, uint32_t packet_frames, size_t channels);
    // The step's offset for the next packet.
    int offset();
    // Bytes that the next packet may have.
    uint32_t allowance() const;
    // What became of it. Silence has no step.
    void coded(size_t bytes, int offset, uint32_t frames, bool silent);

    void save(Saver& saver) const;
    // False for what no session has; `packets` so far.
    [[nodiscard]] bool load(Loader& loader, uint64_t packets);

   private:
    // Bytes beyond the least as they would be at offset 0, and back; 1/256.
    uint64_t at_zero(uint64_t size_256, int offset) const noexcept;

    uint64_t budget_;
    uint32_t packet_frames_;
    size_t window_;                            // packets
    uint64_t least_;                           // of a packet, what no step changes, 1/256 byte
    std::array<uint32_t, kWindowFrames + 1> reach_{};  // of the last packet over the next n, 1/2^16
    std::deque<uint32_t> sizes_;               // of the packets of the last window but one
    uint64_t mean_, lately_, recent_;          // as of `at_zero`: in the long term, in the last second, of the last packet
    uint64_t seen_ = 0;                        // frames that the mean is of
    int pressure_ = kNone;                     // what steps followed from last, log2 of bytes over budget in 1/256
    static constexpr int kNone = -1 << 14;
};

}  // namespace narrows::audio
