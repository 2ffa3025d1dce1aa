// The epilogue of convolutions: memory is all that it costs, so loads and stores have 16 bytes where
// the layout allows, and nothing is read twice.
#pragma once

#include "common/conv_epilogue.h"
#include "common/cuda_kernel.cuh"

namespace segsuite {

constexpr int kEpilogueThreads = 256;
constexpr int kEpilogueBatch = 2;  // vectors that a thread loads before it stores any
// Blocks along the axes of a grid: enough to fill any GPU.
constexpr int64_t kMostEpilogueColumns = 1 << 12;
constexpr int64_t kMostEpilogueRows = 1 << 10;

template <typename S, int V>
__device__ __forceinline__ Vector<S, V> load_vector(const S* from) {
  return load_global(reinterpret_cast<const Vector<S, V>*>(from));
}

template <typename S, int V, typename Sum = typename ConvEpilogue<S>::Sum>
__device__ __forceinline__ void store_sum(const Sum* sum, Sum least, S* to) {
  Vector<S, V> result;
#pragma unroll
  for (int k = 0; k < V; ++k)
    result.values[k] = static_cast<S>(sum[k] < least ? least : sum[k]);
  store_global(reinterpret_cast<Vector<S, V>*>(to), result);
}

// `planes` of `length` values, each with one bias; or one plane of all values, whose channels are
// adjacent and of which the threads of the grid hold a whole number of pixels, so that a thread
// meets the same channels in all of its vectors. (Without bias, one plane of all values.)
template <typename S, int V>
__global__ void __launch_bounds__(kEpilogueThreads, 3)
    conv_epilogue_kernel(const __grid_constant__ ConvEpilogue<S> e, int64_t planes,
                         int64_t length) {
  using Sum = typename ConvEpilogue<S>::Sum;
  const int64_t vectors = length / V;
  const int64_t first = int64_t{blockIdx.x} * kEpilogueThreads + threadIdx.x;
  const int64_t step = int64_t{gridDim.x} * kEpilogueThreads;
  for (int64_t plane = blockIdx.y; plane < planes; plane += gridDim.y) {
    Sum bias[V];
#pragma unroll
    for (int k = 0; k < V; ++k) {
      bias[k] = 0;
      if (e.bias != nullptr && first < vectors)
        bias[k] = load_global(e.bias +
                              (e.channels_last ? (first * V) % e.channels + k : plane % e.channels));
    }
    S* const x = e.x + plane * length;
    const S* const residual = e.residual + plane * length;
    for (int64_t i = first; i < vectors; i += kEpilogueBatch * step) {
      Vector<S, V> own[kEpilogueBatch], other[kEpilogueBatch];
#pragma unroll
      for (int b = 0; b < kEpilogueBatch; ++b) {
        const int64_t at = (i + b * step) * V;
        if (at < length) {
          own[b] = load_vector<S, V>(x + at);
          if (e.residual != nullptr) other[b] = load_vector<S, V>(residual + at);
        }
      }
#pragma unroll
      for (int b = 0; b < kEpilogueBatch; ++b) {
        const int64_t at = (i + b * step) * V;
        if (at >= length) break;
        Sum sum[V];
#pragma unroll
        for (int k = 0; k < V; ++k) {
          sum[k] = static_cast<Sum>(own[b].values[k]) + bias[k];
          if (e.residual != nullptr) sum[k] += static_cast<Sum>(other[b].values[k]);
        }
        store_sum<S, V>(sum, e.least(), x + at);
      }
    }
  }
}

// With a residual that is upsampled. A plane is an image whose channels are adjacent, or a channel;
// V divides the channels of a pixel, or is even or one and divides a row. A thread has a vector: the
// four that read the same part of the residual are close in time and place, so it comes from memory once.
template <typename S, int V>
__global__ void __launch_bounds__(kEpilogueThreads, 4)
    conv_epilogue_upsample_kernel(const __grid_constant__ ConvEpilogue<S> e, int64_t planes,
                                  int64_t length) {
  using Sum = typename ConvEpilogue<S>::Sum;
  // Vectors of a plane, which are fewer than 2^31.
  const uint32_t i = blockIdx.x * kEpilogueThreads + threadIdx.x;
  if (i >= length / V) return;
  const uint32_t per_pixel = e.channels_last ? static_cast<uint32_t>(e.channels / V) : 1;
  const uint32_t width = static_cast<uint32_t>(e.channels_last ? e.width : e.width / V);
  const uint32_t pixel = i / per_pixel, part = i % per_pixel;
  const uint32_t row = pixel / width, column = pixel % width;
  constexpr int half = V == 1 ? 1 : V / 2;
  const int64_t coarse_row = int64_t{row / 2} * (e.width / 2);
  const int64_t coarse = e.channels_last ? (coarse_row + column / 2) * e.channels + part * V
                                         : coarse_row + (V == 1 ? column / 2 : column * half);
  for (int64_t plane = blockIdx.y; plane < planes; plane += gridDim.y) {
    S* const x = e.x + plane * length + int64_t{i} * V;
    const S* const residual = e.residual + plane * (length / 4) + coarse;
    const Vector<S, V> own = load_vector<S, V>(x);
    Sum sum[V];
#pragma unroll
    for (int k = 0; k < V; ++k) {
      sum[k] = static_cast<Sum>(own.values[k]);
      if (e.bias != nullptr)
        sum[k] += load_global(e.bias + (e.channels_last ? part * V + k : plane % e.channels));
    }
    if (e.channels_last) {
      const Vector<S, V> other = load_vector<S, V>(residual);
#pragma unroll
      for (int k = 0; k < V; ++k) sum[k] += static_cast<Sum>(other.values[k]);
    } else {
      const Vector<S, half> other = load_vector<S, half>(residual);
#pragma unroll
      for (int k = 0; k < V; ++k)
        sum[k] += static_cast<Sum>(other.values[V == 1 ? 0 : k / 2]);
    }
    store_sum<S, V>(sum, e.least(), x);
  }
}

// The planes of x for the two kernels.
struct EpiloguePlanes {
  int64_t count, length;
  int64_t multiple;  // of which a vector must not cross the border

  template <typename S>
  explicit EpiloguePlanes(const ConvEpilogue<S>& e) {
    const int64_t area = e.height * e.width, numel = e.images * e.channels * area;
    if (e.upsample)
      count = e.channels_last ? e.images : e.images * e.channels;
    else
      count = e.channels_last || e.bias == nullptr ? 1 : e.images * e.channels;
    length = numel / count;
    multiple = length;
    if (e.channels_last && (e.upsample || e.bias != nullptr)) multiple = e.channels;
    if (!e.channels_last && e.upsample) multiple = e.width;
  }
};

template <typename S, int V>
void launch_conv_epilogue_by_vectors(const ConvEpilogue<S>& e, const EpiloguePlanes& planes,
                                     cudaStream_t stream) {
  const int64_t vectors = planes.length / V;
  const int64_t rows = planes.count < kMostEpilogueRows ? planes.count : kMostEpilogueRows;
  if (e.upsample) {
    const dim3 grid(static_cast<unsigned>(ceil_div<int64_t>(vectors, kEpilogueThreads)),
                    static_cast<unsigned>(rows));
    SEGSUITE_LAUNCH((conv_epilogue_upsample_kernel<S, V>), grid, dim3(kEpilogueThreads), 0, stream,
                    e, planes.count, planes.length);
    return;
  }
  int64_t blocks = ceil_div<int64_t>(vectors, kEpilogueThreads * kEpilogueBatch);
  if (blocks > kMostEpilogueColumns) blocks = kMostEpilogueColumns;
  if (e.channels_last && e.bias != nullptr) {
    // The fewest blocks whose threads hold whole pixels.
    int64_t unit = e.channels / V;
    for (int two = 0; two < 8 && unit % 2 == 0; ++two) unit /= 2;  // of 256 threads
    blocks = ceil_div(blocks, unit) * unit;
  }
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(rows));
  SEGSUITE_LAUNCH((conv_epilogue_kernel<S, V>), grid, dim3(kEpilogueThreads), 0, stream, e,
                  planes.count, planes.length);
}

// The widest vectors that the layout and the addresses allow.
template <typename S, int V = 16 / sizeof(S)>
void launch_conv_epilogue(const ConvEpilogue<S>& e, cudaStream_t stream) {
  const EpiloguePlanes planes(e);
  if constexpr (V > 1) {
    const auto address = reinterpret_cast<uintptr_t>(e.x) | reinterpret_cast<uintptr_t>(e.residual);
    if (planes.multiple % V != 0 || address % (V * sizeof(S)) != 0)
      return launch_conv_epilogue<S, V / 2>(e, stream);
  }
  launch_conv_epilogue_by_vectors<S, V>(e, planes, stream);
}

}  // namespace segsuite
