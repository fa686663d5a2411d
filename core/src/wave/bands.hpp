// Where the symbols of one subband lie, and the neighborhood that a row of it is coded in.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "wave/model.hpp"

namespace narrows::wave {

enum Orientation { kHL = 0, kLH = 1, kHH = 2, kLL = 3 };

// Rows [first, first + height) of a subband: symbols, and their magnitudes with a margin of zeros.
struct Band {
    static constexpr int kMargin = 8;
    int width = 0, height = 0, first = 0;
    size_t stride = 0;  // of magnitudes
    std::vector<int32_t> q;
    std::vector<uint8_t> m;

    void reset(int w, int h, int first_row) {
        width = w;
        height = h;
        first = first_row;
        stride = static_cast<size_t>(w) + 2 * kMargin;
        q.assign(static_cast<size_t>(w) * static_cast<size_t>(h), 0);
        m.assign(stride * static_cast<size_t>(h) + 64, 0);
    }
    int32_t* row(int y) { return q.data() + static_cast<size_t>(y - first) * static_cast<size_t>(width); }
    const int32_t* row(int y) const { return q.data() + static_cast<size_t>(y - first) * static_cast<size_t>(width); }
    uint8_t* magnitudes(int y) { return m.data() + static_cast<size_t>(y - first) * stride + kMargin; }
    const uint8_t* magnitudes(int y) const { return m.data() + static_cast<size_t>(y - first) * stride + kMargin; }
};

// What one band's chunk is coded in. Bands of the same level are seen only within rows [begin, end): a chunk
// does not depend on its neighbors. Coarser levels are whole.
struct Surroundings {
    Band* self = nullptr;
    const Band* sibling[2] = {nullptr, nullptr};
    const Band* channel[2] = {nullptr, nullptr};
    const Band* parent = nullptr;
    const Band* grandparent = nullptr;
    int begin = 0, end = 0;
    int net = 0;
    int level = 1;  // 1 is the finest
};

// Builds, row by row, the 40 inputs that are known before a row begins.
class Inputs {
   public:
    explicit Inputs(int width)
        : zeros_(static_cast<size_t>(width) + 64, 0), width_(static_cast<size_t>(width)),
          stride_((static_cast<size_t>(width) + 31) & ~size_t{15}), scratch_(stride_ * 16 + 256),
          groups_(stride_ * (kGroups + 1)) {}

    size_t stride() const { return stride_; }
    const uint32_t* groups() const { return groups_.data(); }
    // Not zero where any input but the step's feature is.
    const uint32_t* any() const { return groups_.data() + stride_ * kGroups; }
    const uint8_t* input(int i) const { return input_[i]; }

    void build(const Surroundings& s, int y, const uint8_t* step_feature);

   private:
    const uint8_t* row_of(const Band* band, int y, int begin, int end) const {
        return band && y >= begin && y < end ? band->magnitudes(y) : zeros_.data() + Band::kMargin;
    }
    void interleave();

    std::vector<uint8_t> zeros_;
    size_t width_, stride_;
    std::vector<uint8_t> scratch_;
    std::vector<uint32_t> groups_;
    const uint8_t* input_[kStaticInputs] = {};
};

}  // namespace narrows::wave
