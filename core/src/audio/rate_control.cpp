#include "audio/rate_control.hpp"

#include <algorithm>

#include "narrows/fixed_point.hpp"

namespace narrows::audio {

namespace {

// Chosen on speech_train, by PESQ and the share of the budget used at 6 and 12 kbit/s.
constexpr int kOctave = RateControl::kOctave;
constexpr uint64_t kLeast = 4 * 256;   // of a channel and frame: what it does not change, 1/256 byte
constexpr int kEven = 9, kEvenOf = 16; // the share of its size by which a packet's step follows it
constexpr uint64_t kMemory = 150;      // frames that the long-term mean is of
constexpr uint64_t kSecond = 50;       // and a mean that it is at most twice of
constexpr uint64_t kFewest = 2;        // packets that either is of at least: one that is quiet says little
constexpr uint64_t kBegin = 50;        // and those that the budget stands for before there are any
constexpr uint64_t kOutlier = 2;       // times the mean: more of a packet does not count, so that a bang is soon forgotten
constexpr uint64_t kFade = 62'259;     // how much alike the frames of two neighbors are, 1/2^16
constexpr uint64_t kAim = 130;         // the budget that the long-term mean aims at, 1/100; windows hold it back
constexpr uint64_t kFill = 103;        // how full windows are planned to be, 1/100 of the budget
constexpr uint64_t kMore = 5;          // and how much more by packet ahead: seldom do all come as they may
constexpr int kMostAbove = 512;        // what windows may ask beyond the mean, log2 of bytes in 1/256
constexpr int kFall = 13;              // how much pressure falls in a frame at most, the same
constexpr size_t kLeastPackets = 8;    // of a window planned
constexpr uint64_t kLongFill = 100, kLongMore = 2;  // where those are more than 2 s

constexpr uint64_t kLargestSize = uint64_t{1} << 34;  // 1/256 byte
constexpr uint64_t kMostAsked = uint64_t{1} << 44;
constexpr int kFinest = -30;

int log_of(uint64_t v) { return static_cast<int>(log2_256_wide(v + 1)); }
// a / b, rounded to the nearest; a / b > -2^12, b below 2^16.
int rounded(int a, int b) { return (a + b / 2 + b * 4096) / b - 4096; }

}  // namespace

RateControl::RateControl(uint32_t bytes_256, uint32_t packet_frames, size_t channels)
    : budget_(bytes_256), packet_frames_(packet_frames), kept_(std::max<size_t>(1, kWindowFrames / packet_frames)),
      window_(std::max(kept_, kLeastPackets)), fill_(window_ > kept_ ? kLongFill : kFill), more_(window_ > kept_ ? kLongMore : kMore),
      least_(std::min<uint64_t>(kLeast * channels * packet_frames, budget_ / 2)), usual_(log_of(budget_ - least_)),
      sizes_(window_ - 1, bytes_256 >> 8), means_{budget_ - least_, budget_ - least_}, log_(usual_) {
    uint64_t fade = 1 << 16;
    for (uint32_t i = 0; i < packet_frames; ++i) fade = fade * kFade >> 16;
    uint64_t share = 1 << 16, sum = 0;
    for (size_t n = 1; n <= window_; ++n, share = share * fade >> 16) reach_[n] = static_cast<uint32_t>(sum += share);
}

int RateControl::log_at_zero(size_t bytes, int offset, uint32_t frames) const noexcept {
    const uint64_t size = std::min<uint64_t>(uint64_t{bytes} << 8, kLargestSize) * packet_frames_ / frames;
    return log_of(std::max(size - std::min(size, least_), least_ / 4)) + offset * 256 / kOctave;
}

uint64_t RateControl::asked(int log) const noexcept {
    const int even = (log * (kEvenOf - kEven) + usual_ * kEven) / kEvenOf;
    return std::min(exp2_16(static_cast<uint32_t>(std::max(even, 0))) >> 4, kMostAsked);
}

int RateControl::offset_of(int pressure, int log) const noexcept {
    const int wanted = kEvenOf * pressure + kEven * (log - usual_);
    return std::clamp(rounded(wanted * kOctave, 256 * kEvenOf), kFinest, kLargestOffset);
}

RateControl::Means RateControl::after(uint64_t asked, uint32_t frames) const noexcept {
    const uint64_t seen = std::min(seen_ + frames, kMemory) + kBegin;
    const auto moved = [&](uint64_t mean, uint64_t memory) {
        const auto difference = static_cast<int64_t>(std::min(asked, kOutlier * means_.mean)) - static_cast<int64_t>(mean);
        const auto packets = static_cast<int64_t>(std::max<uint64_t>(kFewest, std::min(seen, memory) / packet_frames_));
        return static_cast<uint64_t>(static_cast<int64_t>(mean) + difference / packets);
    };
    Means means{moved(means_.mean, kMemory), moved(means_.lately, kSecond)};
    // Not below what the finest step is for: from less, what counts of a packet would not lift it again.
    means.mean = std::max(std::min(means.mean, 2 * means.lately), this->asked(usual_ + kFinest * 256 / kOctave));
    return means;
}

int RateControl::pressure(uint64_t asked, const Means& means) const {
    const int base = log_of(means.mean) - log_of(budget_ * kAim / 100 - std::min(budget_ * kAim / 100, least_));
    int most = base;
    uint64_t sum = 0;
    auto size = sizes_.rbegin();
    for (size_t ahead = window_; ahead > 0; --ahead) {
        // The last packets and the next `ahead`, of which this is the first, make a window.
        const int64_t louder = ((static_cast<int64_t>(asked) - static_cast<int64_t>(means.mean)) >> 8) * reach_[ahead] >> 8;
        const auto each = static_cast<uint64_t>(std::max<int64_t>(static_cast<int64_t>(means.mean) + louder / static_cast<int64_t>(ahead), 0));
        const uint64_t whole = budget_ * (window_ * fill_ + ahead * more_) / 100;
        const uint64_t left = (whole - std::min(whole, sum)) / ahead;
        most = std::max(most, log_of(each) - log_of(std::max(left - std::min(left, least_), budget_ / 4 / ahead)));
        if (ahead > 1) sum += uint64_t{*size++} << 8;
    }
    // Where windows ask for more, steps are coarser than `log_at_zero` understands: what it then says must not feed itself.
    return std::max(std::min(most, base + kMostAbove), pressure_ - kFall * static_cast<int>(packet_frames_));
}

int RateControl::guess() const noexcept { return pressure_ == kNone ? 0 : offset_of(pressure_, log_); }

int RateControl::offset(size_t bytes, int offset, uint32_t frames) const {
    const int log = log_at_zero(bytes, offset, frames);
    const uint64_t u = asked(log);
    return offset_of(pressure(u, after(u, frames)), log);
}

uint64_t RateControl::left_to_next(size_t window) const {
    const uint64_t whole = budget_ * window * 102 / 100 + budget_;
    // Every later packet keeps its share of the budget: what the window holds then, seen from now.
    const uint64_t share = budget_ * kKept / kKeptOf;
    uint64_t sum = 0, least = whole - std::min(whole, share * (window - 1));
    auto size = sizes_.rbegin();
    for (size_t later = window - 1; later > 0; --later) {
        sum += uint64_t{*size++} << 8;
        least = std::min(least, whole - std::min(whole, sum + share * (later - 1)));
    }
    return least;
}

uint32_t RateControl::allowance(uint32_t frames) const {
    uint64_t left = std::min(left_to_next(kept_), left_to_next(window_));
    // A packet that the end cuts short has its part, and a frame's for what is not shared.
    if (frames < packet_frames_) left = std::min(left, budget_ * (frames + 1) / packet_frames_);
    return static_cast<uint32_t>(std::max<uint64_t>(left >> 8, 1));
}

void RateControl::coded(size_t bytes, int offset, uint32_t frames, bool silent) {
    if (!silent) {
        log_ = log_at_zero(bytes, offset, frames);
        const uint64_t u = asked(log_);
        const Means means = after(u, frames);
        pressure_ = pressure(u, means);
        means_ = means;
        seen_ = std::min(seen_ + frames, kMemory);
    }
    sizes_.push_back(static_cast<uint32_t>(bytes));
    sizes_.pop_front();
}

void RateControl::save(Saver& saver) const {
    saver.put(means_.mean);
    saver.put(means_.lately);
    saver.put(static_cast<uint32_t>(seen_));
    saver.put(static_cast<int32_t>(pressure_));
    saver.put(static_cast<int32_t>(log_));
    for (const uint32_t size : sizes_) saver.put(size);
}

bool RateControl::load(Loader& loader) {
    means_.mean = loader.get<uint64_t>();
    means_.lately = loader.get<uint64_t>();
    seen_ = loader.get<uint32_t>();
    pressure_ = loader.get<int32_t>();
    log_ = loader.get<int32_t>();
    if (means_.mean > kMostAsked || means_.lately > kMostAsked || seen_ > kMemory) return false;
    if (pressure_ < kNone || pressure_ > -kNone || log_ < kNone || log_ > -kNone) return false;
    for (uint32_t& size : sizes_) {
        size = loader.get<uint32_t>();
        if (size > kLargestSize >> 8) return false;
    }
    return true;
}

}  // namespace narrows::audio
