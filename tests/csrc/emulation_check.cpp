// Kernels that use what the emulation offers, to test the emulation itself.
#include "common/cuda_kernel.cuh"

namespace {

// Sums n values: shuffles within a warp, shared memory within the block, an atomic across blocks.
__global__ void sum_kernel(const float* x, int n, float* total) {
  __shared__ float warp_sums[32];
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  float value = i < n ? x[i] : 0.f;
  for (int delta = 16; delta > 0; delta /= 2) value += __shfl_down_sync(~0u, value, delta);
  if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = value;
  __syncthreads();
  if (threadIdx.x == 0) {
    float sum = 0.f;
    for (unsigned w = 0; w < blockDim.x / 32; ++w) sum += warp_sums[w];
    atomicAdd(total, sum);
  }
}

__global__ void reverse_kernel(const int* x, int* out) {
  SEGSUITE_DYNAMIC_SHARED(int, tile);
  tile[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

__global__ void ballot_kernel(const int* x, unsigned* out) {
  out[threadIdx.x] = __ballot_sync(~0u, x[threadIdx.x] > 0);
}

// Loads and stores of the elements of a row of 64, `step` apart.
__global__ void copy_kernel(const float* x, float* out, int step) {
  for (int i = 0; i < 2; ++i) {
    const int at = (threadIdx.x + i * blockDim.x) * step;
    store_global(out + at, load_global(x + at));
  }
}

__global__ void divergent_kernel() {
  if (threadIdx.x < 3) __syncthreads();
}

}  // namespace

extern "C" void sum(const float* x, int n, float* total) {
  SEGSUITE_LAUNCH((sum_kernel), dim3(n / 64 + 1), dim3(64), 0, nullptr, x, n, total);
}
extern "C" void reverse(const int* x, int n, int* out) {
  SEGSUITE_LAUNCH((reverse_kernel), dim3(1), dim3(n), n * sizeof(int), nullptr, x, out);
}
extern "C" void ballot(const int* x, unsigned* out) {
  SEGSUITE_LAUNCH((ballot_kernel), dim3(1), dim3(32), 0, nullptr, x, out);
}
extern "C" void copy(const float* x, float* out, int step) {
  SEGSUITE_LAUNCH((copy_kernel), dim3(1), dim3(32), 0, nullptr, x, out, step);
}
extern "C" void divergent() { SEGSUITE_LAUNCH((divergent_kernel), dim3(1), dim3(32), 0, nullptr); }
