// MDCT with full overlap in fixed point, as rotations about the middle of each block and a DCT-IV (Malvar 1992).
//
// `Lapped` splits a stream into blocks of n samples. The middle of each block is a boundary between two
// transforms: `rotate` mixes the samples on its two sides, the left half then belongs to the transform that ends
// there, the right half to the one that begins. A transform is the right half of the last block and the left
// half of this one, through the DCT-IV. All steps are orthonormal, so energy is kept and rounding is about a
// unit; every step is int32 with int64 products, the same on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "narrows/fixed_point.hpp"

namespace narrows {

class Mdct {
   public:
    static constexpr size_t kMaxSize = 960;
    // n = 2 m for m of factors 2, 3, 4, 5, 7, up to kMaxSize: else null. Tables are made once a process.
    [[nodiscard]] static std::shared_ptr<const Mdct> of(size_t n);

    size_t size() const noexcept { return n_; }
    // Mixes the halves of a block of n samples; `unrotate` is its inverse.
    void rotate(int32_t* block) const noexcept;
    void unrotate(int32_t* block) const noexcept;
    // Orthonormal DCT-IV of n values in place; its own inverse. The root of the sum of squares is at most 2^29.
    void dct4(int32_t* values) const noexcept;

   private:
    friend struct MdctTables;
    struct Stage {
        size_t radix, rest;                     // rest: points that earlier stages have joined
        std::vector<int32_t> cosines, sines;    // twiddles [radix - 1][rest]; none where rest is 1
        std::vector<int32_t> constants;         // of the butterfly, scaled by 1/sqrt(radix)
    };

    size_t n_ = 0;
    std::vector<SinCos> window_;   // n / 2 rotations
    std::vector<SinCos> turn_;     // n / 2 angles pi (8 k + 1) / (8 n)
    std::vector<uint16_t> order_;  // which point begins at each place
    std::vector<Stage> stages_;
};

}  // namespace narrows
