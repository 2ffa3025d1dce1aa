// The gradient of RoIAlign, gathered: RoIs are listed by map, and each tile of a map adds up what
// the bins that read its pixels give, in the order of the RoIs. No atomics; always the same sums.
#pragma once

#include "cuda/roi_align_maps.cuh"

namespace segsuite {

// A RoI in the list of its map, and the pixels that its samples may touch.
struct ListedRoi {
  int32_t index, first_y, last_y, first_x, last_x;

  __device__ bool touches(int32_t y, int32_t x, int32_t side) const {
    return first_y < y + side && last_y >= y && first_x < x + side && last_x >= x;
  }
};

// Room for the lists: what the host knows bounds it. A map's key is level * images + image; its
// RoIs are rois[first[key]] to rois[first[key] + count[key]].
struct ListedRois {
  ListedRoi* rois;       // (R,)
  int32_t *first, *count;  // (levels * images,)
};

template <typename T>
__device__ ListedRoi listed_roi(int32_t index, const DeviceRoi<T>& roi, const MapLevel& level,
                                const RoiAlignOptions& options) {
  const auto pixel = [](T at) {
    const T most = T(1 << 30);
    return static_cast<int32_t>(std::floor(at > -most ? (at < most ? at : most) : -most));
  };
  const T scale = static_cast<T>(level.scale);
  const RoiAxis<T> y = roi.rows(scale, options), x = roi.columns(scale, options);
  const T height = y.bin_size * static_cast<T>(options.pooled_height);
  const T width = x.bin_size * static_cast<T>(options.pooled_width);
  // A pixel more on each side: samples count while they are within a pixel of the map.
  return {index, pixel(y.start) - 1, pixel(y.start + height) + 2, pixel(x.start) - 1,
          pixel(x.start + width) + 2};
}

// A block lists the RoIs of a map, in their order, behind those of the maps before.
template <typename T>
__global__ void __launch_bounds__(kRoiThreads)
    list_rois_kernel(const __grid_constant__ RoiPyramid pyramid, RoiList<T> rois, ListedRois lists) {
  __shared__ int32_t warp_counts[kRoiWarps];
  const auto key = static_cast<int32_t>(blockIdx.x);
  const int32_t num_rois = rois.count;
  const auto key_of = [&](const DeviceRoi<T>& roi) {
    return roi.level < 0 ? INT32_MAX : roi.level * pyramid.images + roi.image;
  };
  int32_t before = 0;
  for (int32_t i = threadIdx.x; i < num_rois; i += kRoiThreads)
    before += key_of(DeviceRoi<T>(rois.data + int64_t{i} * 5, pyramid.images, pyramid.assignment)) < key;
  for (int step = 16; step > 0; step /= 2) before += __shfl_xor_sync(~0u, before, step);
  if (threadIdx.x % 32 == 0) warp_counts[threadIdx.x / 32] = before;
  __syncthreads();
  int32_t first = 0, count = 0;
  for (int w = 0; w < kRoiWarps; ++w) first += warp_counts[w];
  for (int32_t base = 0; base < num_rois; base += kRoiThreads) {
    __syncthreads();
    const int32_t i = base + static_cast<int32_t>(threadIdx.x);
    const DeviceRoi<T> roi(rois.data + int64_t{min(i, num_rois - 1)} * 5, pyramid.images,
                           pyramid.assignment);
    const bool chosen = i < num_rois && key_of(roi) == key;
    const ChosenThreads places(chosen, warp_counts);
    if (chosen)
      store_global(lists.rois + first + count + places.place,
                   listed_roi(i, roi, pyramid.levels[roi.level], rois.options));
    count += places.count;
  }
  if (threadIdx.x > 0) return;
  store_global(lists.first + key, first);
  store_global(lists.count + key, count);
}

// A block has a tile of kTileSide x kTileSide pixels, a warp one row of it, a lane some channels.
constexpr int kTileSide = 8;
constexpr int kTileBins = 16;  // along each axis, that are in shared memory at once
static_assert(kRoiWarps == kTileSide, "a warp for each row of a tile");

// The weights of a RoI's bins in the pixels of a tile, for kTileBins bins from the first on.
template <typename T>
struct alignas(16) TileWeights {
  T rows[kTileBins][kTileSide], columns[kTileBins][kTileSide];
  uint32_t bins_of_row[kTileSide], column_bins;  // that have a weight, one bit each
  int32_t roi;

  // By a warp.
  __device__ void find(int32_t index, const T* rois, const MapLevel& level,
                       const RoiAlignOptions& options, int32_t tile_y, int32_t tile_x,
                       int32_t first_bin_y, int32_t first_bin_x) {
    const T scale = static_cast<T>(level.scale);
    const T* const box = rois + int64_t{index} * 5;
    const int lane = threadIdx.x % 32;
    roi = index;
    const RoiAxis<T> y(load_global(box + 2), load_global(box + 4), scale, options.pooled_height,
                       options);
    uint32_t of_pixel = find_axis(y, options.pooled_height, level.height, tile_y, first_bin_y, rows);
    if (lane < kTileSide) bins_of_row[lane] = of_pixel;
    const RoiAxis<T> x(load_global(box + 1), load_global(box + 3), scale, options.pooled_width,
                       options);
    of_pixel = find_axis(x, options.pooled_width, level.width, tile_x, first_bin_x, columns);
    for (int step = 1; step < kTileSide; step *= 2)
      of_pixel |= __shfl_xor_sync(~0u, of_pixel, step);
    if (lane == 0) column_bins = of_pixel;
  }

 private:
  // Writes the weights of an axis; returns the bins of pixel `lane` % kTileSide that have one.
  __device__ static uint32_t find_axis(const RoiAxis<T>& axis, int32_t bins, int32_t size,
                                       int32_t first_pixel, int32_t first_bin,
                                       T (&weights)[kTileBins][kTileSide]) {
    const int lane = threadIdx.x % 32, at = lane % kTileSide;
    const int32_t pixel = first_pixel + at;
    uint32_t found = 0;
#pragma unroll 1
    for (int32_t first = 0; first < kTileBins && first_bin + first < bins; first += 32 / kTileSide) {
      const int32_t bin = first + lane / kTileSide;
      T weight = T(0);
      if (first_bin + bin < bins && pixel < size && may_touch(axis, first_bin + bin, pixel))
        weight = pixel_weight(axis, first_bin + bin, pixel, size);
      weights[bin][at] = weight;
      const unsigned ballot = __ballot_sync(~0u, weight != T(0));
      for (int b = 0; b < 32 / kTileSide; ++b)
        found |= (ballot >> (b * kTileSide + at) & 1u) << (first + b);
    }
    return found;
  }

  // Cheaper than to find out that a weight is zero.
  __device__ static bool may_touch(const RoiAxis<T>& axis, int32_t bin, int32_t pixel) {
    const T start = axis.start + static_cast<T>(bin) * axis.bin_size;
    return start < static_cast<T>(pixel + 2) && start + axis.bin_size > static_cast<T>(pixel - 2);
  }
};

// Tiles are numbered level by level, image by image, row by row.
struct TileNumbers {
  int64_t first[kMaxLevels + 1];
  int32_t columns[kMaxLevels], rows[kMaxLevels];
};

// Blocks on a multiprocessor: as many as have registers without spills.
#ifdef __CUDA_ARCH__
constexpr int kArchitecture = __CUDA_ARCH__;
#else
constexpr int kArchitecture = 0;
#endif
template <typename S>
constexpr int kGatherBlocks = sizeof(S) == 4   ? (kArchitecture >= 800 && kArchitecture < 1000 ? 3 : 2)
                              : sizeof(S) == 2 ? (kArchitecture >= 800 ? 2 : 1)
                                               : 1;

// Writes all of the maps of `pyramid`, in vectors where their channels are adjacent. The channels
// of `grad` are.
template <typename S, typename T, int kVector, int kVectors>
__global__ void __launch_bounds__(kRoiThreads, kGatherBlocks<S>)
    roi_align_gather_kernel(View4<const S> grad, RoiList<T> rois,
                            const __grid_constant__ MapPyramid<S> pyramid, ListedRois lists,
                            const __grid_constant__ TileNumbers tiles) {
  using Values = Vector<S, kVector>;
  __shared__ int32_t hits[kRoiThreads];
  __shared__ int32_t warp_counts[kRoiWarps];
  __shared__ TileWeights<T> weights[kRoiWarps];
  __shared__ S staged[kRoiWarps][32 * (kTileSide + 1)];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int32_t first_channel = blockIdx.y * 32 * kVector * kVectors;
  const auto channel_of = [&](int vector, int of_lane) {
    return first_channel + (vector * 32 + of_lane) * kVector;
  };
  int32_t level = 0;
  while (blockIdx.x >= tiles.first[level + 1]) ++level;
  const auto tile = static_cast<int32_t>(blockIdx.x - tiles.first[level]);
  const int32_t tile_x = tile % tiles.columns[level] * kTileSide;
  const int32_t tile_y = tile / tiles.columns[level] % tiles.rows[level] * kTileSide;
  const int32_t image = tile / tiles.columns[level] / tiles.rows[level];
  const MapLevel& size = pyramid.levels[level];
  const RoiAlignOptions& options = rois.options;
  const int32_t first = load_global(lists.first + level * pyramid.images + image);
  const int32_t last = first + load_global(lists.count + level * pyramid.images + image);

  T sum[kTileSide][kVectors][kVector] = {};
  for (int32_t bin_y = 0; bin_y < options.pooled_height; bin_y += kTileBins)
    for (int32_t bin_x = 0; bin_x < options.pooled_width; bin_x += kTileBins)
      for (int32_t base = first; base < last; base += kRoiThreads) {
        const int32_t i = base + static_cast<int32_t>(threadIdx.x);
        const ListedRoi candidate = load_global(lists.rois + min(i, last - 1));
        const bool hit = i < last && candidate.touches(tile_y, tile_x, kTileSide);
        const ChosenThreads places(hit, warp_counts);
        if (hit) hits[places.place] = candidate.index;
        for (int32_t h = 0; h < places.count; h += kRoiWarps) {
          __syncthreads();
          if (h + warp < places.count)
            weights[warp].find(hits[h + warp], rois.data, size, options, tile_y, tile_x, bin_y, bin_x);
          __syncthreads();
          const int32_t found = min(kRoiWarps, places.count - h);
#pragma unroll 1
          for (int32_t w = 0; w < found; ++w) {
            const TileWeights<T>& of = weights[w];
#pragma unroll 1
            for (uint32_t left_y = of.bins_of_row[warp]; left_y != 0; left_y &= left_y - 1) {
              const int32_t y = __ffs(static_cast<int>(left_y)) - 1;
              const T row_weight = of.rows[y][warp];
#pragma unroll 1
              for (uint32_t left_x = of.column_bins; left_x != 0; left_x &= left_x - 1) {
                const int32_t x = __ffs(static_cast<int>(left_x)) - 1;
                const S* const from = grad.at(of.roi, channel_of(0, lane), bin_y + y, bin_x + x);
                Values values[kVectors];
#pragma unroll
                for (int v = 0; v < kVectors; ++v)
                  if (channel_of(v, lane) < pyramid.channels)
                    values[v] =
                        load_global(reinterpret_cast<const Values*>(from + v * 32 * kVector));
                  else
                    values[v] = {};
#pragma unroll
                for (int pixel = 0; pixel < kTileSide; ++pixel) {
                  const T weight = row_weight * of.columns[x][pixel];
                  if (weight == T(0)) continue;  // of NaN, too
                  for (int v = 0; v < kVectors; ++v)
                    for (int k = 0; k < kVector; ++k)
                      sum[pixel][v][k] += weight * static_cast<T>(values[v].values[k]);
                }
              }
            }
          }
        }
        __syncthreads();
      }

  const int32_t y = tile_y + warp;
  if (y >= size.height) return;
  const View4<S>& map = pyramid.maps[level];
  const int32_t pixels = min(kTileSide, size.width - tile_x);
  if (map.channels_adjacent()) {
#pragma unroll
    for (int pixel = 0; pixel < kTileSide; ++pixel)
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        if (pixel >= pixels || channel_of(v, lane) >= pyramid.channels) continue;
        Values values;
        for (int k = 0; k < kVector; ++k) values.values[k] = static_cast<S>(sum[pixel][v][k]);
        store_global(
            reinterpret_cast<Values*>(map.at(image, channel_of(v, lane), y, tile_x + pixel)), values);
      }
    return;
  }
  // A lane's pixels go to shared memory, and out by rows of them.
  S* const stage = staged[warp];
#pragma unroll
  for (int v = 0; v < kVectors; ++v)
#pragma unroll
    for (int k = 0; k < kVector; ++k) {
      __syncwarp();
#pragma unroll
      for (int pixel = 0; pixel < kTileSide; ++pixel)
        stage[lane * (kTileSide + 1) + pixel] = static_cast<S>(sum[pixel][v][k]);
      __syncwarp();
      for (int i = lane; i < 32 * kTileSide; i += 32) {
        const int of_lane = i / kTileSide, pixel = i % kTileSide;
        const int32_t channel = channel_of(v, of_lane) + k;
        if (pixel < pixels && channel < pyramid.channels)
          store_global(map.at(image, channel, y, tile_x + pixel),
                       stage[of_lane * (kTileSide + 1) + pixel]);
      }
    }
}

template <typename S>
TileNumbers tile_numbers(const MapPyramid<S>& pyramid) {
  TileNumbers tiles{};
  for (int32_t i = 0; i < pyramid.assignment.count; ++i) {
    tiles.rows[i] = ceil_div(pyramid.levels[i].height, kTileSide);
    tiles.columns[i] = ceil_div(pyramid.levels[i].width, kTileSide);
    tiles.first[i + 1] =
        tiles.first[i] + int64_t{pyramid.images} * tiles.rows[i] * tiles.columns[i];
  }
  return tiles;
}

template <typename S, typename T, int kVector>
void launch_gather(const View4<const S>& grad, const RoiList<T>& rois, const MapPyramid<S>& pyramid,
                   const ListedRois& lists, const TileNumbers& tiles, cudaStream_t stream) {
  // Channels of a lane: their sums, of every pixel of a row of the tile, are in registers.
  constexpr int kVectors = kVector == 1 ? 16 / sizeof(T) : 1;
  const dim3 grid(static_cast<unsigned>(tiles.first[pyramid.assignment.count]),
                  ceil_div(pyramid.channels, 32 * kVector * kVectors));
  SEGSUITE_LAUNCH((roi_align_gather_kernel<S, T, kVector, kVectors>), grid, dim3(kRoiThreads), 0,
                  stream, grad, rois, pyramid, lists, tiles);
}

// The channels of `grad` are adjacent. There is at least one map with a channel; RoIs may be none.
template <typename S, typename T>
void launch_roi_align_backward(const View4<const S>& grad, const RoiList<T>& rois,
                               const MapPyramid<S>& pyramid, const ListedRois& lists,
                               cudaStream_t stream) {
  const TileNumbers tiles = tile_numbers(pyramid);
  SEGSUITE_LAUNCH((list_rois_kernel<T>), dim3(pyramid.images * pyramid.assignment.count),
                  dim3(kRoiThreads), 0, stream, static_cast<const RoiPyramid&>(pyramid), rois, lists);
  constexpr int n = 16 / sizeof(S);
  const auto fits = [&](const View4<S>& map) {
    return !map.channels_adjacent() || map.has_vectors_of(n, pyramid.channels);
  };
  if (grad.has_vectors_of(n, pyramid.channels) && pyramid.all_maps(fits))
    launch_gather<S, T, n>(grad, rois, pyramid, lists, tiles, stream);
  else
    launch_gather<S, T, 1>(grad, rois, pyramid, lists, tiles, stream);
}

}  // namespace segsuite
