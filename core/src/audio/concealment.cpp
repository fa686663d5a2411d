#include "audio/concealment.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace narrows::audio {

namespace {

constexpr int kBits = 11;  // of magnitudes that are compared
constexpr int64_t kHalfWeight = 8;  // of the half's samples beside those before the gap
constexpr int32_t kUnit = 1 << 15;
constexpr uint32_t kHeldFrames = 6;  // of a gap: more are rare, and repeat too long what was heard
constexpr int32_t kLeastGain = kUnit / 5, kMostGain = kUnit * 13 / 10;

// The last `lag` of `samples`, over and over.
void repeat(std::span<const int32_t> samples, size_t lag, std::span<int32_t> out) {
    size_t done = std::min(lag, out.size());
    std::copy_n(samples.end() - static_cast<ptrdiff_t>(lag), done, out.begin());
    for (; done < out.size(); done += std::min(lag, out.size() - done))
        std::copy_n(out.begin(), std::min(lag, out.size() - done), out.begin() + static_cast<ptrdiff_t>(done));
}

}  // namespace

Concealment::Concealment(const Layout& layout, const Mdct& whole)
    : layout_(layout),
      whole_(whole),
      matched_(layout.frame() / 2),
      least_(layout.frame() / 10),
      most_(layout.frame() * 5 / 4) {
    std::array<int32_t, kMaxSize> block;
    for (size_t k = 0; k < layout.size / 2; ++k) {
        block.fill(0);
        block[layout.size / 2 - 1 - k] = kUnit;
        whole.rotate(block.data());
        window_.push_back({block[layout.size / 2 - 1 - k], block[layout.size / 2 + k]});
    }
}

Past Concealment::silence() const {
    Past past;
    past.samples.assign(most_ + matched_, 0);
    past.period.assign(most_, 0);
    past.lag = static_cast<uint32_t>(least_);
    return past;
}

bool Concealment::valid(const Past& past) const noexcept {
    const auto sound = [](int32_t v) { return v >= -(1 << 24) && v <= 1 << 24; };
    return past.lag >= least_ && past.lag <= most_ && past.at < past.lag && past.gain >= 0 && past.gain <= kMostGain &&
           std::all_of(past.samples.begin(), past.samples.end(), sound) &&
           std::all_of(past.period.begin(), past.period.end(), sound);
}

void Concealment::heard(std::span<const int32_t> block, Past& past) const {
    std::copy(past.samples.begin() + static_cast<ptrdiff_t>(block.size()), past.samples.end(), past.samples.begin());
    std::copy(block.begin(), block.end(), past.samples.end() - static_cast<ptrdiff_t>(block.size()));
}

// Finds the lag and the gain.
void Concealment::begin(std::span<const int32_t> half, Past& past) const {
    uint32_t peak = 0;
    for (const int32_t v : past.samples) peak |= static_cast<uint32_t>(v < 0 ? -v : v);
    for (const int32_t v : half) peak |= static_cast<uint32_t>(v < 0 ? -v : v);
    const int shift = std::max(0, static_cast<int>(std::bit_width(peak)) - kBits);
    std::vector<int32_t> samples(past.samples.size()), wanted(half.size());
    std::transform(past.samples.begin(), past.samples.end(), samples.begin(), [shift](int32_t v) { return v >> shift; });
    std::transform(half.begin(), half.end(), wanted.begin(), [shift](int32_t v) { return v >> shift; });

    std::vector<int32_t> block(layout_.size);
    const int32_t* const middle = block.data() + half.size();
    const int32_t* const end = samples.data() + samples.size();
    int64_t best = -1;
    past.lag = static_cast<uint32_t>(least_);
    past.gain = 0;
    for (size_t lag = least_; lag <= most_; ++lag) {
        repeat(samples, lag, block);
        int64_t mixed = 0, energy = 0;  // of the half that the repetition would give, with what came and alone
        for (size_t k = 0; k < window_.size(); ++k) {
            const int32_t found = (window_[k].sin * *(middle - 1 - static_cast<ptrdiff_t>(k)) - window_[k].cos * middle[k]) >> 15;
            mixed += int64_t{found} * wanted[half.size() - 1 - k];
            energy += int64_t{found} * found;
        }
        int64_t both = kHalfWeight * mixed, all = kHalfWeight * energy;
        for (size_t i = 1; i <= matched_; ++i) {
            const int64_t before = *(end - lag - i);
            both += before * *(end - i);
            all += before * before;
        }
        if (both <= 0) continue;
        const int64_t score = (both >> 4) * (both >> 4) / ((all >> 8) + 1);  // below 2^60
        if (score <= best) continue;
        best = score;
        past.lag = static_cast<uint32_t>(lag);
        past.gain = static_cast<int32_t>(std::clamp<int64_t>((mixed * kUnit) / (energy + 1), kLeastGain, kMostGain));
    }
    past.at = 0;
    std::copy(past.samples.end() - past.lag, past.samples.end(), past.period.begin());
}

void Concealment::run(std::span<const int32_t> half, uint32_t lost, Past& past, std::span<int32_t> frame) const {
    if (lost == 1) begin(half, past);
    // What is left of the gain at the end of each block: .8 after the first frame, and from the seventh on .85 of it a frame.
    using Ends = std::array<int32_t, kMaxTransforms + 1>;
    static constexpr Ends kFirst = {kUnit, 26'214, 26'214}, kHeld = {kUnit, kUnit, kUnit}, kLastHeld = {kUnit, kUnit, 30'211},
                          kFading = {30'211, 27'853, 25'679};
    const Ends& ends = lost == 1 ? kFirst : lost < kHeldFrames ? kHeld : lost == kHeldFrames ? kLastHeld : kFading;
    const auto size = static_cast<int64_t>(layout_.size);
    const size_t played = layout_.frame();
    int64_t from = past.gain;
    for (size_t b = 0; b <= layout_.transforms; ++b) {
        const int64_t to = past.gain * int64_t{ends[b]} >> 15;
        for (int64_t i = 0; i < size; ++i) {
            const size_t n = b * layout_.size + static_cast<size_t>(i);
            const int64_t gain = from + (to - from) * i / size;
            frame[n] = static_cast<int32_t>(gain * past.period[(past.at + n) % past.lag] >> 15);
        }
        from = to;
    }
    past.at = static_cast<uint32_t>((past.at + played) % past.lag);
    past.gain = static_cast<int32_t>(past.gain * int64_t{ends[layout_.transforms - 1]} >> 15);
    if (lost != 1) return;
    // The half that came is exact: with the repetition's other half it gives the block.
    std::array<int32_t, kMaxSize> block;
    std::copy_n(frame.begin(), layout_.size, block.begin());
    whole_.rotate(block.data());
    std::copy(half.begin(), half.end(), block.begin());
    whole_.unrotate(block.data());
    std::copy_n(block.begin(), layout_.size, frame.begin());
}

}  // namespace narrows::audio
