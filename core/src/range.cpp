#include "narrows/range.hpp"

#include <new>

namespace narrows {

uint8_t* RangeEncoder::grown(uint8_t* block, size_t capacity) {
    auto* const larger = static_cast<uint8_t*>(std::realloc(block, capacity));
    if (!larger) throw std::bad_alloc();
    if (!block) larger[0] = 0;
    return larger;
}

}  // namespace narrows
