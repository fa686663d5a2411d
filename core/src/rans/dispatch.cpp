#include "rans/kernels.hpp"

namespace narrows {

const Kernels& kernels(Isa isa) noexcept {
#if defined(__x86_64__)
    // A machine with AVX-512 has AVX2.
    if (isa == Isa::avx2 || isa == Isa::avx512) return kAvx2Kernels;
#endif
    (void)isa;
    return kScalarKernels;
}

}  // namespace narrows
