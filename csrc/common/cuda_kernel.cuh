// What every CUDA kernel source includes instead of the CUDA and PyTorch headers, so that the same
// source also compiles into the CPU emulation of tests/csrc (SEGSUITE_CUDA_EMULATION), launches
// included.
#pragma once

#include <cstdint>

#ifdef SEGSUITE_CUDA_EMULATION

#include "cuda_emulation.h"

#else

#include <cuda_runtime.h>

// SEGSUITE_LAUNCH((kernel<float, 4>), grid, block, shared_bytes, stream, arguments...)
#define SEGSUITE_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  SEGSUITE_UNWRAP kernel<<<grid, block, shared_bytes, stream>>>(__VA_ARGS__)
#define SEGSUITE_UNWRAP(...) __VA_ARGS__

// The dynamic shared memory of the block, as an array of T. One kernel, one T.
#define SEGSUITE_DYNAMIC_SHARED(T, name)                            \
  extern __shared__ __align__(16) unsigned char segsuite_shared[]; \
  T* name = reinterpret_cast<T*>(segsuite_shared)

namespace segsuite {

// Loads and stores of global memory. Kernels use them so that the emulation can count what a warp moves.
template <typename T>
__device__ __forceinline__ T load_global(const T* from) {
  return *from;
}
template <typename T>
__device__ __forceinline__ void store_global(T* to, const T& value) {
  *to = value;
}

}  // namespace segsuite

#endif

namespace segsuite {

// Values that one instruction loads or stores.
template <typename S, int n>
struct alignas(n * sizeof(S)) Vector {
  S values[n];
};

template <typename T>
__host__ __device__ constexpr T ceil_div(T a, T b) {
  return (a + b - 1) / b;
}

}  // namespace segsuite
