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

// The dynamic shared memory that a block of this kernel can have on the current device.
template <typename... Arguments>
int most_shared_bytes(void (*kernel)(Arguments...)) {
  int device = 0, most = 0;
  cudaFuncAttributes attributes{};
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel));
  return most - static_cast<int>(attributes.sharedSizeBytes);
}

// The blocks that run at once on the current device. Allows the kernel that much shared memory:
// over 48 KiB a launch fails without.
template <typename... Arguments>
int64_t resident_blocks(void (*kernel)(Arguments...), int threads, int shared_bytes) {
  int device = 0, multiprocessors = 0, blocks = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
  cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, threads, shared_bytes);
  return static_cast<int64_t>(multiprocessors) * (blocks > 0 ? blocks : 1);
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
