// What the CPU and the CUDA operators of RoIAlign do with their arguments alike. The wrapper in
// segsuite/ops has checked them with better messages; the checks here keep memory safe.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "common/roi_align.h"

namespace segsuite {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Calls f(a value of the tensor's type).
template <typename F>
void with_floating_type(ScalarType type, const F& f) {
  switch (type) {
    case ScalarType::Float: return f(float());
    case ScalarType::Double: return f(double());
    case ScalarType::Half: return f(torch::headeronly::Half());
    case ScalarType::BFloat16: return f(torch::headeronly::BFloat16());
    default: STD_TORCH_CHECK(false, "roi_align: the features are floating point");
  }
}

inline bool is_channels_last(const Tensor& x) {
  return !x.is_contiguous() && x.size(1) > 1 && x.stride(1) == 1;
}

// The tensor, or a copy of it in which the pixels of a row or the channels of a pixel are adjacent.
inline Tensor with_unit_stride(const Tensor& x) {
  return x.stride(1) == 1 || x.stride(3) == 1 ? x : torch::stable::contiguous(x);
}

// (R, C, PH, PW) whose bins one stride reaches.
inline Tensor with_flat_bins(const Tensor& x) {
  const bool flat = x.stride(2) == x.stride(3) * x.size(3);
  return flat ? with_unit_stride(x) : torch::stable::contiguous(x);
}

inline Tensor new_empty(const Tensor& like, const std::vector<int64_t>& size, bool channels_last,
                        ScalarType type) {
  using torch::headeronly::MemoryFormat;
  const auto format = channels_last ? MemoryFormat::ChannelsLast : MemoryFormat::Contiguous;
  return torch::stable::empty(size, type, std::nullopt, like.device(), std::nullopt, format);
}

// The maps that RoIs are pooled from: one, or the levels of a feature pyramid, finest first.
struct Pyramid {
  struct Level {
    int32_t height, width;
    double scale;
  };
  int64_t images, channels;
  std::vector<Level> levels;
  RoiLevels assignment;

  // `size` is N, C, H, W of the finest level, then H, W of each other.
  Pyramid(const std::vector<int64_t>& size, const std::vector<double>& scales,
          int64_t canonical_box_size, int64_t canonical_level) {
    STD_TORCH_CHECK(!scales.empty() && size.size() == 2 + 2 * scales.size(),
                    "roi_align: one scale for each feature map");
    images = size[0];
    channels = size[1];
    for (size_t i = 0; i < scales.size(); ++i) {
      const int64_t height = size[2 + 2 * i], width = size[3 + 2 * i];
      STD_TORCH_CHECK(std::min(height, width) >= 1 && std::max(height, width) < INT32_MAX,
                      "roi_align: a feature map is ", height, " x ", width, " (height x width)");
      STD_TORCH_CHECK(scales[i] > 0 && std::isfinite(scales[i]), "roi_align: a scale is ",
                      scales[i]);
      levels.push_back({static_cast<int32_t>(height), static_cast<int32_t>(width), scales[i]});
    }
    constexpr int64_t most = 1 << 20;
    STD_TORCH_CHECK(canonical_box_size >= 1 && canonical_box_size <= most &&
                        canonical_level >= -most && canonical_level <= most,
                    "roi_align: the canonical box is ", canonical_box_size, " at level ",
                    canonical_level);
    assignment = {static_cast<int32_t>(-std::lround(std::log2(scales.front()))), static_cast<int32_t>(levels.size()),
                  static_cast<int32_t>(canonical_box_size), static_cast<int32_t>(canonical_level)};
  }
};

inline std::vector<int64_t> pyramid_size(const std::vector<Tensor>& features) {
  STD_TORCH_CHECK(!features.empty(), "roi_align: no feature map");
  std::vector<int64_t> size;
  for (const Tensor& feature : features) {
    const Tensor& finest = features.front();
    STD_TORCH_CHECK(feature.dim() == 4 && feature.size(0) == finest.size(0) &&
                        feature.size(1) == finest.size(1) &&
                        feature.scalar_type() == finest.scalar_type() &&
                        feature.device() == finest.device(),
                    "roi_align: feature maps are (N, C, H, W), alike in N, C, type and device");
    if (size.empty()) size = {feature.size(0), feature.size(1)};
    size.push_back(feature.size(2));
    size.push_back(feature.size(3));
  }
  return size;
}

inline RoiAlignOptions roi_align_options(int64_t pooled_height, int64_t pooled_width,
                                         int64_t sampling_ratio, bool aligned) {
  constexpr int64_t most = 1 << 12;
  STD_TORCH_CHECK(pooled_height >= 1 && pooled_height <= most && pooled_width >= 1 &&
                      pooled_width <= most && sampling_ratio <= most,
                  "roi_align: pooled sizes and the sampling ratio are at most ", most);
  return {static_cast<int32_t>(pooled_height), static_cast<int32_t>(pooled_width),
          static_cast<int32_t>(std::max<int64_t>(sampling_ratio, 0)), aligned};
}

// `features` are the maps, or their pooled gradient.
inline void check_rois(const Tensor& rois, const Tensor& features) {
  const bool is_double = features.scalar_type() == ScalarType::Double;
  const ScalarType wanted = is_double ? ScalarType::Double : ScalarType::Float;
  STD_TORCH_CHECK(rois.device() == features.device(),
                  "roi_align: RoIs and features are on different devices");
  STD_TORCH_CHECK(rois.dim() == 2 && rois.size(1) == 5 && rois.scalar_type() == wanted,
                  "roi_align: RoIs are (R, 5) float32, float64 with float64 features");
}

inline void check_grad(const Tensor& grad, const Tensor& rois, const Pyramid& pyramid) {
  STD_TORCH_CHECK(grad.dim() == 4 && grad.size(0) == rois.size(0) &&
                      grad.size(1) == pyramid.channels,
                  "roi_align: the gradient is not of these RoIs and channels");
}

// A single map is a pyramid whose only level takes every RoI.
template <auto multilevel_roi_align>
Tensor roi_align(const Tensor& input, const Tensor& rois, int64_t pooled_height,
                 int64_t pooled_width, double spatial_scale, int64_t sampling_ratio, bool aligned) {
  return multilevel_roi_align({input}, rois, pooled_height, pooled_width, {spatial_scale},
                              sampling_ratio, aligned, 1, 0);
}

template <auto multilevel_roi_align_backward>
Tensor roi_align_backward(const Tensor& grad, const Tensor& rois, std::vector<int64_t> input_size,
                          bool channels_last, double spatial_scale, int64_t sampling_ratio,
                          bool aligned) {
  return multilevel_roi_align_backward(grad, rois, std::move(input_size), channels_last,
                                       {spatial_scale}, sampling_ratio, aligned, 1, 0)
      .front();
}

}  // namespace segsuite
