#include "audio/rate_control.hpp"

#include <algorithm>

#include "narrows/fixed_point.hpp"

namespace narrows::audio {

namespace {

// Chosen on speech_train, by PESQ at 6 and 12 kbit/s.
constexpr int kOctave = 12;            // offsets that halve what a step changes
constexpr uint64_t kLeast = 4 * 256;   // of a channel: what it does not change, 1/256 byte
constexpr uint64_t kMemory = 150;      // frames that the long-term mean is of
constexpr uint64_t kSecond = 50;       // and a mean that it is at most twice of
constexpr uint64_t kFewest = 2;        // packets that either is of at least: one that is quiet says little
constexpr uint64_t kBegin = 50;        // and those that the budget stands for before there are any
constexpr uint64_t kOutlier = 2;       // times the mean: more of a packet does not count, so that a bang is soon forgotten
constexpr uint64_t kFade = 62'259;     // how much alike the frames of two neighbors are, 1/2^16
constexpr uint64_t kAim = 130;         // the budget that the long-term mean aims at, 1/100; windows hold it back
constexpr uint64_t kFill = 103;        // how full windows are planned to be, 1/100 of the budget
constexpr int kMostAbove = 384;        // what windows may ask beyond the mean, log2 of bytes in 1/256
constexpr int kFall = 512;             // how much finer steps become from packet to packet, 1/256 offset

constexpr uint64_t kLargestSize = uint64_t{1} << 34;  // 1/256 byte
constexpr int kFinest = -30;

}  // namespace

RateControl::RateControl(uint32_t bytes_256, uint32_t packet_frames, size_t channels)
    : budget_(bytes_256), packet_frames_(packet_frames), window_(std::max<size_t>(1, kWindowFrames / packet_frames)),
      least_(std::min<uint64_t>(kLeast * channels * packet_frames, budget_ / 2)), mean_(budget_ - least_), lately_(mean_), recent_(mean_) {
    uint64_t fade = 1 << 16;
    for (uint32_t i = 0; i < packet_frames; ++i) fade = fade * kFade >> 16;
    uint64_t share = fade, sum = 0;
    for (size_t n = 1; n <= window_; ++n, share = share * fade >> 16) reach_[n] = static_cast<uint32_t>(sum += share);
}

uint64_t RateControl::at_zero(uint64_t size_256, int offset) const noexcept {
    const uint64_t beyond = std::min(size_256, kLargestSize) - std::min(std::min(size_256, kLargestSize), least_);
    // 2^(offset / kOctave) in 1/2^20.
    return beyond * exp2_16(static_cast<uint32_t>(16 * 256 + offset * 256 / kOctave)) >> 20;
}

int RateControl::offset() {
    const auto log = [](uint64_t v) { return static_cast<int>(log2_256_wide(v + 1)); };
    const int mean = log(mean_) - log(budget_ * kAim / 100 - std::min(budget_ * kAim / 100, least_));
    int pressure = mean;
    const uint64_t whole = budget_ * window_ * kFill / 100;
    uint64_t sum = 0;
    size_t before = 0;
    for (auto size = sizes_.rbegin();; ++size, ++before) {
        // The last `before` packets and the next `ahead` make a window.
        const size_t ahead = window_ - before;
        if (before % 5 == 0 || ahead == 1) {
            // Of a packet ahead, in the mean.
            const int64_t louder = ((static_cast<int64_t>(recent_) - static_cast<int64_t>(mean_)) >> 8) * reach_[ahead] >> 8;
            const auto wanted = static_cast<uint64_t>(static_cast<int64_t>(mean_) + louder / static_cast<int64_t>(ahead));
            const uint64_t left = (whole - std::min(whole, sum)) / ahead;
            pressure = std::max(pressure, log(wanted) - log(std::max(left - std::min(left, least_), budget_ / 4 / ahead)));
        }
        if (size == sizes_.rend() || ahead == 1) break;
        sum += uint64_t{*size} << 8;
    }
    // Where windows ask for more the steps are coarser than `at_zero` understands: what it then says must not feed itself.
    pressure_ = std::max(std::min(pressure, mean + kMostAbove), pressure_ - kFall / kOctave);
    return std::clamp((pressure_ * kOctave + 128 + (1 << 16)) / 256 - 256, kFinest, kLargestOffset);
}

uint32_t RateControl::allowance() const {
    const uint64_t whole = budget_ * window_ * 102 / 100 + budget_;
    // Every later packet keeps its share of the budget: what the window holds then, seen from now.
    const uint64_t share = budget_ * kKept / kKeptOf;
    uint64_t sum = 0, least = whole - std::min(whole, share * (window_ - 1));
    size_t seen = 0;
    for (auto size = sizes_.rbegin(); size != sizes_.rend() && seen + 1 < window_; ++size) {
        sum += uint64_t{*size} << 8;
        ++seen;
        least = std::min(least, whole - std::min(whole, sum + share * (window_ - 1 - seen)));
    }
    return static_cast<uint32_t>(std::max<uint64_t>(least >> 8, 1));
}

void RateControl::coded(size_t bytes, int offset, uint32_t frames, bool silent) {
    sizes_.push_back(static_cast<uint32_t>(bytes));
    if (sizes_.size() >= window_) sizes_.pop_front();
    if (silent) return;
    recent_ = at_zero(static_cast<uint64_t>(bytes) << 8, offset);
    seen_ = std::min(seen_ + frames, kMemory);
    const auto move = [&](uint64_t& mean, uint64_t memory) {
        const auto difference = static_cast<int64_t>(std::min(recent_, kOutlier * mean_)) - static_cast<int64_t>(mean);
        mean = static_cast<uint64_t>(static_cast<int64_t>(mean) + difference / static_cast<int64_t>(std::max<uint64_t>(kFewest, std::min(seen_ + kBegin, memory) / frames)));
    };
    move(lately_, kSecond);
    move(mean_, kMemory);
    // Not below what the finest step is for: from less, what counts of a packet would not lift it again.
    mean_ = std::max(std::min(mean_, 2 * lately_), at_zero(budget_, kFinest));
}

void RateControl::save(Saver& saver) const {
    saver.put(mean_);
    saver.put(lately_);
    saver.put(recent_);
    saver.put(static_cast<uint32_t>(seen_));
    saver.put(static_cast<int32_t>(pressure_));
    for (const uint32_t size : sizes_) saver.put(size);
}

bool RateControl::load(Loader& loader, uint64_t packets) {
    mean_ = loader.get<uint64_t>();
    lately_ = loader.get<uint64_t>();
    recent_ = loader.get<uint64_t>();
    seen_ = loader.get<uint32_t>();
    pressure_ = loader.get<int32_t>();
    constexpr uint64_t kMost = kLargestSize << 9;  // at_zero of the largest at the largest offset, and the first mean
    if (mean_ > kMost || lately_ > kMost || recent_ > kMost || seen_ > kMemory || pressure_ < kNone || pressure_ > -kNone) return false;
    sizes_.resize(static_cast<size_t>(std::min<uint64_t>(packets, window_ - 1)));
    for (uint32_t& size : sizes_) {
        size = loader.get<uint32_t>();
        if (size > kLargestSize >> 8) return false;
    }
    return true;
}

}  // namespace narrows::audio
