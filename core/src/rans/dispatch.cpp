#include "rans/kernels.hpp"

namespace narrows {

const Kernels& kernels(Isa isa) noexcept {
#if defined(__x86_64__)
    if (isa == Isa::avx512) return kAvx512Kernels;
    if (isa == Isa::avx2) return kAvx2Kernels;
#elif defined(__aarch64__)
    if (isa == Isa::neon) return kNeonKernels;
#endif
    (void)isa;
    return kScalarKernels;
}

}  // namespace narrows
