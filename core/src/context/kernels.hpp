// The inner products of context networks, one variant an instruction set; equal bits. Who calls has checked that no
// sum leaves int32 (ContextModel::make), and pads: inputs in words of four bytes 0..127, outputs to a multiple of 8.
#pragma once

#include <cstddef>
#include <cstdint>

#include "narrows/cpu.hpp"

namespace narrows::context {

struct Kernels {
    // acc[count][num_outputs] = bias + weights [num_groups][num_outputs][4] times groups [num_groups][stride].
    void (*rows)(const uint32_t* groups, size_t stride, size_t count, size_t num_groups, const int8_t* weights,
                 const int32_t* bias, size_t num_outputs, int32_t* acc);
    // out = clamp(((start + weights groups) multiplier + 2^(shift - 1)) >> shift, 0, 127).
    void (*hidden)(const uint32_t* groups, size_t num_groups, const int8_t* weights, const int32_t* start,
                   const int32_t* multiplier, uint32_t shift, size_t num_outputs, uint8_t* out);
    // The same without the clamp.
    void (*last)(const uint32_t* groups, size_t num_groups, const int8_t* weights, const int32_t* start,
                 const int32_t* multiplier, uint32_t shift, size_t num_outputs, int32_t* out);
};
[[nodiscard]] const Kernels& kernels(Isa isa) noexcept;

}  // namespace narrows::context
