#if defined(__AVX2__)
#include "range_loops.hpp"

namespace narrows {

AdaptiveLoops<uint8_t> adaptive_loops_avx2(uint8_t) noexcept { return {put_loop<uint8_t>, get_loop<uint8_t>}; }
AdaptiveLoops<uint16_t> adaptive_loops_avx2(uint16_t) noexcept { return {put_loop<uint16_t>, get_loop<uint16_t>}; }

}  // namespace narrows
#endif
