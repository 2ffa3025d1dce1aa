// Registration of the CUDA kernels of RoIAlign.
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/macros.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <type_traits>
#include <utility>

#include "common/cuda_stream.h"
#include "common/roi_align_arguments.h"
#include "cuda/roi_align_backward.cuh"
#include "cuda/roi_align_forward.cuh"
#include "cuda/to_channels_last.cuh"

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
  constexpr int64_t most_channels = 65535 * 32;  // the grid's second side
  STD_TORCH_CHECK(maps.size() <= kMaxLevels, "roi_align: at most ", kMaxLevels, " levels");
  STD_TORCH_CHECK(pyramid.images <= INT32_MAX / kMaxLevels && pyramid.channels <= most_channels,
                  "roi_align: at most ", INT32_MAX / kMaxLevels, " images and ", most_channels,
                  " channels");
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
RoiList<T> roi_list(const Tensor& rois, const RoiAlignOptions& options) {
  constexpr int64_t most = INT32_MAX / 2;  // and the kernels' strides
  STD_TORCH_CHECK(rois.size(0) <= most, "roi_align: at most ", most, " RoIs");
  return {static_cast<const T*>(rois.const_data_ptr()), static_cast<int32_t>(rois.size(0)), options};
}

// The tensor, or a copy of it in which the channels of a pixel are adjacent.
template <typename S>
Tensor with_adjacent_channels(const Tensor& x) {
  if (x.stride(1) == 1 || x.numel() == 0) return x;
  const Tensor copy = new_empty(x, {x.size(0), x.size(1), x.size(2), x.size(3)}, true, x.scalar_type());
  launch_to_channels_last<S>(
      {static_cast<const S*>(x.const_data_ptr()),
       {x.stride(0), x.stride(1), x.stride(2), x.stride(3)},
       static_cast<S*>(copy.mutable_data_ptr()),
       x.size(0),
       static_cast<int32_t>(x.size(1)),
       static_cast<int32_t>(x.size(2)),
       static_cast<int32_t>(x.size(3))},
      current_stream(x));
  return copy;
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
    const RoiList<Sum<S>> list = roi_list<Sum<S>>(dense_rois, options);
    MapPyramid<const S> maps = map_pyramid<const S>(features, pyramid);
    if (worth_channels_last(maps, list)) {
      for (Tensor& feature : features) feature = with_adjacent_channels<S>(feature);
      maps = map_pyramid<const S>(features, pyramid);
    }
    launch_roi_align<S, Sum<S>>(maps, list, view<S>(out), current_stream(out));
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return out;
}

std::vector<Tensor> multilevel_roi_align_backward(const Tensor& grad, const Tensor& rois,
                                                  std::vector<int64_t> size, bool channels_last,
                                                  std::vector<double> spatial_scales,
                                                  int64_t sampling_ratio, bool aligned,
                                                  int64_t canonical_box_size,
                                                  int64_t canonical_level) {
  const Pyramid pyramid(size, spatial_scales, canonical_box_size, canonical_level);
  check_rois(rois, grad);
  check_grad(grad, rois, pyramid);
  const RoiAlignOptions options =
      roi_align_options(grad.size(2), grad.size(3), sampling_ratio, aligned);
  const torch::stable::accelerator::DeviceGuard guard(grad.get_device_index());
  std::vector<Tensor> maps;
  for (const Pyramid::Level& level : pyramid.levels)
    maps.push_back(new_empty(grad, {pyramid.images, pyramid.channels, level.height, level.width},
                             channels_last, grad.scalar_type()));
  if (pyramid.images * pyramid.channels == 0) return maps;
  const Tensor dense_rois = torch::stable::contiguous(rois);
  // Room for the lists: RoIs, then where each map's begin and how many they are.
  const int64_t keys = pyramid.images * static_cast<int64_t>(pyramid.levels.size());
  constexpr int64_t words = sizeof(ListedRoi) / sizeof(int32_t);
  const Tensor room = torch::stable::empty({rois.size(0) * words + 2 * keys}, ScalarType::Int,
                                           std::nullopt, grad.device());
  auto* const roi_room = static_cast<int32_t*>(room.mutable_data_ptr());
  int32_t* const key_room = roi_room + rois.size(0) * words;
  const ListedRois lists{reinterpret_cast<ListedRoi*>(roi_room), key_room, key_room + keys};
  with_floating_type(grad.scalar_type(), [&](auto type) {
    using S = decltype(type);
    const MapPyramid<S> to = map_pyramid<S>(maps, pyramid);
    STD_TORCH_CHECK(tile_numbers(to).first[maps.size()] <= INT32_MAX,
                    "roi_align: the feature maps are too large");
    const Tensor from = with_adjacent_channels<S>(grad);
    launch_roi_align_backward<S, Sum<S>>(view<const S>(from), roi_list<Sum<S>>(dense_rois, options),
                                         to, lists, current_stream(grad));
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
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
