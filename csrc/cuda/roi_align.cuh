// RoIAlign over the levels of a pyramid and its gradient: summed by atomics, or in a fixed order.
//
// RoIs that the CPU refuses (an image that is not there, a negative or infinite size) pool to NaN and
// have no gradient: the host does not wait to look at them.
#pragma once

#include "common/cuda_kernel.cuh"
#include "common/roi_align.h"

namespace segsuite {

constexpr int kMaxLevels = 8;
constexpr int kRoiThreads = 256;

// A tensor (N, C, H, W), or (R, C, PH, PW), of any strides.
template <typename S>
struct View4 {
  S* data;
  int64_t strides[4];

  __device__ S& at(int64_t n, int64_t c, int64_t y, int64_t x) const {
    return data[n * strides[0] + c * strides[1] + y * strides[2] + x * strides[3]];
  }
  __device__ bool channels_last() const { return strides[1] == 1; }
};

struct MapLevel {
  int32_t height, width;
  double scale;
};

template <typename S>
struct MapPyramid {
  View4<S> maps[kMaxLevels];
  MapLevel levels[kMaxLevels];
  int32_t images, channels;
  RoiLevels assignment;
};

template <typename T>
struct RoiList {
  const T* data;  // (R, 5) contiguous
  int64_t count;
  RoiAlignOptions options;
};

// One RoI; its level is negative if it is refused.
template <typename T>
struct DeviceRoi {
  int32_t image, level;
  T x1, y1, x2, y2;

  __device__ DeviceRoi(const T* roi, int32_t images, const RoiLevels& assignment)
      : image(-1), level(-1), x1(roi[1]), y1(roi[2]), x2(roi[3]), y2(roi[4]) {
    const T width = x2 - x1, height = y2 - y1, most = T(1e30);
    if (!(roi[0] >= T(0) && roi[0] < static_cast<T>(images))) return;
    if (!(width >= T(0) && width < most && height >= T(0) && height < most)) return;
    image = static_cast<int32_t>(roi[0]);
    level = roi_level(x1, y1, x2, y2, assignment);
  }
};

// One value of a RoI, by its place in memory order.
struct PooledIndex {
  int32_t channel, y, x;

  __device__ PooledIndex(int32_t i, int32_t channels, const RoiAlignOptions& options,
                         bool channels_last) {
    const int32_t bins = options.pooled_height * options.pooled_width;
    channel = channels_last ? i % channels : i / bins;
    const int32_t bin = channels_last ? i / channels : i % bins;
    y = bin / options.pooled_width;
    x = bin % options.pooled_width;
  }
};

// Calls f(y, x, weight) for the pixels that the samples of a bin touch, once for each sample.
template <typename T, typename F>
__device__ __forceinline__ void for_each_pixel(const DeviceRoi<T>& roi, const MapLevel& level,
                                               const RoiAlignOptions& options, int32_t bin_y,
                                               int32_t bin_x, const F& f) {
  const T scale = static_cast<T>(level.scale);
  const RoiAxis<T> rows(roi.y1, roi.y2, scale, options.pooled_height, options);
  const RoiAxis<T> columns(roi.x1, roi.x2, scale, options.pooled_width, options);
  const T share = T(1) / (static_cast<T>(rows.samples) * static_cast<T>(columns.samples));
  int32_t first_y, last_y, first_x, last_x;
  rows.samples_within(bin_y, T(-1), static_cast<T>(level.height), &first_y, &last_y);
  columns.samples_within(bin_x, T(-1), static_cast<T>(level.width), &first_x, &last_x);
  for (int32_t i = first_y; i < last_y; ++i) {
    Interpolation<T> y;
    if (!interpolate(rows.sample(bin_y, i), level.height, &y)) continue;
    for (int32_t j = first_x; j < last_x; ++j) {
      Interpolation<T> x;
      if (!interpolate(columns.sample(bin_x, j), level.width, &x)) continue;
      const T low = (T(1) - y.high_weight) * share, high = y.high_weight * share;
      f(y.low, x.low, low * (T(1) - x.high_weight));
      f(y.low, x.high, low * x.high_weight);
      f(y.high, x.low, high * (T(1) - x.high_weight));
      f(y.high, x.high, high * x.high_weight);
    }
  }
}

// Block (x, y): values from x * kRoiThreads on, of RoI y and every gridDim.y-th after it.
template <typename S, typename T>
__global__ void __launch_bounds__(kRoiThreads)
    roi_align_kernel(const __grid_constant__ MapPyramid<const S> pyramid, RoiList<T> rois,
                     View4<S> out) {
  const int32_t i = static_cast<int32_t>(blockIdx.x * kRoiThreads + threadIdx.x);
  if (i >= pyramid.channels * rois.options.bins()) return;
  const PooledIndex at(i, pyramid.channels, rois.options, out.channels_last());
  for (int64_t r = blockIdx.y; r < rois.count; r += gridDim.y) {
    const DeviceRoi<T> roi(rois.data + r * 5, pyramid.images, pyramid.assignment);
    T sum = T(NAN);
    if (roi.level >= 0) {
      const View4<const S>& map = pyramid.maps[roi.level];
      const S* plane = &map.at(roi.image, at.channel, 0, 0);
      sum = T(0);
      for_each_pixel(roi, pyramid.levels[roi.level], rois.options, at.y, at.x,
                     [&](int32_t y, int32_t x, T weight) {
                       sum += weight * static_cast<T>(plane[y * map.strides[2] + x * map.strides[3]]);
                     });
    }
    out.at(r, at.channel, at.y, at.x) = static_cast<S>(sum);
  }
}

// Adds to the gradients of the maps, which are of the type of the sums. Blocks as above.
template <typename S, typename T>
__global__ void __launch_bounds__(kRoiThreads)
    roi_align_backward_kernel(View4<const S> grad, RoiList<T> rois,
                              const __grid_constant__ MapPyramid<T> pyramid) {
  const int32_t i = static_cast<int32_t>(blockIdx.x * kRoiThreads + threadIdx.x);
  if (i >= pyramid.channels * rois.options.bins()) return;
  const PooledIndex at(i, pyramid.channels, rois.options, grad.channels_last());
  for (int64_t r = blockIdx.y; r < rois.count; r += gridDim.y) {
    const DeviceRoi<T> roi(rois.data + r * 5, pyramid.images, pyramid.assignment);
    if (roi.level < 0) continue;
    const View4<T>& map = pyramid.maps[roi.level];
    T* plane = &map.at(roi.image, at.channel, 0, 0);
    const T value = static_cast<T>(grad.at(r, at.channel, at.y, at.x));
    for_each_pixel(roi, pyramid.levels[roi.level], rois.options, at.y, at.x,
                   [&](int32_t y, int32_t x, T weight) {
                     if (weight != T(0))
                       atomicAdd(plane + y * map.strides[2] + x * map.strides[3], weight * value);
                   });
  }
}

// What the deterministic kernel works on: a tile of pixels a block, a pixel a thread, and some
// channels in registers.
constexpr int kTileWidth = 32;
constexpr int kTileHeight = 8;
constexpr int kTileChannels = 8;
constexpr int kMaxChannels = 65535 * kTileChannels;  // the grid's second side

// The bins of an axis whose samples can touch `pixel`.
template <typename T>
struct TouchingBins {
  int32_t first, last;

  __device__ TouchingBins(const RoiAxis<T>& axis, int32_t bins, int32_t pixel) {
    const T low = static_cast<T>(pixel - 1), high = static_cast<T>(pixel + 1);
    first = 0;
    last = bins;
    if (!(axis.bin_size > T(0))) return;
    const T before = std::floor((low - axis.start) / axis.bin_size) - T(1);
    const T after = std::floor((high - axis.start) / axis.bin_size) + T(2);
    const T most = static_cast<T>(bins);
    first = before > T(0) ? static_cast<int32_t>(before < most ? before : most) : 0;
    last = after < most ? (after > T(0) ? static_cast<int32_t>(after) : 0) : bins;
  }
};

// The weight of a pixel in a bin, along one axis.
template <typename T>
__device__ T pixel_weight(const RoiAxis<T>& axis, int32_t bin, int32_t pixel, int32_t size) {
  int32_t first, last;
  axis.samples_within(bin, static_cast<T>(pixel - 1), static_cast<T>(pixel + 1), &first, &last);
  T sum = T(0);
  for (int32_t i = first; i < last; ++i) {
    Interpolation<T> at;
    if (!interpolate(axis.sample(bin, i), size, &at)) continue;
    if (at.low == pixel) sum += T(1) - at.high_weight;
    if (at.high == pixel) sum += at.high_weight;
  }
  return axis.samples > 0 ? sum / static_cast<T>(axis.samples) : T(0);
}

template <typename T>
__device__ bool overlaps(T low, T high, T scale, int32_t first_pixel, int32_t num_pixels,
                         const RoiAlignOptions& options) {
  const RoiAxis<T> axis(low, high, scale, 1, options);
  return axis.start <= static_cast<T>(first_pixel + num_pixels) &&
         axis.start + axis.bin_size >= static_cast<T>(first_pixel - 1);
}

// Writes the gradient of one level. A thread adds up its pixel in the order of the RoIs.
template <typename S, typename T>
__global__ void __launch_bounds__(kTileWidth * kTileHeight, 2)
    roi_align_backward_ordered_kernel(View4<const S> grad, RoiList<T> rois, View4<S> out,
                                      MapLevel level, int32_t level_index, int32_t images,
                                      int32_t channels, RoiLevels assignment) {
  constexpr int threads = kTileWidth * kTileHeight;
  __shared__ int32_t hits[threads];
  __shared__ int32_t warp_hits[threads / 32];
  const int32_t tiles_x = ceil_div(level.width, kTileWidth);
  const int32_t tile_x = static_cast<int32_t>(blockIdx.x) % tiles_x * kTileWidth;
  const int32_t tile_y = static_cast<int32_t>(blockIdx.x) / tiles_x * kTileHeight;
  const int32_t thread = static_cast<int32_t>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int32_t x = tile_x + thread % kTileWidth, y = tile_y + thread / kTileWidth;
  const bool inside = x < level.width && y < level.height;
  const T scale = static_cast<T>(level.scale);
  const int32_t channel = static_cast<int32_t>(blockIdx.y) * kTileChannels;

  for (int32_t image = static_cast<int32_t>(blockIdx.z); image < images;
       image += static_cast<int32_t>(gridDim.z)) {
    T sum[kTileChannels] = {};
    for (int64_t base = 0; base < rois.count; base += threads) {
      bool hit = false;
      if (base + thread < rois.count) {
        const DeviceRoi<T> roi(rois.data + (base + thread) * 5, images, assignment);
        hit = roi.level == level_index && roi.image == image &&
              overlaps(roi.x1, roi.x2, scale, tile_x, kTileWidth, rois.options) &&
              overlaps(roi.y1, roi.y2, scale, tile_y, kTileHeight, rois.options);
      }
      // The RoIs that touch the tile, in their order.
      const unsigned ballot = __ballot_sync(~0u, hit);
      if (lane == 0) warp_hits[warp] = __popc(ballot);
      __syncthreads();
      int32_t place = __popc(ballot & ((1u << lane) - 1)), num_hits = 0;
      for (int32_t w = 0; w < threads / 32; ++w) {
        if (w < warp) place += warp_hits[w];
        num_hits += warp_hits[w];
      }
      if (hit) hits[place] = thread;
      __syncthreads();
      for (int32_t h = 0; h < num_hits && inside; ++h) {
        const int64_t index = base + hits[h];
        const T* roi = rois.data + index * 5;
        const RoiAxis<T> rows(roi[2], roi[4], scale, rois.options.pooled_height, rois.options);
        const RoiAxis<T> columns(roi[1], roi[3], scale, rois.options.pooled_width, rois.options);
        const TouchingBins<T> touching_y(rows, rois.options.pooled_height, y);
        const TouchingBins<T> touching_x(columns, rois.options.pooled_width, x);
        for (int32_t bin_y = touching_y.first; bin_y < touching_y.last; ++bin_y) {
          const T row_weight = pixel_weight(rows, bin_y, y, level.height);
          if (row_weight == T(0)) continue;
          for (int32_t bin_x = touching_x.first; bin_x < touching_x.last; ++bin_x) {
            const T weight = row_weight * pixel_weight(columns, bin_x, x, level.width);
            if (weight == T(0)) continue;
            for (int c = 0; c < kTileChannels; ++c)
              if (channel + c < channels)
                sum[c] += weight * static_cast<T>(grad.at(index, channel + c, bin_y, bin_x));
          }
        }
      }
      __syncthreads();
    }
    if (!inside) continue;
    for (int c = 0; c < kTileChannels; ++c)
      if (channel + c < channels) out.at(image, channel + c, y, x) = static_cast<S>(sum[c]);
  }
}

inline dim3 roi_align_grid(int64_t num_rois, int64_t values_of_a_roi) {
  return dim3(static_cast<unsigned>(ceil_div<int64_t>(values_of_a_roi, kRoiThreads)),
              static_cast<unsigned>(num_rois < 65535 ? num_rois : 65535));
}

template <typename S, typename T>
void launch_roi_align(const MapPyramid<const S>& pyramid, const RoiList<T>& rois,
                      const View4<S>& out, cudaStream_t stream) {
  const dim3 grid = roi_align_grid(rois.count, pyramid.channels * rois.options.bins());
  SEGSUITE_LAUNCH((roi_align_kernel<S, T>), grid, dim3(kRoiThreads), 0, stream, pyramid,
                  rois, out);
}

// The maps of `pyramid` are zero before.
template <typename S, typename T>
void launch_roi_align_backward(const View4<const S>& grad, const RoiList<T>& rois,
                               const MapPyramid<T>& pyramid, cudaStream_t stream) {
  const dim3 grid = roi_align_grid(rois.count, pyramid.channels * rois.options.bins());
  SEGSUITE_LAUNCH((roi_align_backward_kernel<S, T>), grid, dim3(kRoiThreads), 0, stream,
                  grad, rois, pyramid);
}

// Writes all of the maps of `pyramid`.
template <typename S, typename T>
void launch_roi_align_backward_ordered(const View4<const S>& grad, const RoiList<T>& rois,
                                       const MapPyramid<S>& pyramid, cudaStream_t stream) {
  for (int32_t i = 0; i < pyramid.assignment.count; ++i) {
    const MapLevel& level = pyramid.levels[i];
    const dim3 grid(ceil_div(level.width, kTileWidth) * ceil_div(level.height, kTileHeight),
                    ceil_div(pyramid.channels, kTileChannels),
                    pyramid.images < 65535 ? pyramid.images : 65535);
    SEGSUITE_LAUNCH((roi_align_backward_ordered_kernel<S, T>), grid,
                    dim3(kTileWidth * kTileHeight), 0, stream, grad, rois, pyramid.maps[i], level,
                    i, pyramid.images, pyramid.channels, pyramid.assignment);
  }
}

}  // namespace segsuite
