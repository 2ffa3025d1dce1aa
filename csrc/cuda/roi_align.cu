// Registration of the CUDA kernels in roi_align.cuh.
#include "cuda/roi_align.cuh"

#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/macros.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <type_traits>
#include <utility>

#include "common/cuda_stream.h"
#include "common/roi_align_arguments.h"

namespace segsuite {
namespace {

// The type that values of type S are summed in.
template <typename S>
using Sum = std::conditional_t<std::is_same_v<S, double>, double, float>;

template <typename S>
View4<S> view(const Tensor& x) {
  S* data;
  if constexpr (std::is_const_v<S>)
    data = static_cast<S*>(x.const_data_ptr());
  else
    data = static_cast<S*>(x.mutable_data_ptr());
  return {data, {x.stride(0), x.stride(1), x.stride(2), x.stride(3)}};
}

template <typename S>
MapPyramid<S> map_pyramid(const std::vector<Tensor>& maps, const Pyramid& pyramid) {
  STD_TORCH_CHECK(maps.size() <= kMaxLevels, "roi_align: at most ", kMaxLevels, " levels");
  STD_TORCH_CHECK(pyramid.images <= INT32_MAX && pyramid.channels <= kMaxChannels,
                  "roi_align: at most ", INT32_MAX, " images and ", kMaxChannels, " channels");
  MapPyramid<S> result{};
  for (size_t i = 0; i < maps.size(); ++i) {
    result.maps[i] = view<S>(maps[i]);
    result.levels[i] = {pyramid.levels[i].height, pyramid.levels[i].width, pyramid.levels[i].scale};
  }
  result.images = static_cast<int32_t>(pyramid.images);
  result.channels = static_cast<int32_t>(pyramid.channels);
  result.assignment = pyramid.assignment;
  return result;
}

template <typename T>
RoiList<T> roi_list(const Tensor& rois, const RoiAlignOptions& options, int64_t channels) {
  STD_TORCH_CHECK(channels * options.bins() <= INT32_MAX - kRoiThreads,
                  "roi_align: a pooled RoI has ", channels, " x ", options.bins(), " values");
  return {static_cast<const T*>(rois.const_data_ptr()), rois.size(0), options};
}

Tensor multilevel_roi_align(std::vector<Tensor> features, const Tensor& rois, int64_t pooled_height,
                            int64_t pooled_width, std::vector<double> spatial_scales,
                            int64_t sampling_ratio, bool aligned, int64_t canonical_box_size,
                            int64_t canonical_level) {
  const Pyramid pyramid(pyramid_size(features), spatial_scales, canonical_box_size,
                        canonical_level);
  const RoiAlignOptions options =
      roi_align_options(pooled_height, pooled_width, sampling_ratio, aligned);
  const Tensor& finest = features.front();
  check_rois(rois, finest);
  const torch::stable::accelerator::DeviceGuard guard(finest.get_device_index());
  const Tensor out =
      new_empty(finest, {rois.size(0), pyramid.channels, pooled_height, pooled_width},
                is_channels_last(finest), finest.scalar_type());
  if (out.numel() == 0) return out;
  const Tensor dense_rois = torch::stable::contiguous(rois);
  with_floating_type(out.scalar_type(), [&](auto type) {
    using S = decltype(type);
    launch_roi_align<S, Sum<S>>(map_pyramid<const S>(features, pyramid),
                                roi_list<Sum<S>>(dense_rois, options, pyramid.channels), view<S>(out),
                                current_stream(out));
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return out;
}

std::vector<Tensor> multilevel_roi_align_backward(const Tensor& grad, const Tensor& rois,
                                                  std::vector<int64_t> size, bool channels_last,
                                                  std::vector<double> spatial_scales,
                                                  int64_t sampling_ratio, bool aligned,
                                                  int64_t canonical_box_size,
                                                  int64_t canonical_level, bool deterministic) {
  const Pyramid pyramid(size, spatial_scales, canonical_box_size, canonical_level);
  check_rois(rois, grad);
  check_grad(grad, rois, pyramid);
  const RoiAlignOptions options =
      roi_align_options(grad.size(2), grad.size(3), sampling_ratio, aligned);
  const torch::stable::accelerator::DeviceGuard guard(grad.get_device_index());
  // Atomics add in the type of the sums: narrower ones are slow and lose what they add.
  const ScalarType type = grad.scalar_type();
  const bool is_half = type == ScalarType::Half || type == ScalarType::BFloat16;
  const ScalarType sum_type = is_half && !deterministic ? ScalarType::Float : type;
  std::vector<Tensor> maps;
  for (const Pyramid::Level& level : pyramid.levels) {
    maps.push_back(new_empty(grad, {pyramid.images, pyramid.channels, level.height, level.width},
                             channels_last, sum_type));
    if (!deterministic) torch::stable::zero_(maps.back());
  }
  if (pyramid.images * pyramid.channels == 0) return maps;
  const Tensor dense_rois = torch::stable::contiguous(rois);
  with_floating_type(type, [&](auto value) {
    using S = decltype(value);
    const RoiList<Sum<S>> list = roi_list<Sum<S>>(dense_rois, options, pyramid.channels);
    if (deterministic)
      launch_roi_align_backward_ordered<S, Sum<S>>(
          view<const S>(grad), list, map_pyramid<S>(maps, pyramid), current_stream(grad));
    else if (grad.numel() > 0)
      launch_roi_align_backward<S, Sum<S>>(
          view<const S>(grad), list, map_pyramid<Sum<S>>(maps, pyramid), current_stream(grad));
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  for (Tensor& map : maps)
    if (sum_type != type) map = torch::stable::to(map, type);
  return maps;
}

}  // namespace
}  // namespace segsuite

STABLE_TORCH_LIBRARY_IMPL(segsuite, CUDA, m) {
  m.impl("roi_align", TORCH_BOX(&segsuite::roi_align<&segsuite::multilevel_roi_align>));
  m.impl("roi_align_backward",
         TORCH_BOX(&segsuite::roi_align_backward<&segsuite::multilevel_roi_align_backward>));
  m.impl("multilevel_roi_align", TORCH_BOX(&segsuite::multilevel_roi_align));
  m.impl("multilevel_roi_align_backward", TORCH_BOX(&segsuite::multilevel_roi_align_backward));
}
