// What the CUDA kernels of RoIAlign share: tensors, RoIs and the weights of pixels.
//
// RoIs that cannot be pooled (an image that is not there, a negative or infinite size) pool to NaN
// and have no gradient: the host does not wait to look at them.
#pragma once

#include "common/cuda_kernel.cuh"
#include "common/roi_align.h"

namespace segsuite {

constexpr int kMaxLevels = 8;
constexpr int kRoiThreads = 256;
constexpr int kRoiWarps = kRoiThreads / 32;

// A tensor (N, C, H, W), or (R, C, PH, PW), of any strides.
template <typename S>
struct View4 {
  S* data;
  int64_t strides[4];

  __host__ __device__ S* at(int64_t n, int64_t c, int64_t y, int64_t x) const {
    return data + n * strides[0] + c * strides[1] + y * strides[2] + x * strides[3];
  }
  __host__ __device__ bool channels_adjacent() const { return strides[1] == 1; }

  // Whether every pixel has its channels in whole, aligned vectors of `n`.
  bool has_vectors_of(int n, int32_t channels) const {
    return channels_adjacent() && channels % n == 0 && strides[0] % n == 0 && strides[2] % n == 0 &&
           strides[3] % n == 0 && reinterpret_cast<uintptr_t>(data) % (n * sizeof(S)) == 0;
  }
};

struct MapLevel {
  int32_t height, width;
  double scale;
};

struct RoiPyramid {
  MapLevel levels[kMaxLevels];
  int32_t images, channels;
  RoiLevels assignment;
};

template <typename S>
struct MapPyramid : RoiPyramid {
  View4<S> maps[kMaxLevels];

  template <typename F>
  bool all_maps(const F& f) const {
    for (int32_t i = 0; i < assignment.count; ++i)
      if (!f(maps[i])) return false;
    return true;
  }
};

template <typename T>
struct RoiList {
  const T* data;  // (R, 5) contiguous
  int32_t count;
  RoiAlignOptions options;
};

// One RoI; its level is negative if it cannot be pooled.
template <typename T>
struct DeviceRoi {
  int32_t image, level;
  T x1, y1, x2, y2;

  __device__ DeviceRoi(const T* roi, int32_t images, const RoiLevels& assignment)
      : image(-1),
        level(-1),
        x1(load_global(roi + 1)),
        y1(load_global(roi + 2)),
        x2(load_global(roi + 3)),
        y2(load_global(roi + 4)) {
    const T number = load_global(roi);
    if (!can_be_pooled(number, x1, y1, x2, y2, static_cast<T>(images))) return;
    image = static_cast<int32_t>(number);
    level = roi_level(x1, y1, x2, y2, assignment);
  }
  __device__ RoiAxis<T> rows(T scale, const RoiAlignOptions& options) const {
    return RoiAxis<T>(y1, y2, scale, options.pooled_height, options);
  }
  __device__ RoiAxis<T> columns(T scale, const RoiAlignOptions& options) const {
    return RoiAxis<T>(x1, x2, scale, options.pooled_width, options);
  }
};

// The weight of a pixel in a bin, along one axis.
template <typename T>
__device__ T pixel_weight(const RoiAxis<T>& axis, int32_t bin, int32_t pixel, int32_t size) {
  int32_t first, last;
  axis.samples_within(bin, static_cast<T>(pixel - 1), static_cast<T>(pixel + 1), &first, &last);
  T sum = T(0);
#pragma unroll 1  // few samples; registers are wanted elsewhere
  for (int32_t i = first; i < last; ++i) {
    Interpolation<T> at;
    if (!interpolate(axis.sample(bin, i), size, &at)) continue;
    if (at.low == pixel) sum += T(1) - at.high_weight;
    if (at.high == pixel) sum += at.high_weight;
  }
  return axis.samples > 0 ? sum / static_cast<T>(axis.samples) : T(0);
}

// The place of each thread that calls with `chosen` among those of its block, in thread order, and
// their number. All threads call; `warp_counts` is shared, and free again after the next barrier.
struct ChosenThreads {
  int32_t place, count;

  __device__ ChosenThreads(bool chosen, int32_t (&warp_counts)[kRoiWarps]) : count(0) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const unsigned ballot = __ballot_sync(~0u, chosen);
    if (lane == 0) warp_counts[warp] = __popc(ballot);
    __syncthreads();
    place = __popc(ballot & ((1u << lane) - 1));
    for (int w = 0; w < kRoiWarps; ++w) {
      if (w < warp) place += warp_counts[w];
      count += warp_counts[w];
    }
  }
};

}  // namespace segsuite
