#include "audio/quantizer.hpp"

#include <algorithm>
#include <span>

namespace narrows::audio {

// kLogistic is a constant: it stands before this is made.
const Prices kPrices = [] {
    Prices prices;
    for (size_t i = 0; i < prices.yes.size(); ++i) {
        const uint32_t one = kLogistic.squash[i];
        prices.yes[i] = static_cast<uint16_t>(price_of(one));
        prices.no[i] = static_cast<uint16_t>(price_of(65'536 - one));
    }
    return prices;
}();

namespace {

// What it is to miss a level by all of 4.5 dB, in bits, of speech and of music; it grows with the square.
constexpr int64_t kSpeechLevelWorth = 10, kMusicLevelWorth = 4;
constexpr size_t kPaths = 4;  // ways through the levels of a frame that are followed at once
// From this share of a step on a magnitude that no price is asked for is rounded up to 2 and above, 1/2^16.
constexpr uint64_t kRounding = 28'836;  // 2^16 (1 - .56)

// Sums the prices of decisions, 1/256 bit.
class Pricing {
   public:
    static constexpr bool kDecodes = false;
    bool decide(const EnvelopeEntries& entries, size_t decision, bool value) {
        const auto place = static_cast<size_t>(std::clamp(entries.logit(decision), -kLogitMax, kLogitMax) + kSquashMax);
        price_ += value ? kPrices.yes[place] : kPrices.no[place];
        return value;
    }
    int64_t price() const noexcept { return price_; }

   private:
    int64_t price_ = 0;
};

// Levels of the bands so far, and their price and error.
struct Path {
    std::array<uint8_t, kMaxBands> level{};
    int64_t sum;
};

}  // namespace

void choose_levels(const AudioTables& tables, const Layout& layout, const Spectrum* before, Spectrum& s) {
    const int64_t worth = layout.splits ? kMusicLevelWorth : kSpeechLevelWorth;
    for (size_t channel = 0; channel < s.channels; ++channel) {
        std::array<Path, kPaths> paths;  // the cheapest so far first
        std::array<Path, 2 * kPaths> longer;
        size_t count = 1;
        paths[0].sum = 0;
        for (size_t b = 0; b < layout.bands; ++b) {
            const int log = s.log[channel][b], nearest = nearest_level(log);
            const int beside = nearest + (log > level_log(static_cast<uint32_t>(nearest)) ? 1 : -1);
            const bool both = nearest > 0 && beside > 0 && beside < static_cast<int>(kLevels);
            size_t made = 0;
            for (const Path& path : std::span(paths).first(count)) {
                const LevelContext context = level_context(tables, layout, path.level.data(), channel ? s.level[0].data() : nullptr,
                                                           before ? before->level[channel].data() : nullptr, b);
                for (const int level : {nearest, beside}) {
                    if (level == beside && !both) break;
                    Pricing pricing;
                    (void)code_level(pricing, context.entries, context.predicted, level);
                    const int64_t miss = nearest ? level_log(static_cast<uint32_t>(level)) - log : 0;
                    const int64_t sum = path.sum + pricing.price() + worth * 256 * miss * miss / (kLevelLog * kLevelLog);
                    size_t at = made++;
                    for (; at > 0 && longer[at - 1].sum > sum; --at) longer[at] = longer[at - 1];
                    longer[at] = path;
                    longer[at].level[b] = static_cast<uint8_t>(level);
                    longer[at].sum = sum;
                }
            }
            count = 0;
            for (const Path& path : std::span(longer).first(made)) {
                // What comes looks at three levels: of paths that share them the cheapest stays.
                const auto same = [&](const Path& kept) {
                    const size_t seen = std::min<size_t>(b + 1, 3);
                    return std::equal(path.level.begin() + static_cast<ptrdiff_t>(b + 1 - seen), path.level.begin() + static_cast<ptrdiff_t>(b + 1),
                                      kept.level.begin() + static_cast<ptrdiff_t>(b + 1 - seen));
                };
                if (count < kPaths && std::none_of(paths.begin(), paths.begin() + static_cast<ptrdiff_t>(count), same)) paths[count++] = path;
            }
        }
        s.level[channel] = paths[0].level;
    }
}

void round_to(const Layout& layout, const Spectrum& s, const Steps& steps, Frame& frame, Shares& shares) {
    frame.channels = s.channels;
    frame.transient = s.transient;
    frame.silent = s.silent();
    frame.stereo = s.stereo;
    for (size_t channel = 0; channel < s.channels; ++channel) {
        Channel& out = frame.channel[channel];
        out.level = s.level[channel];
        for (size_t b = 0; b < layout.bands; ++b) {
            const int log = steps.log_of(b, out.level[b]);
            const bool holds = out.level[b] && can_hold(level_log(out.level[b]) - log, layout.width(b) * layout.transforms);
            // |c| 16 / step_16 as a product; |c| < 2^30, step_16 >= 2^10.
            const uint64_t inverse = (uint64_t{1} << 36) / exp2_16(static_cast<uint32_t>(log));
            for (size_t t = 0; t < layout.transforms; ++t) {
                for (size_t i = t * layout.size + layout.edges[b]; i < t * layout.size + layout.edges[b + 1]; ++i) {
                    const int32_t c = s.c[channel][i];
                    const uint64_t share = static_cast<uint64_t>(c < 0 ? -int64_t{c} : c) * inverse;  // 1/2^32 step
                    uint64_t q = 0;
                    if (holds && share >> 31) q = std::max<uint64_t>((share + (kRounding << 16)) >> 32, 1);
                    const auto magnitude = static_cast<int32_t>(std::min<uint64_t>(q, kMaxQuantized));
                    out.q[i] = c < 0 ? -magnitude : magnitude;
                    shares[channel][i] = static_cast<uint32_t>(std::min<uint64_t>(share >> 24, 1u << 24));
                }
            }
        }
    }
}

}  // namespace narrows::audio
