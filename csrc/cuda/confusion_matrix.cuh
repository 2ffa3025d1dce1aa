// Confusion matrices and label maps on the GPU, from label maps or from low-resolution logits.
//
// Counting: a block counts in shared memory while the matrix fits there, else straight into the
// result. Label maps are made of runs, so a warp whose 32 pairs are equal adds 32 at once.
//
// Upsampling: a class that is largest at the four corners of a cell of logits is largest in the whole
// cell (bilinear interpolation is a convex combination), so the label of each source pixel is found
// first, and only where the four around an output pixel differ are the classes interpolated.
#pragma once

#include "common/cuda_kernel.cuh"

namespace segsuite {

using Count = unsigned long long;  // int64 as atomicAdd knows it

enum class LabelType { uint8, int8, int16, uint16, int32, uint32, int64, uint64 };

struct LabelMap {
  const void* data;
  LabelType type;

  // A uint64 label over the largest int64 reads as a negative one: outside the classes, too.
  __device__ int64_t operator[](int64_t i) const {
    switch (type) {
      case LabelType::uint8: return static_cast<const uint8_t*>(data)[i];
      case LabelType::int8: return static_cast<const int8_t*>(data)[i];
      case LabelType::int16: return static_cast<const int16_t*>(data)[i];
      case LabelType::uint16: return static_cast<const uint16_t*>(data)[i];
      case LabelType::int32: return static_cast<const int32_t*>(data)[i];
      case LabelType::uint32: return static_cast<const uint32_t*>(data)[i];
      default: return static_cast<const int64_t*>(data)[i];
    }
  }
};

// The matrix (K+1, K+1) that a block adds to. Every thread of the block calls every function.
class BlockCounts {
 public:
  static constexpr int kSharedLimit = 48 * 1024;

  static __host__ __device__ int entries(int num_classes) {
    return (num_classes + 1) * (num_classes + 1);
  }
  static __host__ __device__ bool fits(int num_classes) {
    return num_classes < 110 && entries(num_classes) * 4 <= kSharedLimit;
  }
  static __host__ int shared_bytes(int num_classes) {
    return fits(num_classes) ? entries(num_classes) * 4 : 0;
  }

  __device__ BlockCounts(int num_classes, unsigned* shared, Count* out)
      : num_classes_(num_classes), shared_(fits(num_classes) ? shared : nullptr), out_(out) {
    if (shared_ == nullptr) return;
    for (int i = threadIdx.x; i < entries(num_classes); i += blockDim.x) shared_[i] = 0;
    __syncthreads();
  }

  // Counts one pair for each thread that is `active` and whose target is not to be ignored.
  __device__ void add(bool active, int64_t target, int64_t pred, int64_t ignore) {
    const int64_t entry =
        active && target != ignore
            ? static_cast<int64_t>(code(target)) * (num_classes_ + 1) + code(pred)
            : -1;
    const int64_t first = __shfl_sync(~0u, entry, 0);
    if (__all_sync(~0u, entry == first)) {
      if (threadIdx.x % 32 == 0 && entry >= 0) increase(entry, 32);
    } else if (entry >= 0) {
      increase(entry, 1);
    }
  }

  __device__ void flush() {
    if (shared_ == nullptr) return;
    __syncthreads();
    for (int i = threadIdx.x; i < entries(num_classes_); i += blockDim.x)
      if (shared_[i] != 0) atomicAdd(out_ + i, static_cast<Count>(shared_[i]));
  }

 private:
  __device__ int code(int64_t label) const {
    return label >= 0 && label < num_classes_ ? static_cast<int>(label) : num_classes_;
  }
  __device__ void increase(int64_t entry, unsigned by) {
    if (shared_ != nullptr)
      atomicAdd(shared_ + entry, by);
    else
      atomicAdd(out_ + entry, static_cast<Count>(by));
  }

  int num_classes_;
  unsigned* shared_;
  Count* out_;
};

__global__ void count_labels_kernel(LabelMap pred, LabelMap target, int64_t n, int num_classes,
                                    int64_t ignore, Count* out) {
  SEGSUITE_DYNAMIC_SHARED(unsigned, shared);
  BlockCounts counts(num_classes, shared, out);
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t start = static_cast<int64_t>(blockIdx.x) * blockDim.x; start < n; start += step) {
    const int64_t i = start + threadIdx.x;
    const bool active = i < n;
    counts.add(active, active ? target[i] : 0, active ? pred[i] : 0, ignore);
  }
  counts.flush();
}

template <typename T>
struct LogitsView {
  const T* data;
  int num_classes, height, width;
  int64_t image_stride, class_stride, row_stride, column_stride;  // in elements

  __device__ float at(int64_t n, int c, int y, int x) const {
    return static_cast<float>(
        data[n * image_stride + c * class_stride + y * row_stride + x * column_stride]);
  }
};

// labels (N, h, w): the lowest class among the largest of each source pixel; K where one is NaN.
template <typename T>
__global__ void source_labels_kernel(LogitsView<T> logits, int64_t pixels, uint16_t* labels) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < pixels;
       i += step) {
    const int x = static_cast<int>(i % logits.width);
    const int y = static_cast<int>(i / logits.width % logits.height);
    const int64_t n = i / logits.width / logits.height;
    float best = logits.at(n, 0, y, x);
    int label = best != best ? logits.num_classes : 0;
    for (int c = 1; c < logits.num_classes; ++c) {
      const float value = logits.at(n, c, y, x);
      if (value != value) label = logits.num_classes;
      if (value > best) {
        best = value;
        if (label != logits.num_classes) label = c;
      }
    }
    labels[i] = static_cast<uint16_t>(label);
  }
}

// Where output coordinate i falls between two source coordinates: align_corners=False, clamped.
struct Between {
  int low, high;
  float weight;  // of high

  __device__ Between(int64_t i, double scale, int source_size) {
    const double position = fmin(fmax((static_cast<double>(i) + 0.5) * scale - 0.5, 0.0),
                                 static_cast<double>(source_size - 1));
    low = static_cast<int>(position);
    high = min(low + 1, source_size - 1);
    weight = static_cast<float>(position - low);
  }
};

template <typename T>
__device__ int upsampled_label(const LogitsView<T>& logits, const uint16_t* source_labels, int64_t n,
                               const Between& y, const Between& x) {
  const uint16_t* labels = source_labels + n * logits.height * logits.width;
  const int top = y.low * logits.width, bottom = y.high * logits.width;
  const int a = labels[top + x.low], b = labels[top + x.high];
  const int c = labels[bottom + x.low], d = labels[bottom + x.high];
  if (a == b && a == c && a == d) return a;
  if (max(max(a, b), max(c, d)) == logits.num_classes) return logits.num_classes;
  float best = -INFINITY;
  int label = min(min(a, b), min(c, d));
  for (int k = 0; k < logits.num_classes; ++k) {
    const float top_left = logits.at(n, k, y.low, x.low);
    const float top_right = logits.at(n, k, y.low, x.high);
    const float left = top_left + y.weight * (logits.at(n, k, y.high, x.low) - top_left);
    const float right = top_right + y.weight * (logits.at(n, k, y.high, x.high) - top_right);
    const float value = left + x.weight * (right - left);
    if (value > best) {
      best = value;
      label = k;
    }
  }
  return label;
}

struct OutputSize {
  int height, width;
  double scale_y, scale_x;  // source pixels in an output pixel
};

template <typename T>
__global__ void count_from_logits_kernel(LogitsView<T> logits, const uint16_t* source_labels,
                                         OutputSize size, LabelMap target, int64_t images,
                                         int64_t ignore, Count* out, int64_t out_image_stride) {
  SEGSUITE_DYNAMIC_SHARED(unsigned, shared);
  const int64_t pixels = static_cast<int64_t>(size.height) * size.width;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t n = blockIdx.y; n < images; n += gridDim.y) {
    BlockCounts counts(logits.num_classes, shared, out + n * out_image_stride);
    for (int64_t start = static_cast<int64_t>(blockIdx.x) * blockDim.x; start < pixels;
         start += step) {
      const int64_t i = start + threadIdx.x;
      int64_t label = 0, wanted = ignore;
      if (i < pixels) {
        wanted = target[n * pixels + i];
        if (wanted != ignore)
          label = upsampled_label(logits, source_labels, n,
                                  Between(i / size.width, size.scale_y, logits.height),
                                  Between(i % size.width, size.scale_x, logits.width));
      }
      counts.add(i < pixels, wanted, label, ignore);
    }
    counts.flush();
    __syncthreads();  // the next image clears the shared counts
  }
}

template <typename T, typename Label>
__global__ void argmax_from_logits_kernel(LogitsView<T> logits, const uint16_t* source_labels,
                                          OutputSize size, int64_t images, Label* out) {
  const int64_t pixels = static_cast<int64_t>(size.height) * size.width;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < images * pixels;
       i += step) {
    const int64_t n = i / pixels, pixel = i % pixels;
    out[i] = static_cast<Label>(
        upsampled_label(logits, source_labels, n,
                        Between(pixel / size.width, size.scale_y, logits.height),
                        Between(pixel % size.width, size.scale_x, logits.width)));
  }
}

// Launches. None is called for an empty output.

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 1024;  // enough to fill a GPU, few enough to add their counts

inline unsigned blocks_for(int64_t n) {
  const int64_t blocks = ceil_div<int64_t>(n, kThreads);
  return static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks);
}

inline void launch_count_labels(LabelMap pred, LabelMap target, int64_t n, int num_classes,
                                int64_t ignore, Count* out, cudaStream_t stream) {
  SEGSUITE_LAUNCH((count_labels_kernel), dim3(blocks_for(n)), dim3(kThreads),
                  BlockCounts::shared_bytes(num_classes), stream, pred, target, n, num_classes,
                  ignore, out);
}

template <typename T>
void launch_source_labels(LogitsView<T> logits, int64_t images, uint16_t* labels,
                          cudaStream_t stream) {
  const int64_t pixels = images * logits.height * logits.width;
  SEGSUITE_LAUNCH((source_labels_kernel<T>), dim3(blocks_for(pixels)), dim3(kThreads), 0, stream,
                  logits, pixels, labels);
}

// `workspace` holds (images, h, w) uint16.
template <typename T>
void launch_count_from_logits(LogitsView<T> logits, uint16_t* workspace, OutputSize size,
                              LabelMap target, int64_t images, int64_t ignore, Count* out,
                              int64_t out_image_stride, cudaStream_t stream) {
  launch_source_labels(logits, images, workspace, stream);
  const dim3 grid(blocks_for(static_cast<int64_t>(size.height) * size.width),
                  static_cast<unsigned>(images < 65535 ? images : 65535));
  SEGSUITE_LAUNCH((count_from_logits_kernel<T>), grid, dim3(kThreads),
                  BlockCounts::shared_bytes(logits.num_classes), stream, logits, workspace, size,
                  target, images, ignore, out, out_image_stride);
}

template <typename T, typename Label>
void launch_argmax_from_logits(LogitsView<T> logits, uint16_t* workspace, OutputSize size,
                               int64_t images, Label* out, cudaStream_t stream) {
  launch_source_labels(logits, images, workspace, stream);
  const int64_t pixels = images * size.height * size.width;
  SEGSUITE_LAUNCH((argmax_from_logits_kernel<T, Label>), dim3(blocks_for(pixels)), dim3(kThreads),
                  0, stream, logits, workspace, size, images, out);
}

}  // namespace segsuite
