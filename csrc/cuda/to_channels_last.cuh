// A copy of (N, C, H, W) tensors in which the channels of a pixel are adjacent.
#pragma once

#include "common/cuda_kernel.cuh"

namespace segsuite {

constexpr int kCopyTile = 64;  // pixels, and channels, of a block
constexpr int kCopyThreads = 256;

template <typename S>
struct ChannelsLastCopy {
  const S* from;
  int64_t strides[4];
  S* to;  // (N, H, W, C) without gaps
  int64_t images;
  int32_t channels, height, width;
};

// Reads rows of pixels, writes rows of channels; a tile is turned in shared memory.
template <typename S>
__global__ void __launch_bounds__(kCopyThreads, 4)
    to_channels_last_kernel(const __grid_constant__ ChannelsLastCopy<S> copy) {
  __shared__ S tile[kCopyTile][kCopyTile + (sizeof(S) < 4 ? 4 / sizeof(S) : 1)];
  constexpr int step = kCopyThreads / kCopyTile;
  const int at = threadIdx.x % kCopyTile, first = threadIdx.x / kCopyTile;
  const int64_t pixels = int64_t{copy.height} * copy.width;
  const int64_t first_pixel = int64_t{blockIdx.x} * kCopyTile;
  const int32_t first_channel = blockIdx.y * kCopyTile;
  const int64_t y = (first_pixel + at) / copy.width, x = (first_pixel + at) % copy.width;
  for (int64_t n = blockIdx.z; n < copy.images; n += gridDim.z) {
    const S* const from =
        copy.from + n * copy.strides[0] + y * copy.strides[2] + x * copy.strides[3];
    S values[kCopyTile / step];
#pragma unroll
    for (int i = 0; i < kCopyTile / step; ++i) {
      const int64_t channel = first_channel + first + i * step;
      if (first_pixel + at < pixels && channel < copy.channels)
        values[i] = load_global(from + channel * copy.strides[1]);
    }
#pragma unroll
    for (int i = 0; i < kCopyTile / step; ++i) tile[first + i * step][at] = values[i];
    __syncthreads();
    const int32_t channel = first_channel + at;
    S* const to = copy.to + (n * pixels + first_pixel) * copy.channels + channel;
#pragma unroll 4
    for (int pixel = first; pixel < kCopyTile; pixel += step)
      if (first_pixel + pixel < pixels && channel < copy.channels)
        store_global(to + int64_t{pixel} * copy.channels, tile[at][pixel]);
    __syncthreads();
  }
}

template <typename S>
void launch_to_channels_last(const ChannelsLastCopy<S>& copy, cudaStream_t stream) {
  const int64_t pixels = int64_t{copy.height} * copy.width;
  const dim3 grid(static_cast<unsigned>(ceil_div<int64_t>(pixels, kCopyTile)),
                  ceil_div(copy.channels, kCopyTile), static_cast<unsigned>(copy.images < 65535 ? copy.images : 65535));
  SEGSUITE_LAUNCH((to_channels_last_kernel<S>), grid, dim3(kCopyThreads), 0, stream, copy);
}

}  // namespace segsuite
