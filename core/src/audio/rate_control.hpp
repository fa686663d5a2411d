// Which step a packet of a constrained rate is coded with, and how many bytes it may have at most: from the packet
// itself, coded once to see what it takes, and from the sizes of the packets before it.
//
// The mean of any window of 2 s is at most 2 % above the budget and one packet, that before the first packet taken as
// spent by the budget. The step is the finest at which no
// window would have more, were the packets to come as the long-term mean and, fading, as this one. A packet that
// takes more than the mean has a coarser step: nothing is heard of that, and windows differ less. Of packets so long
// that a window of 2 s has few, windows of kLeastPackets are planned, and kept as well.
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
    static constexpr int kOctave = 12;  // offsets that usually halve what a step changes

    // `bytes_256`: the budget of a packet in 1/256 byte.
    RateControl(uint32_t bytes_256, uint32_t packet_frames, size_t channels);
    // The step's offset to code the next packet with first.
    int guess() const noexcept;
    // The offset that it should have, seeing that its `frames` took so many bytes at that one.
    int offset(size_t bytes, int offset, uint32_t frames) const;
    // Bytes that it may have.
    uint32_t allowance(uint32_t frames) const;
    // What became of it. Silence has no step.
    void coded(size_t bytes, int offset, uint32_t frames, bool silent);

    void save(Saver& saver) const;
    // False for what no session has.
    [[nodiscard]] bool load(Loader& loader);

   private:
    // What packets ask for: bytes beyond the least without pressure, 1/256; in the long term and in the last second.
    struct Means {
        uint64_t mean, lately;
    };
    // log2 of the bytes beyond the least that a whole packet would take at offset 0, 1/256 each.
    int log_at_zero(size_t bytes, int offset, uint32_t frames) const noexcept;
    uint64_t asked(int log) const noexcept;
    int offset_of(int pressure, int log) const noexcept;
    Means after(uint64_t asked, uint32_t frames) const noexcept;
    // log2 of what is asked for over what there is, 1/256.
    int pressure(uint64_t asked, const Means& means) const;
    uint64_t left_to_next(size_t window) const;

    uint64_t budget_;
    uint32_t packet_frames_;
    size_t kept_, window_;                     // packets of 2 s, and of the windows planned
    uint64_t fill_, more_;                     // how full they are planned to be, and by packet ahead, 1/100 budget
    uint64_t least_;                           // of a packet, what no step changes, 1/256 byte
    int usual_;                                // log2 of what the budget leaves beyond it
    std::array<uint32_t, kWindowFrames + 1> reach_{};  // of this packet over itself and the next, 1/2^16
    std::deque<uint32_t> sizes_;               // of the last packets of a window but one; before the first, the budget
    Means means_;
    uint64_t seen_ = 0;                        // frames that the mean is of
    int pressure_ = kNone;                     // and `log_at_zero`, of the last packet
    int log_;
    static constexpr int kNone = -1 << 14;
};

}  // namespace narrows::audio
