// What the encoder puts into a frame: levels and coefficients, by what they cost under the tables and what they
// spoil. Integers in a fixed order, so that packets are the same everywhere; no decoder depends on it.
#pragma once

#include <array>
#include <cstdint>

#include "audio/analysis.hpp"
#include "audio/layout.hpp"
#include "audio/syntax.hpp"
#include "audio/tables.hpp"

namespace narrows::audio {

// Sets the levels of a spectrum: of the two next to each measured one those that are cheap together. `before` is the
// spectrum of the same channels a frame earlier in the packet, its levels set, or null.
void choose_levels(const AudioTables& tables, const Layout& layout, const Spectrum* before, Spectrum& s);

class Quantizer {
   public:
    Quantizer(const AudioTables& tables, const Layout& layout) noexcept : tables_(&tables), layout_(&layout) {}
    // What a frame holds at these steps, coded behind `history`.
    void run(const Spectrum& s, const Steps& steps, const History& history, Frame& frame);

   private:
    void round(const Spectrum& s, const Steps& steps, size_t channel, Channel& out);

    const AudioTables* tables_;
    const Layout* layout_;
    std::array<std::array<uint32_t, kMaxFrame>, 2> shares_;  // of a step in a coefficient, 1/256
};

}  // namespace narrows::audio
