// RoIAlign. A block pools a part of a RoI's bins for some channels, from pixel weights in shared
// memory, so each pixel of a bin is read once, however many samples there are.
#pragma once

#include "cuda/roi_align_weights.cuh"

namespace segsuite {

// Enough blocks to fill the largest GPUs several times over: RoIs differ much in what they cost.
constexpr int64_t kWantedBlocks = 4096;
constexpr int64_t kMostBlocks = 1 << 30;

// Calls f for each window of both axes, with their pixels in shared memory. They are found once for
// all calls if there is one window; otherwise from the RoI in memory, which needs no registers.
template <typename T>
struct PixelWindows {
  const BinPixels<T>& pixels;
  const RoiList<T>& rois;
  const MapLevel& level;
  const T* box;
  int32_t windows_y = 1, windows_x = 1;
  bool found = false;

  template <typename F>
  __device__ void for_each(const F& f) {
#pragma unroll 1
    for (int32_t window_y = 0; window_y < windows_y; ++window_y)
#pragma unroll 1
      for (int32_t window_x = 0; window_x < windows_x; ++window_x) {
        if (!found || windows_y * windows_x > 1) {
          __syncthreads();
          pixels.find(box, level, rois.options, window_y, window_x);
          __syncthreads();
          if (!found) {
            windows_y = max(1, ceil_div(pixels.most_of_rows(), pixels.room));
            windows_x = max(1, ceil_div(pixels.most_of_columns(), pixels.room));
            found = true;
          }
        }
        f(window_y, window_x);
      }
  }
};

// A block's share of the work, from its index: parts of a RoI are neighbours, and all RoIs pool some
// channels before others, so that fewer of the maps' bytes are in use at a time.
struct BlockWork {
  int32_t roi, rois_at_once, part;

  __device__ explicit BlockWork(const BinParts& parts)
      : roi(static_cast<int32_t>(blockIdx.x / parts.parts())),
        rois_at_once(static_cast<int32_t>(gridDim.x / parts.parts())),
        part(static_cast<int32_t>(blockIdx.x % parts.parts())) {}
};

inline dim3 pooling_grid(int32_t num_rois, const BinParts& parts, int32_t channel_slices) {
  const auto most = static_cast<int32_t>(kMostBlocks / parts.parts());
  return dim3((num_rois < most ? num_rois : most) * parts.parts(), channel_slices);
}

// Maps whose channels are adjacent. `lanes` lanes pool a bin, each with a vector of channels.
// The pooled values go straight to `out` where its channels are adjacent, too; otherwise by way of
// shared memory, to be written in its order.
template <typename S, typename T, int kVector>
__global__ void __launch_bounds__(kRoiThreads, 2)
    roi_align_channels_kernel(const __grid_constant__ MapPyramid<const S> pyramid, RoiList<T> rois,
                              View4<S> out, BinParts parts, int32_t lanes) {
  using Values = Vector<S, kVector>;
  SEGSUITE_DYNAMIC_SHARED(unsigned char, memory);
  S* const staged = reinterpret_cast<S*>(memory + parts.weight_bytes<T>());
  const BlockWork work(parts);
  const BinPixels<T> pixels(parts, work.part, rois.options, memory);
  const int32_t slice = lanes * kVector, first_channel = blockIdx.y * slice;
  const int32_t lane = threadIdx.x % lanes, group = threadIdx.x / lanes;
  const int32_t channel = first_channel + lane * kVector;
  const bool has_channels = channel < pyramid.channels, direct = out.channels_adjacent();
  // Neighbouring bins are an odd number of banks apart.
  const int32_t pitch = slice + (sizeof(S) < 4 ? 4 / sizeof(S) : 1);
  for (int32_t r = work.roi; r < rois.count; r += work.rois_at_once) {
    const DeviceRoi<T> roi(rois.data + int64_t{r} * 5, pyramid.images, pyramid.assignment);
    const int32_t level = max(roi.level, 0);
    PixelWindows<T> windows{pixels, rois, pyramid.levels[level], rois.data + int64_t{r} * 5 + 1};
    const View4<const S>& map = pyramid.maps[level];
    const S* const origin = map.at(max(roi.image, 0), channel, 0, 0);
    const int32_t bins = pixels.bins(), groups = kRoiThreads / lanes;
    for (int32_t first_bin = 0; first_bin < bins; first_bin += groups) {
      const int32_t bin = first_bin + group, bin_y = bin / pixels.columns, bin_x = bin % pixels.columns;
      T sum[kVector];
      for (int k = 0; k < kVector; ++k) sum[k] = roi.level < 0 ? T(NAN) : T(0);
      if (roi.level >= 0)
        windows.for_each([&](int32_t window_y, int32_t window_x) {
          if (!has_channels || bin >= bins) return;
          const int32_t num_y = pixels.num_of_row(bin_y, window_y);
          const int32_t num_x = pixels.num_of_column(bin_x, window_x);
          const PixelWeight<T>* const rows = pixels.of_row(bin_y);
          const PixelWeight<T>* const columns = pixels.of_column(bin_x);
#pragma unroll 1
          for (int32_t i = 0; i < num_y; ++i) {
            const S* const line = origin + rows[i].pixel * map.strides[2];
            const T row_weight = rows[i].weight;
#pragma unroll 1
            for (int32_t j = 0; j < num_x; j += 4) {
              // Loads first: they wait for memory together.
              Values values[4];
#pragma unroll
              for (int u = 0; u < 4; ++u)
                if (j + u < num_x)
                  values[u] = load_global(reinterpret_cast<const Values*>(
                      line + columns[j + u].pixel * map.strides[3]));
#pragma unroll
              for (int u = 0; u < 4; ++u)
                if (j + u < num_x) {
                  const T weight = row_weight * columns[j + u].weight;
                  for (int k = 0; k < kVector; ++k)
                    sum[k] += weight * static_cast<T>(values[u].values[k]);
                }
            }
          }
        });
      if (!has_channels || bin >= bins) continue;
      if (direct) {
        Values values;
        for (int k = 0; k < kVector; ++k) values.values[k] = static_cast<S>(sum[k]);
        store_global(reinterpret_cast<Values*>(out.at(r, channel, pixels.first_y + bin_y, pixels.first_x + bin_x)),
                     values);
      } else {
        for (int k = 0; k < kVector; ++k)
          staged[bin * pitch + k * lanes + lane] = static_cast<S>(sum[k]);
      }
    }
    if (direct) continue;
    __syncthreads();
    const int32_t channels = min(slice, pyramid.channels - first_channel);
    for (int32_t i = threadIdx.x; i < channels * bins; i += kRoiThreads) {
      const int32_t c = i / bins, bin = i % bins;
      store_global(out.at(r, first_channel + c, pixels.first_y + bin / pixels.columns, pixels.first_x + bin % pixels.columns),
                   staged[bin * pitch + c % kVector * lanes + c / kVector]);
    }
    __syncthreads();
  }
}

// Maps of any strides, at its best where the pixels of a row are adjacent: a power of two of lanes
// shares the columns of a bin, and the sums of some channels.
constexpr int kPlaneChannels = 4;
constexpr int kPlaneSlice = 64;  // channels of a block

template <typename S, typename T>
__global__ void __launch_bounds__(kRoiThreads, 2)
    roi_align_planes_kernel(const __grid_constant__ MapPyramid<const S> pyramid, RoiList<T> rois,
                            View4<S> out, BinParts parts) {
  SEGSUITE_DYNAMIC_SHARED(unsigned char, memory);
  const BlockWork work(parts);
  const BinPixels<T> pixels(parts, work.part, rois.options, memory);
  const int32_t first_channel = blockIdx.y * kPlaneSlice;
  const int32_t channels = min(kPlaneSlice, pyramid.channels - first_channel);
  for (int32_t r = work.roi; r < rois.count; r += work.rois_at_once) {
    const DeviceRoi<T> roi(rois.data + int64_t{r} * 5, pyramid.images, pyramid.assignment);
    const int32_t level = max(roi.level, 0);
    PixelWindows<T> windows{pixels, rois, pyramid.levels[level], rois.data + int64_t{r} * 5 + 1};
    if (roi.level >= 0) windows.for_each([](int32_t, int32_t) {});
    int32_t lanes = 1;
    const int32_t most = roi.level >= 0 ? min(pixels.most_of_columns(), pixels.room) : 1;
    while (lanes < most && lanes < 32) lanes *= 2;
    const View4<const S>& map = pyramid.maps[level];
    const int32_t bins = pixels.bins(), lane = threadIdx.x % lanes, groups = kRoiThreads / lanes;
    const int32_t bin_groups = ceil_div(bins, 32 / lanes) * (32 / lanes);  // whole warps
    const int32_t work_items = bin_groups * ceil_div(channels, kPlaneChannels);
    for (int32_t first_item = 0; first_item < work_items; first_item += groups) {
      const int32_t item = first_item + static_cast<int32_t>(threadIdx.x) / lanes;
      const int32_t bin = item % bin_groups, bin_y = bin / pixels.columns, bin_x = bin % pixels.columns;
      const int32_t channel = first_channel + item / bin_groups * kPlaneChannels;
      const int32_t num_channels =
          bin < bins ? min(kPlaneChannels, first_channel + channels - channel) : 0;
      T sum[kPlaneChannels];
      for (int k = 0; k < kPlaneChannels; ++k) sum[k] = roi.level < 0 ? T(NAN) : T(0);
      const S* const origin = map.at(max(roi.image, 0), channel, 0, 0);
      if (roi.level >= 0)
        windows.for_each([&](int32_t window_y, int32_t window_x) {
          if (num_channels <= 0) return;
          const int32_t num_y = pixels.num_of_row(bin_y, window_y);
          const int32_t num_x = pixels.num_of_column(bin_x, window_x);
          const PixelWeight<T>* const rows = pixels.of_row(bin_y);
          const PixelWeight<T>* const columns = pixels.of_column(bin_x);
#pragma unroll 1
          for (int32_t j = lane; j < num_x; j += lanes) {
            const S* const column = origin + columns[j].pixel * map.strides[3];
            const T column_weight = columns[j].weight;
#pragma unroll 2
            for (int32_t i = 0; i < num_y; ++i) {
              const S* at = column + rows[i].pixel * map.strides[2];
              const T weight = column_weight * rows[i].weight;
#pragma unroll
              for (int k = 0; k < kPlaneChannels; ++k)
                if (k < num_channels)
                  sum[k] += weight * static_cast<T>(load_global(at + k * map.strides[1]));
            }
          }
        });
      for (int32_t step = lanes / 2; step > 0; step /= 2)
        for (int k = 0; k < kPlaneChannels; ++k) sum[k] += __shfl_xor_sync(~0u, sum[k], step);
      if (lane != 0) continue;
      for (int k = 0; k < kPlaneChannels; ++k)
        if (k < num_channels)
          store_global(out.at(r, channel + k, pixels.first_y + bin_y, pixels.first_x + bin_x),
                       static_cast<S>(sum[k]));
    }
  }
}

// Whether to pool from copies with adjacent channels. Samples that are far apart read a whole sector
// of 32 bytes for two pixels of a plane; a copy moves every pixel twice.
template <typename S, typename T>
bool worth_channels_last(const MapPyramid<const S>& pyramid, const RoiList<T>& rois) {
  int64_t pixels = 0;
  for (int32_t i = 0; i < pyramid.assignment.count; ++i)
    pixels += int64_t{pyramid.images} * pyramid.levels[i].height * pyramid.levels[i].width;
  const int64_t side = rois.options.sampling_ratio;  // 0: the samples of a bin are neighbours
  return int64_t{rois.count} * rois.options.bins() * side * side > pixels;
}

template <typename S, typename T, int kVector>
void launch_roi_align_channels(const MapPyramid<const S>& pyramid, const RoiList<T>& rois,
                               const View4<S>& out, cudaStream_t stream) {
  int32_t lanes = 32;  // no more than the channels keep busy
  while (lanes > 1 && lanes / 2 * kVector >= pyramid.channels) lanes /= 2;
  const int32_t slices = ceil_div(pyramid.channels, lanes * kVector);
  constexpr size_t most_staged = 24 * 1024;
  const size_t bin_bytes = (lanes * kVector + 4) * sizeof(S);
  const bool direct = out.channels_adjacent();
  const BinParts parts(rois.options, ceil_div(kWantedBlocks, int64_t{rois.count} * slices),
                       direct ? kMostBins * kMostBins : static_cast<int32_t>(most_staged / bin_bytes),
                       sizeof(PixelWeight<T>));
  const size_t staged_bytes = direct ? 0 : bin_bytes * parts.rows * parts.columns;
  SEGSUITE_LAUNCH((roi_align_channels_kernel<S, T, kVector>),
                  pooling_grid(rois.count, parts, slices), dim3(kRoiThreads),
                  parts.weight_bytes<T>() + staged_bytes, stream, pyramid, rois, out, parts, lanes);
}

// There is at least one RoI, bin and channel.
template <typename S, typename T>
void launch_roi_align(const MapPyramid<const S>& pyramid, const RoiList<T>& rois,
                      const View4<S>& out, cudaStream_t stream) {
  constexpr int n = 16 / sizeof(S);
  const auto vectors = [&](const auto& x) { return x.has_vectors_of(n, pyramid.channels); };
  const auto adjacent = [](const auto& x) { return x.channels_adjacent(); };
  if (pyramid.all_maps(vectors) && (vectors(out) || !adjacent(out)))
    return launch_roi_align_channels<S, T, n>(pyramid, rois, out, stream);
  if (pyramid.all_maps(adjacent))
    return launch_roi_align_channels<S, T, 1>(pyramid, rois, out, stream);
  const int32_t slices = ceil_div(pyramid.channels, kPlaneSlice);
  const BinParts parts(rois.options, ceil_div(kWantedBlocks, int64_t{rois.count} * slices),
                       kMostBins * kMostBins, sizeof(PixelWeight<T>));
  SEGSUITE_LAUNCH((roi_align_planes_kernel<S, T>), pooling_grid(rois.count, parts, slices),
                  dim3(kRoiThreads), parts.weight_bytes<T>(), stream, pyramid, rois, out, parts);
}

}  // namespace segsuite
