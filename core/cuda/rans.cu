// The launches of rANS on a device: a warp a chunk. All they do is in rans/warp_*.hpp, which the host runs too.
#include "rans/warp_decode.hpp"
#include "rans/warp_encode.hpp"

using namespace narrows;

namespace {

__device__ uint64_t first_warp() { return (uint64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 32; }
__device__ uint64_t num_warps() { return uint64_t{gridDim.x} * blockDim.x / 32; }

// The bucket tables, copied to shared memory if the launch gave any.
__device__ const uint64_t* staged_buckets(const WarpTables& tables) {
    extern __shared__ uint64_t staged[];
    uint32_t shared_bytes;
    asm("mov.u32 %0, %%dynamic_smem_size;" : "=r"(shared_bytes));
    if (shared_bytes == 0) return tables.buckets;
    for (uint32_t i = threadIdx.x; i < shared_bytes / 8; i += blockDim.x) staged[i] = tables.buckets[i];
    __syncthreads();
    return staged;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(512) narrows_plan(const __grid_constant__ EncodeLaunch launch) {
    for (uint64_t i = first_warp(); i < launch.num_tensors; i += num_warps()) plan_chunks(Warp{}, launch, i);
}

extern "C" __global__ void __launch_bounds__(512, 2) narrows_encode(const __grid_constant__ EncodeLaunch launch) {
    for (uint64_t i = first_warp(); i < launch.num_chunks; i += num_warps()) encode_chunk(Warp{}, launch, i);
}

extern "C" __global__ void __launch_bounds__(512) narrows_gather(const __grid_constant__ EncodeLaunch launch) {
    for (uint64_t i = first_warp(); i < launch.num_chunks; i += num_warps()) gather_chunk(Warp{}, launch, i);
}

extern "C" __global__ void __launch_bounds__(512) narrows_decode(const __grid_constant__ DecodeLaunch launch) {
    const uint64_t* buckets = staged_buckets(launch.tables);
    for (uint64_t i = first_warp(); i < launch.num_segments; i += num_warps())
        decode_segment<false>(Warp{}, launch, i, buckets);
}

extern "C" __global__ void __launch_bounds__(512) narrows_decode_split(const __grid_constant__ DecodeLaunch launch) {
    const uint64_t* buckets = staged_buckets(launch.tables);
    for (uint64_t i = first_warp(); i < launch.num_segments; i += num_warps())
        decode_segment<true>(Warp{}, launch, i, buckets);
}

extern "C" __global__ void __launch_bounds__(512) narrows_decode_side(const __grid_constant__ DecodeLaunch launch) {
    for (uint64_t i = first_warp(); i < launch.num_segments; i += num_warps()) decode_side(Warp{}, launch, i);
}
