#include <cstring>

#include "context/interleave.hpp"
#include "wave/bands.hpp"

namespace narrows::wave {

void Inputs::build(const Surroundings& s, int y, const uint8_t* step_feature) {
    const size_t w = width_;
    uint8_t* free = scratch_.data();
    const auto take = [&] {
        uint8_t* at = free;
        free += stride_;
        return at;
    };
    const uint8_t* n = row_of(s.self, y - 1, s.begin, s.end);
    const uint8_t* nn = row_of(s.self, y - 2, s.begin, s.end);
    const uint8_t** in = input_;
    *in++ = n;
    *in++ = n - 1;
    *in++ = n + 1;
    *in++ = nn;
    *in++ = n - 2;
    *in++ = n + 2;
    *in++ = nn - 1;
    *in++ = nn + 1;

    // A coefficient's parent covers it and three others; the near neighbors of the parent lie on its own side.
    if (s.parent) {
        const Band& p = *s.parent;
        const int last = p.first + p.height;
        const uint8_t* here = row_of(&p, y >> 1, p.first, last);
        const uint8_t* near = row_of(&p, (y >> 1) + (y & 1 ? 1 : -1), p.first, last);
        const uint8_t* far = row_of(&p, (y >> 1) + (y & 1 ? -1 : 1), p.first, last);
        uint8_t *center = take(), *near_x = take(), *near_y = take(), *near_xy = take(), *far_x = take(), *far_y = take();
        const size_t half = std::min((w + 1) / 2, static_cast<size_t>(p.width) + 1);
        for (size_t i = 0; i < half; ++i) {
            const size_t at = 2 * i;
            center[at] = center[at + 1] = here[i];
            near_x[at] = far_x[at + 1] = here[static_cast<ptrdiff_t>(i) - 1];
            near_x[at + 1] = far_x[at] = here[i + 1];
            near_y[at] = near_y[at + 1] = near[i];
            near_xy[at] = near[static_cast<ptrdiff_t>(i) - 1];
            near_xy[at + 1] = near[i + 1];
            far_y[at] = far_y[at + 1] = far[i];
        }
        for (uint8_t* each : {center, near_x, near_y, near_xy, far_x, far_y}) *in++ = each;
    } else {
        for (int i = 0; i < 6; ++i) *in++ = zeros_.data();
    }
    if (s.grandparent) {
        const Band& g = *s.grandparent;
        const uint8_t* row = row_of(&g, y >> 2, g.first, g.first + g.height);
        uint8_t* wide = take();
        for (size_t x = 0; x < w; ++x) wide[x] = row[x >> 2];
        *in++ = wide;
    } else {
        *in++ = zeros_.data();
    }

    for (const Band* other : {s.sibling[0], s.sibling[1], s.channel[0], s.channel[1]}) {
        if (!other) {
            for (int i = 0; i < 6; ++i) *in++ = zeros_.data();
            continue;
        }
        // A sibling may be one row or column short; its margin reads as zero.
        const int last = std::min(s.end, other->first + other->height);
        const uint8_t* c = row_of(other, y, s.begin, last);
        const uint8_t* up = row_of(other, y - 1, s.begin, last);
        const uint8_t* down = row_of(other, y + 1, s.begin, last);
        uint8_t* diagonal = take();
        for (size_t x = 0; x < w; ++x) {
            const ptrdiff_t i = static_cast<ptrdiff_t>(x);
            diagonal[x] = static_cast<uint8_t>((up[i - 1] + up[i + 1] + down[i - 1] + down[i + 1] + 2) >> 2);
        }
        *in++ = c;
        *in++ = c + 1;
        *in++ = c - 1;
        *in++ = up;
        *in++ = down;
        *in++ = diagonal;
    }
    *in++ = step_feature;
    interleave();
}

// groups[g][x] = the four inputs of group g at x, lowest first. Margins hold what is read beyond a row.
void Inputs::interleave() {
    uint32_t* any = groups_.data() + stride_ * kGroups;
    for (int g = 0; g < kGroups; ++g) {
        uint32_t* out = groups_.data() + static_cast<size_t>(g) * stride_;
        narrows::interleave(input_ + 4 * g, width_, out);
        const uint32_t mask = g == kGroups - 1 ? 0x00FFFFFFu : 0xFFFFFFFFu;
        for (size_t x = 0; x < width_; ++x) any[x] = (g ? any[x] : 0) | (out[x] & mask);
    }
}

}  // namespace narrows::wave
