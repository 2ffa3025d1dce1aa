// What the kernels of RoIAlign are given: where tensors lie in memory, and room to work in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>

namespace segsuite {

template <typename S>
using Accumulator = std::conditional_t<std::is_same_v<std::remove_const_t<S>, double>, double, float>;

// A matrix of pixels and channels. One of the strides is 1.
template <typename S>
struct Pixels {
  S* data;
  int64_t pixel_stride, channel_stride;
};

// Feature maps (N, C, H, W) of one level.
template <typename S>
struct MapView {
  S* data;
  int32_t width;
  int64_t image_stride, channel_stride, row_stride, column_stride;

  Pixels<S> row(int64_t image, int64_t y, int64_t channel) const {
    return {data + image * image_stride + y * row_stride + channel * channel_stride, column_stride,
            channel_stride};
  }
};

// Pooled RoIs (R, C, PH, PW), contiguous or channels_last.
template <typename S>
struct RoiView {
  S* data;
  int64_t roi_stride, channel_stride, bin_stride;

  Pixels<S> roi(int64_t index, int64_t channel) const {
    return {data + index * roi_stride + channel * channel_stride, bin_stride, channel_stride};
  }
};

// Memory that one thread keeps from call to call; aligned for vectors, not initialised.
class Buffer {
 public:
  template <typename T>
  T* get(size_t count) {
    const size_t lines = (count * sizeof(T) + sizeof(Line) - 1) / sizeof(Line);
    if (lines > lines_) {
      data_.reset();
      data_.reset(new Line[lines]);
      lines_ = lines;
    }
    return reinterpret_cast<T*>(data_.get());
  }

 private:
  struct alignas(64) Line {
    char bytes[64];
  };
  std::unique_ptr<Line[]> data_;
  size_t lines_ = 0;
};

struct Scratch {
  Buffer row, bins;
};

}  // namespace segsuite
