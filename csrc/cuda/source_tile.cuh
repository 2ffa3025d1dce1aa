// The source pixels of a block: 32 columns by as many rows as the block has warps, read from the
// logits, with the label of each, and classes of them in shared memory.
#pragma once

#include <cmath>

#include "common/cuda_kernel.cuh"

namespace segsuite {

template <typename T>
struct LogitsView {
  const T* data;
  int num_classes, height, width;
  int64_t image_stride, class_stride, row_stride, column_stride;  // in elements

  __host__ __device__ bool adjacent_classes() const {
    return class_stride == 1 && column_stride != 1;
  }
};

// The largest class of a pixel so far: the lowest of equals, -1 where one is NaN.
struct LargestClass {
  float value;
  int label;

  __device__ void see(float other, int c) {
    if (other != other) {
      value = INFINITY;
      label = -1;
    }
    if (other > value) {
      value = other;
      label = c;
    }
  }
  // Of classes that another lane has seen.
  __device__ void merge(const LargestClass& other) {
    if (other.value > value || (other.value == value && other.label < label)) *this = other;
  }
};

// Where classes are kept: pixel p of class c is at values[c * kPitch + p] with the first class at 0.
struct StagedClasses {
  float* values;
  int pitch;

  // Lanes of a warp have a class of 32 pixels or 8 classes of 4 pixels: both in 32 banks.
  static constexpr __host__ __device__ int pitch_of(int threads) { return threads + 4; }

  // Class c at the corners of the cell whose top left is pixel `at`: left, right, then below.
  __device__ void corners(int c, int at, float (&value)[4]) const {
    const float* const from = values + c * pitch + at;
    value[0] = from[0];
    value[1] = from[1];
    value[2] = from[32];
    value[3] = from[33];
  }
};

// A warp's row of a tile: lane x has column `left + x`.
template <typename T>
struct SourceRow {
  const T* data;  // of class 0, column 0
  int width, left, columns;
  int64_t class_stride, column_stride;

  __device__ const T* pixel(int x) const {
    return data + min(left + x, width - 1) * column_stride;
  }
};

// Reads the classes [begin, end) of the row, a lane a pixel: into shared memory and for their largest.
template <bool keep, bool label, typename T>
__device__ int scan_by_pixel(const SourceRow<T>& row, int begin, int end,
                             const StagedClasses& staged) {
  // Loads; as many as there are registers for.
  constexpr int kAtOnce = label ? 12 : 8;
  const int x = threadIdx.x % 32;
  LargestClass largest{-INFINITY, begin};
  if (x < row.columns) {
    const T* from = row.pixel(x) + begin * row.class_stride;
#pragma unroll 1
    for (int c = begin; c < end; c += kAtOnce) {
      float values[kAtOnce];
#pragma unroll
      for (int j = 0; j < kAtOnce; ++j) {
        values[j] = c + j < end ? static_cast<float>(load_global(from)) : -INFINITY;
        from += row.class_stride;
      }
#pragma unroll
      for (int j = 0; j < kAtOnce; ++j) {
        if (c + j >= end) continue;
        if constexpr (keep) staged.values[(c + j - begin) * staged.pitch + threadIdx.x] = values[j];
        if constexpr (label) largest.see(values[j], c + j);
      }
    }
  }
  return largest.label;
}

// The same where the classes of a pixel are adjacent: eight lanes share a pixel, four pixels a time.
template <bool keep, bool label, typename T>
__device__ int scan_by_class(const SourceRow<T>& row, int begin, int end,
                             const StagedClasses& staged) {
  constexpr int kClasses = 8, kPixels = 32 / kClasses;
  const int lane = threadIdx.x % 32, first = threadIdx.x - lane;
  const int my_class = lane % kClasses, my_pixel = lane / kClasses;
  LargestClass largest[kClasses];
#pragma unroll
  for (int i = 0; i < kClasses; ++i) largest[i] = {-INFINITY, begin + my_class};
#pragma unroll 1
  for (int c = begin + my_class; c < end; c += kClasses) {
    float values[kClasses];
#pragma unroll
    for (int i = 0; i < kClasses; ++i)
      values[i] = i * kPixels + my_pixel < row.columns
                      ? static_cast<float>(load_global(row.pixel(i * kPixels + my_pixel) + c))
                      : -INFINITY;
#pragma unroll
    for (int i = 0; i < kClasses; ++i) {
      const int x = i * kPixels + my_pixel;
      if (x >= row.columns) continue;
      if constexpr (keep) staged.values[(c - begin) * staged.pitch + first + x] = values[i];
      if constexpr (label) largest[i].see(values[i], c);
    }
  }
  if constexpr (!label) return 0;
  __syncwarp();
  int result = 0;
#pragma unroll
  for (int i = 0; i < kClasses; ++i) {
    for (int mask = kClasses / 2; mask > 0; mask /= 2) {
      const LargestClass other{__shfl_xor_sync(~0u, largest[i].value, mask),
                               __shfl_xor_sync(~0u, largest[i].label, mask)};
      largest[i].merge(other);
    }
    // Lane i * 4 + p takes pixel p of these, from the first lane of its eight.
    const int mine = __shfl_sync(~0u, largest[i].label, lane % kPixels * kClasses);
    if (lane / kPixels == i) result = mine;
  }
  return result;
}

}  // namespace segsuite
