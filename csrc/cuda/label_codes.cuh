// Label maps in 16 bits: 0..K-1 the classes, K anything else, K+1 to be ignored. They are read 16
// bytes at a time, whatever their type, and kept in shared memory.
#pragma once

#include <type_traits>

#include "common/cuda_kernel.cuh"

namespace segsuite {

enum class LabelType { uint8, int8, int16, uint16, int32, uint32, int64, uint64 };

struct LabelMap {
  const void* data;
  LabelType type;
};

constexpr __host__ __device__ int label_bytes(LabelType type) {
  switch (type) {
    case LabelType::uint8:
    case LabelType::int8: return 1;
    case LabelType::int16:
    case LabelType::uint16: return 2;
    case LabelType::int32:
    case LabelType::uint32: return 4;
    default: return 8;
  }
}

// Calls f with a value of the labels' type.
template <typename F>
__device__ void with_label_type(LabelType type, const F& f) {
  switch (type) {
    case LabelType::uint8: return f(uint8_t{});
    case LabelType::int8: return f(int8_t{});
    case LabelType::int16: return f(int16_t{});
    case LabelType::uint16: return f(uint16_t{});
    case LabelType::int32: return f(int32_t{});
    case LabelType::uint32: return f(uint32_t{});
    case LabelType::int64: return f(int64_t{});
    default: return f(uint64_t{});
  }
}

template <typename Label>
class Encoder {
 public:
  // Nothing is ignored unless `ignores`.
  __device__ Encoder(int num_classes, bool ignores, int64_t ignore)
      : outside_(static_cast<Wide>(num_classes)),
        ignored_(~Wide{0}),  // outside in any type: it stands in where there is none to ignore
        ignored_code_(static_cast<unsigned>(num_classes)) {
    if (ignores && static_cast<int64_t>(static_cast<Label>(ignore)) == ignore) {
      ignored_ = static_cast<Wide>(static_cast<Label>(ignore));
      ignored_code_ = static_cast<unsigned>(num_classes + 1);
    }
  }

  // A negative label is a large unsigned one.
  __device__ unsigned operator()(Label label) const {
    const auto wide = static_cast<Wide>(label);
    const auto code = static_cast<unsigned>(wide < outside_ ? wide : outside_);
    return wide == ignored_ ? ignored_code_ : code;
  }

 private:
  using Wide = std::conditional_t<sizeof(Label) == 8, uint64_t, uint32_t>;
  Wide outside_, ignored_;
  unsigned ignored_code_;
};

// Rows of a label map as codes in shared memory, where 16 bytes of labels begin as they do in global
// memory: the first column of a row is not always the first code.
class CodeRows {
 public:
  static constexpr int kMostShift = 15;  // labels before the first column

  static constexpr __host__ __device__ int pitch(int columns) {
    return ceil_div(columns + kMostShift, 16) * 16;
  }

  // Rows of `columns` labels, `row_stride` apart, from element `first` of the n labels of a map.
  __device__ CodeRows(uint16_t* codes, int pitch, LabelMap map, int64_t n, int64_t first,
                      int64_t row_stride)
      : codes_(codes), pitch_(pitch), map_(map), n_(n), first_(first), row_stride_(row_stride) {
    const unsigned bytes = label_bytes(map.type);
    mask_ = 16 / bytes - 1;
    first_shift_ = static_cast<unsigned>(reinterpret_cast<uintptr_t>(map.data) % 16) / bytes +
                   static_cast<unsigned>(first);
  }

  // Called by all threads of the block. Barriers before and after are the caller's.
  __device__ void load(int rows, int columns, int num_classes, bool ignores, int64_t ignore) const {
    with_label_type(map_.type, [&](auto label) {
      using Label = decltype(label);
      load_rows<Label>(rows, columns, Encoder<Label>(num_classes, ignores, ignore));
    });
  }

  __device__ const uint16_t* row(int y) const {
    return codes_ + y * pitch_ +
           ((first_shift_ + static_cast<unsigned>(y) * static_cast<unsigned>(row_stride_)) & mask_);
  }

 private:
  using Chunk = Vector<uint32_t, 4>;

  template <typename Label>
  static __device__ Label label_of(const Chunk& chunk, int i) {
    if constexpr (sizeof(Label) == 8)
      return static_cast<Label>(uint64_t{chunk.values[2 * i + 1]} << 32 | chunk.values[2 * i]);
    else if constexpr (sizeof(Label) == 4)
      return static_cast<Label>(chunk.values[i]);
    else if constexpr (sizeof(Label) == 2)
      return static_cast<Label>(chunk.values[i / 2] >> i % 2 * 16);
    else
      return static_cast<Label>(chunk.values[i / 4] >> i % 4 * 8);
  }

  // Each thread asks for several chunks before it waits for the first.
  template <typename Label>
  __device__ void load_rows(int rows, int columns, const Encoder<Label>& encode) const {
    constexpr int kAtOnce = sizeof(Label) == 1 ? 2 : 4;
    constexpr int kLabels = 16 / sizeof(Label);
    const int chunks = ceil_div(columns + kLabels - 1, kLabels);
    const int all = rows * chunks, step = blockDim.x;
#pragma unroll 1
    for (int begin = threadIdx.x; begin < all; begin += kAtOnce * step) {
      Chunk raw[kAtOnce];
      int to[kAtOnce];
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        const int i = begin + k * step;
        to[k] = -1;
        raw[k] = {};
        if (i >= all) continue;
        const int y = i / chunks, chunk = i - y * chunks;
        const int shift = static_cast<int>(row(y) - (codes_ + y * pitch_));
        if (chunk * kLabels >= shift + columns) continue;
        const int64_t element = first_ + y * row_stride_ - shift + chunk * kLabels;
        to[k] = y * pitch_ + chunk * kLabels;
        if (element >= 0 && element + kLabels <= n_)
          raw[k] = load_global(
              reinterpret_cast<const Chunk*>(static_cast<const Label*>(map_.data) + element));
        else
          raw[k] = load_edge<Label>(element);
      }
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k)
        if (to[k] >= 0) store_codes(codes_ + to[k], raw[k], encode);
    }
  }

  // At the ends of the map, where 16 bytes reach past them.
  template <typename Label>
  __device__ Chunk load_edge(int64_t element) const {
    constexpr int kLabels = 16 / sizeof(Label);
    Chunk raw = {};
#pragma unroll
    for (int i = 0; i < kLabels; ++i) {
      if (element + i < 0 || element + i >= n_) continue;
      using Bits = std::make_unsigned_t<Label>;
      const auto bits =
          static_cast<Bits>(load_global(static_cast<const Label*>(map_.data) + element + i));
      constexpr int size = sizeof(Label);
      raw.values[i * size / 4] |= static_cast<uint32_t>(bits) << i * size % 4 * 8;
      if constexpr (size == 8) raw.values[i * 2 + 1] = static_cast<uint32_t>(bits >> 32);
    }
    return raw;
  }

  template <typename Label>
  static __device__ void store_codes(uint16_t* to, const Chunk& raw, const Encoder<Label>& encode) {
    constexpr int kLabels = 16 / sizeof(Label);
    constexpr int kWords = kLabels / 2 < 4 ? kLabels / 2 : 4;  // of one store
#pragma unroll
    for (int i = 0; i < kLabels; i += 2 * kWords) {
      Vector<uint32_t, kWords> words;
#pragma unroll
      for (int j = 0; j < kWords; ++j)
        words.values[j] = encode(label_of<Label>(raw, i + 2 * j)) |
                          encode(label_of<Label>(raw, i + 2 * j + 1)) << 16;
      *reinterpret_cast<Vector<uint32_t, kWords>*>(to + i) = words;
    }
  }

  uint16_t* codes_;
  int pitch_;
  LabelMap map_;
  int64_t n_, first_, row_stride_;
  unsigned first_shift_, mask_;
};

}  // namespace segsuite
