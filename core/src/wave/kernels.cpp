#include "narrows/cpu.hpp"
#include "wave/model.hpp"

namespace narrows::wave {

void first_layer_scalar(const uint32_t*, size_t, size_t, const Net&, const int32_t*, int32_t*);
int table_scalar(const int32_t*, uint32_t, const Net&);
#if defined(__x86_64__)
void first_layer_avx2(const uint32_t*, size_t, size_t, const Net&, const int32_t*, int32_t*);
int table_avx2(const int32_t*, uint32_t, const Net&);
#endif

const Kernels& kernels() noexcept {
    static constexpr Kernels scalar{first_layer_scalar, table_scalar};
#if defined(__x86_64__)
    static constexpr Kernels avx2{first_layer_avx2, table_avx2};
    if (current_isa() == Isa::avx2 || current_isa() == Isa::avx512) return avx2;
#endif
    return scalar;
}

}  // namespace narrows::wave
