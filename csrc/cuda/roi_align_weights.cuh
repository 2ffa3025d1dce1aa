// The pixels that bins read, with the weights of all their samples added up, in shared memory.
#pragma once

#include "cuda/roi_align_maps.cuh"

namespace segsuite {

template <typename T>
struct PixelWeight {
  int32_t pixel;
  T weight;
};

constexpr int kMostBins = 32;               // of an axis that a block handles,
constexpr int kMostRoom = 64;               // pixels of a bin that are in shared memory at once,
constexpr size_t kWeightBytes = 16 * 1024;  // and all of them

// One axis of a map and a RoI's bins on it.
template <typename T>
struct BinAxis {
  RoiAxis<T> axis;
  int32_t size;  // of the map

  // By a warp: finds the pixels of a bin, writes those from number `first` on that there is `room`
  // for, and returns how many there are.
  __device__ int32_t find_pixels(int32_t bin, int32_t first, int32_t room,
                                 PixelWeight<T>* pixels) const {
    const int lane = threadIdx.x % 32;
    int32_t start, end, total = 0;
    touched_pixels(bin, &start, &end);
#pragma unroll 1
    for (int32_t base = start; base < end; base += 32) {
      const int32_t pixel = base + lane;
      const T weight = pixel < end ? pixel_weight(axis, bin, pixel, size) : T(0);
      const unsigned ballot = __ballot_sync(~0u, weight != T(0));
      const int32_t place = total + __popc(ballot & ((1u << lane) - 1)) - first;
      if (weight != T(0) && place >= 0 && place < room) pixels[place] = {pixel, weight};
      total += __popc(ballot);
    }
    return total;
  }

 private:
  // No pixel outside of [start, end) has a weight in the bin.
  __device__ void touched_pixels(int32_t bin, int32_t* start, int32_t* end) const {
    int32_t first_sample, last_sample;
    axis.samples_within(bin, T(-1), static_cast<T>(size), &first_sample, &last_sample);
    *start = *end = 0;
    if (first_sample >= last_sample) return;
    *start = nearest_pixel(axis.sample(bin, first_sample));
    *end = nearest_pixel(axis.sample(bin, last_sample - 1) + T(1)) + 1;
  }
  __device__ int32_t nearest_pixel(T at) const {
    const T last = static_cast<T>(size - 1);
    return static_cast<int32_t>(at > T(0) ? (at < last ? at : last) : T(0));
  }
};

// How the pooling of a RoI is divided among blocks: each has some rows and columns of bins.
struct BinParts {
  int32_t rows, columns;  // of bins in a part
  int32_t parts_y, parts_x;
  int32_t room;  // for pixels of a bin

  __host__ __device__ int32_t parts() const { return parts_y * parts_x; }

  // At least `wanted` parts of at most `most_bins` bins, which is at least kMostBins.
  BinParts(const RoiAlignOptions& options, int64_t wanted, int32_t most_bins, size_t weight_size) {
    columns = options.pooled_width < kMostBins ? options.pooled_width : kMostBins;
    parts_x = ceil_div(options.pooled_width, columns);
    const int64_t fair =
        ceil_div<int64_t>(options.pooled_height, ceil_div<int64_t>(wanted, parts_x));
    rows = static_cast<int32_t>(fair);
    if (rows > kMostBins) rows = kMostBins;
    if (rows > most_bins / columns) rows = most_bins / columns;
    parts_y = ceil_div(options.pooled_height, rows);
    const int32_t fits = static_cast<int32_t>(kWeightBytes / weight_size) / (rows + columns);
    const int32_t samples = options.sampling_ratio;
    room = samples > 0 && samples < kMostRoom / 2 ? 2 * samples : kMostRoom;
    if (room > fits) room = fits;
  }

  template <typename T>
  __host__ __device__ size_t weight_bytes() const {  // a multiple of 16
    return ceil_div<size_t>((rows + columns) * (room * sizeof(PixelWeight<T>) + 4), 16) * 16;
  }
};

// The pixels of a part's bins in shared memory: of its rows of bins, then of its columns. Where a
// bin reads more than there is room for, they come in windows.
template <typename T>
struct BinPixels {
  PixelWeight<T>* pixels;  // [rows + columns][room],
  int32_t* totals;         // and how many there are of each bin, in all windows
  int32_t room, first_y, first_x, rows, columns;

  __device__ BinPixels(const BinParts& parts, int32_t part, const RoiAlignOptions& options,
                       void* memory)
      : pixels(static_cast<PixelWeight<T>*>(memory)),
        totals(reinterpret_cast<int32_t*>(pixels + (parts.rows + parts.columns) * parts.room)),
        room(parts.room),
        first_y(part / parts.parts_x * parts.rows),
        first_x(part % parts.parts_x * parts.columns),
        rows(min(parts.rows, options.pooled_height - first_y)),
        columns(min(parts.columns, options.pooled_width - first_x)) {}

  __device__ int32_t bins() const { return rows * columns; }
  __device__ const PixelWeight<T>* of_row(int32_t y) const { return pixels + y * room; }
  __device__ const PixelWeight<T>* of_column(int32_t x) const { return pixels + (rows + x) * room; }
  __device__ int32_t num_of_row(int32_t y, int32_t window) const { return in_window(y, window); }
  __device__ int32_t num_of_column(int32_t x, int32_t window) const {
    return in_window(rows + x, window);
  }
  __device__ int32_t most_of_rows() const { return most(0, rows); }
  __device__ int32_t most_of_columns() const { return most(rows, rows + columns); }

  // By the block, between barriers. `box` has the RoI's x1, y1, x2, y2.
  __device__ void find(const T* box, const MapLevel& level, const RoiAlignOptions& options,
                       int32_t window_y, int32_t window_x) const {
    const T scale = static_cast<T>(level.scale);
#pragma unroll 1
    for (int32_t i = threadIdx.x / 32; i < rows + columns; i += kRoiWarps) {
      const bool is_row = i < rows;
      const T low = load_global(box + is_row), high = load_global(box + 2 + is_row);
      const int32_t pooled = is_row ? options.pooled_height : options.pooled_width;
      const BinAxis<T> axis{RoiAxis<T>(low, high, scale, pooled, options),
                            is_row ? level.height : level.width};
      const int32_t bin = is_row ? first_y + i : first_x + i - rows;
      const int32_t total = axis.find_pixels(bin, (is_row ? window_y : window_x) * room, room,
                                             pixels + i * room);
      if (threadIdx.x % 32 == 0) totals[i] = total;
    }
  }

 private:
  __device__ int32_t in_window(int32_t i, int32_t window) const {
    return min(room, max(0, totals[i] - window * room));
  }
  __device__ int32_t most(int32_t begin, int32_t end) const {
    int32_t most = 0;
#pragma unroll 1
    for (int32_t i = begin; i < end; ++i) most = max(most, totals[i]);
    return most;
  }
};

}  // namespace segsuite
