#include "narrows/png.hpp"

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace narrows {
namespace {

constexpr int kFilters = 5;

inline uint8_t paeth(int left, int up, int corner) {
    const int estimate = left + up - corner;
    const int to_left = std::abs(estimate - left);
    const int to_up = std::abs(estimate - up);
    const int to_corner = std::abs(estimate - corner);
    if (to_left <= to_up && to_left <= to_corner) return static_cast<uint8_t>(left);
    return static_cast<uint8_t>(to_up <= to_corner ? up : corner);
}

inline uint8_t predict(int filter, uint8_t left, uint8_t up, uint8_t corner) {
    switch (filter) {
        case 1: return left;
        case 2: return up;
        case 3: return static_cast<uint8_t>((left + up) >> 1);
        case 4: return paeth(left, up, corner);
        default: return 0;
    }
}

// The filter is a template argument so that each loop is a plain one. Spans were checked by the callers.
template <int filter>
void unfilter_row(uint8_t* row, const uint8_t* above, size_t bytes, size_t pixel_bytes) {
    for (size_t i = 0; i < pixel_bytes; ++i) row[i] = static_cast<uint8_t>(row[i] + predict(filter, 0, above[i], 0));
    for (size_t i = pixel_bytes; i < bytes; ++i) {
        row[i] = static_cast<uint8_t>(row[i] + predict(filter, row[i - pixel_bytes], above[i], above[i - pixel_bytes]));
    }
}

// Writes the filtered row and returns its sum of absolute differences, bytes taken as signed.
template <int filter>
uint64_t filter_row(const uint8_t* row, const uint8_t* above, size_t bytes, size_t pixel_bytes, uint8_t* out) {
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes; ++i) {
        const uint8_t left = i < pixel_bytes ? uint8_t{0} : row[i - pixel_bytes];
        const uint8_t corner = i < pixel_bytes ? uint8_t{0} : above[i - pixel_bytes];
        out[i] = static_cast<uint8_t>(row[i] - predict(filter, left, above[i], corner));
        sum += out[i] < 128 ? out[i] : 256u - out[i];
    }
    return sum;
}

}  // namespace

Status png_unfilter(std::span<uint8_t> rows, std::span<uint8_t> above, size_t pixel_bytes) {
    const size_t bytes = above.size();
    if (pixel_bytes == 0 || bytes == 0 || bytes % pixel_bytes != 0 || rows.size() % (bytes + 1) != 0) {
        return Status::bad_argument;
    }
    const uint8_t* last = above.data();
    for (size_t at = 0; at < rows.size(); at += bytes + 1) {
        uint8_t* row = rows.data() + at + 1;
        switch (rows[at]) {
            case 0: break;
            case 1: unfilter_row<1>(row, last, bytes, pixel_bytes); break;
            case 2: unfilter_row<2>(row, last, bytes, pixel_bytes); break;
            case 3: unfilter_row<3>(row, last, bytes, pixel_bytes); break;
            case 4: unfilter_row<4>(row, last, bytes, pixel_bytes); break;
            default: return Status::corrupt;
        }
        last = row;
    }
    if (last != above.data()) std::copy(last, last + bytes, above.begin());
    return Status::ok;
}

Status png_filter(std::span<const uint8_t> pixels, std::span<uint8_t> above, size_t pixel_bytes,
                  std::span<uint8_t> rows) {
    const size_t bytes = above.size();
    if (pixel_bytes == 0 || bytes == 0 || bytes % pixel_bytes != 0 || pixels.size() % bytes != 0 ||
        rows.size() != pixels.size() / bytes * (bytes + 1)) {
        return Status::bad_argument;
    }
    std::vector<uint8_t> tried(bytes);
    const uint8_t* last = above.data();
    uint8_t* out = rows.data();
    for (size_t at = 0; at < pixels.size(); at += bytes, out += bytes + 1) {
        const uint8_t* row = pixels.data() + at;
        uint64_t best = UINT64_MAX;
        for (int filter = 0; filter < kFilters; ++filter) {
            uint64_t sum = 0;
            switch (filter) {
                case 0: sum = filter_row<0>(row, last, bytes, pixel_bytes, tried.data()); break;
                case 1: sum = filter_row<1>(row, last, bytes, pixel_bytes, tried.data()); break;
                case 2: sum = filter_row<2>(row, last, bytes, pixel_bytes, tried.data()); break;
                case 3: sum = filter_row<3>(row, last, bytes, pixel_bytes, tried.data()); break;
                default: sum = filter_row<4>(row, last, bytes, pixel_bytes, tried.data()); break;
            }
            if (sum < best) {
                best = sum;
                out[0] = static_cast<uint8_t>(filter);
                std::copy(tried.begin(), tried.end(), out + 1);
            }
        }
        last = row;
    }
    if (last != above.data()) std::copy(last, last + bytes, above.begin());
    return Status::ok;
}

}  // namespace narrows
