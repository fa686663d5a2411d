#include "audio/layout.hpp"

namespace narrows::audio {

namespace {

Layout make(size_t size, size_t transforms, size_t splits, std::span<const uint16_t> edges) {
    Layout l{};
    l.size = size;
    l.transforms = transforms;
    l.splits = splits;
    while (l.bands + 1 < edges.size() && edges[l.bands] < size) {
        ++l.bands;
        l.edges[l.bands] = static_cast<uint16_t>(std::min<size_t>(edges[l.bands], size));
    }
    for (size_t band = 0; band < l.bands; ++band) {
        for (size_t i = l.edges[band]; i < l.edges[band + 1]; ++i) l.third[i] = static_cast<uint8_t>(3 * (i - l.edges[band]) / l.width(band));
    }
    for (size_t i = 0; i < size; ++i) {
        // Twice the centers, so that they are integers.
        const auto center = [&](size_t band) { return static_cast<int>(l.edges[band]) + l.edges[band + 1] - 1; };
        size_t band = 0;
        while (band + 2 < l.bands && center(band + 1) <= static_cast<int>(2 * i)) ++band;
        const int low = center(band), high = center(band + 1);
        l.below[i] = static_cast<uint8_t>(band);
        l.weight[i] = static_cast<uint8_t>(std::clamp((static_cast<int>(2 * i) - low) * 256 / (high - low), 0, 255));
    }
    return l;
}

}  // namespace

const Layout& layout_of(uint32_t rate_hz) noexcept {
    static const Layout narrow = make(160, 2, 0, std::span(kSpeechEdges).first(17));
    static const Layout wide = make(240, 2, 0, kSpeechEdges);
    static const Layout compact_disc = make(882, 1, 7, kMusicEdges);
    static const Layout full = make(960, 1, 8, kMusicEdges);
    switch (rate_hz) {
        case 16'000: return narrow;
        case 24'000: return wide;
        case 44'100: return compact_disc;
        default: return full;
    }
}

}  // namespace narrows::audio
