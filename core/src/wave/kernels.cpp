#include "narrows/cpu.hpp"
#include "wave/model.hpp"

namespace narrows::wave {

#define NARROWS_WAVE_KERNELS(isa)                                                                             \
    void first_layer_##isa(const uint32_t*, size_t, size_t, const Net&, const int32_t*, int32_t*);           \
    int table_##isa(const int32_t*, uint32_t, const Net&);
NARROWS_WAVE_KERNELS(scalar)
#if defined(__x86_64__)
NARROWS_WAVE_KERNELS(avx2)
NARROWS_WAVE_KERNELS(avx512)
#elif defined(__aarch64__)
NARROWS_WAVE_KERNELS(neon)
#endif
#undef NARROWS_WAVE_KERNELS

const Kernels& kernels(Isa isa) noexcept {
    static constexpr Kernels scalar{first_layer_scalar, table_scalar};
#if defined(__x86_64__)
    static constexpr Kernels avx2{first_layer_avx2, table_avx2}, avx512{first_layer_avx512, table_avx512};
    if (isa == Isa::avx2) return avx2;
    if (isa == Isa::avx512) return avx512;
#elif defined(__aarch64__)
    static constexpr Kernels neon{first_layer_neon, table_neon};
    if (isa == Isa::neon) return neon;
#endif
    return scalar;
}

}  // namespace narrows::wave
