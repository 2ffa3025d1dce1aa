// The sampling rule of RoIAlign, shared by the CPU and the CUDA kernels.
//
// He et al., "Mask R-CNN", section 3; levels from Lin et al., "Feature Pyramid Networks", equation 1.
#pragma once

#include <cmath>
#include <cstdint>

#if defined(__CUDACC__) || defined(SEGSUITE_CUDA_EMULATION)
#define SEGSUITE_DEVICE __host__ __device__ __forceinline__
#else
#define SEGSUITE_DEVICE inline
#endif

namespace segsuite {

struct RoiAlignOptions {
  int32_t pooled_height, pooled_width;
  int32_t sampling_ratio;  // samples along each side of a bin; none or fewer: one for each pixel
  bool aligned;            // pixel centres at half-integers; else the rule of Detectron's first version

  SEGSUITE_DEVICE int64_t bins() const { return int64_t{pooled_height} * pooled_width; }
};

// One side of a RoI on a feature map, cut into `bins`, each with `samples` equidistant samples.
template <typename T>
struct RoiAxis {
  T start, bin_size;
  int32_t samples;

  // From the RoI's two coordinates on this axis, in the units that `scale` brings to feature pixels.
  SEGSUITE_DEVICE RoiAxis(T low, T high, T scale, int32_t bins, const RoiAlignOptions& options) {
    const T offset = options.aligned ? T(0.5) : T(0);
    start = low * scale - offset;
    T size = high * scale - offset - start;
    if (!options.aligned && size < T(1)) size = T(1);
    bin_size = size / static_cast<T>(bins);
    const T most = T(1 << 24);  // beyond, a float cannot number them
    const T wanted = std::ceil(bin_size);
    samples = options.sampling_ratio > 0 ? options.sampling_ratio
                                         : static_cast<int32_t>(wanted < most ? wanted : most);
  }

  SEGSUITE_DEVICE T sample(int32_t bin, int32_t i) const {
    return start + static_cast<T>(bin) * bin_size +
           (static_cast<T>(i) + T(0.5)) * bin_size / static_cast<T>(samples);
  }

  // The samples of a bin that can lie in [low, high]: no other does, a few of these may not either.
  SEGSUITE_DEVICE void samples_within(int32_t bin, T low, T high, int32_t* first,
                                      int32_t* last) const {
    *first = 0;
    *last = samples;
    const T step = bin_size / static_cast<T>(samples);
    if (samples <= 4 || !(step > T(0))) return;
    const T bin_start = start + static_cast<T>(bin) * bin_size, most = static_cast<T>(samples);
    const T before = std::floor((low - bin_start) / step) - T(2);
    const T after = std::ceil((high - bin_start) / step) + T(2);
    *first = before > T(0) ? static_cast<int32_t>(before < most ? before : most) : 0;
    *last = after < most ? static_cast<int32_t>(after > T(0) ? after : T(0)) : samples;
  }
};

// The two pixels that a sample lies between, and the weight of the higher one.
template <typename T>
struct Interpolation {
  int32_t low, high;
  T high_weight;
};

// False when the sample lies outside of the map by more than a pixel: it then counts as zero.
template <typename T>
SEGSUITE_DEVICE bool interpolate(T at, int32_t size, Interpolation<T>* result) {
  if (!(at >= T(-1) && at <= static_cast<T>(size))) return false;
  if (at < T(0)) at = T(0);
  const int32_t low = static_cast<int32_t>(at);
  if (low >= size - 1) {
    *result = {size - 1, size - 1, T(0)};
  } else {
    *result = {low, low + 1, at - static_cast<T>(low)};
  }
  return true;
}

// Whether there is anything to pool: the RoI is of an image that is there, its sides are neither
// negative nor infinite.
template <typename T>
SEGSUITE_DEVICE bool can_be_pooled(T image, T x1, T y1, T x2, T y2, T images) {
  const T width = x2 - x1, height = y2 - y1;
  return image >= T(0) && image < images && width >= T(0) && height >= T(0) &&
         std::isfinite(width) && std::isfinite(height);
}

// Which level of a pyramid pools a RoI, by its size: `canonical_size` squared goes to
// `canonical_level`, half of that one level down.
struct RoiLevels {
  int32_t finest, count;  // level k has stride 2^k
  int32_t canonical_size, canonical_level;
};

// The place of a RoI's level in the list of levels.
template <typename T>
SEGSUITE_DEVICE int32_t roi_level(T x1, T y1, T x2, T y2, const RoiLevels& levels) {
  const T size = std::sqrt((x2 - x1) * (y2 - y1)) / static_cast<T>(levels.canonical_size);
  const T level =
      std::floor(static_cast<T>(levels.canonical_level) + std::log2(size + T(1e-8)));
  const T place = level - static_cast<T>(levels.finest), last = static_cast<T>(levels.count - 1);
  return static_cast<int32_t>(place > T(0) ? (place < last ? place : last) : T(0));
}

}  // namespace segsuite
