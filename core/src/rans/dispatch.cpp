#include "rans/kernels.hpp"

namespace narrows {

const Kernels& kernels(Isa isa) noexcept {
    (void)isa;
    return kScalarKernels;
}

}  // namespace narrows
