// RoIAlign and its gradient, over one feature map or a pyramid of them.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/parallel.h"
#include "common/roi_align_arguments.h"
#include "cpu/roi_align_sweep.h"
#include "cpu/roi_align_views.h"

#define SEGSUITE_KERNEL "cpu/roi_align_kernel.inc"
#include "common/foreach_isa.h"

namespace segsuite {
namespace {

constexpr int64_t kChannels = 64;          // of a task,
constexpr int64_t kNarrowChannels = 16;    // and of a task whose RoIs would take more than
constexpr int64_t kPooledBytes = 8 << 20;  // of pooled values in work

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <typename S>
MapView<S> map_view(const Tensor& x) {
  S* data;
  if constexpr (std::is_const_v<S>)
    data = static_cast<S*>(x.const_data_ptr());
  else
    data = static_cast<S*>(x.mutable_data_ptr());
  return {data, static_cast<int32_t>(x.size(3)), x.stride(0), x.stride(1), x.stride(2), x.stride(3)};
}

// The RoIs in the order in which they are pooled: by level, by image, from top to bottom. Those that
// cannot be pooled are left out; segsuite/ops names them in an error.
template <typename T>
std::vector<Box<T>> sorted_boxes(const Tensor& rois, const Pyramid& pyramid) {
  const Tensor dense = torch::stable::contiguous(rois);
  const T* roi = static_cast<const T*>(dense.const_data_ptr());
  std::vector<Box<T>> boxes;
  boxes.reserve(rois.size(0));
  for (int64_t i = 0; i < rois.size(0); ++i, roi += 5) {
    const auto images = static_cast<T>(pyramid.images);
    if (!can_be_pooled(roi[0], roi[1], roi[2], roi[3], roi[4], images)) continue;
    const int32_t level = roi_level(roi[1], roi[2], roi[3], roi[4], pyramid.assignment);
    boxes.push_back({i, level, static_cast<int32_t>(roi[0]), roi[1], roi[2], roi[3], roi[4]});
  }
  std::stable_sort(boxes.begin(), boxes.end(), [](const Box<T>& a, const Box<T>& b) {
    return std::tie(a.level, a.image, a.y1) < std::tie(b.level, b.image, b.y1);
  });
  return boxes;
}

// Sorted boxes [begin, end), all of one map.
struct Group {
  int32_t level, image;
  size_t begin, end;
};

template <typename T>
std::vector<RoiSweep<T>> build_sweeps(const std::vector<Box<T>>& boxes,
                                      const std::vector<Group>& groups, const Pyramid& pyramid,
                                      const RoiAlignOptions& options) {
  std::vector<RoiSweep<T>> sweeps(groups.size());
  parallel_shares(static_cast<int64_t>(groups.size()), 1, [&](int64_t first, int64_t last) {
    SweepBuilder<T> builder(options);
    for (int64_t i = first; i < last; ++i) {
      const Group& group = groups[i];
      const Pyramid::Level& level = pyramid.levels[group.level];
      sweeps[i] = builder.build(boxes.data() + group.begin, boxes.data() + group.end, level.height,
                                level.width, static_cast<T>(level.scale));
      sweeps[i].level = group.level;
      sweeps[i].image = group.image;
    }
  });
  return sweeps;
}

// Runs task(i, scratch) for each i in [0, n), on whichever thread is free.
template <typename F>
void run_tasks(int64_t n, const F& task) {
  std::atomic<int64_t> next{0};
  parallel_shares(n, 1, [&](int64_t, int64_t) {
    Scratch scratch;
    for (int64_t i; (i = next.fetch_add(1)) < n;) task(i, &scratch);
  });
}

template <typename S>
void pool(const std::vector<Tensor>& features, const Tensor& rois, const Pyramid& pyramid,
          const RoiAlignOptions& options, const Tensor& out) {
  using T = Accumulator<S>;
  const std::vector<Box<T>> boxes = sorted_boxes<T>(rois, pyramid);
  if (static_cast<int64_t>(boxes.size()) < rois.size(0)) torch::stable::fill_(out, NAN);
  if (boxes.empty() || pyramid.channels == 0) return;
  const int64_t blocks = ceil_div(pyramid.channels, kChannels);
  const auto most = static_cast<size_t>(std::clamp<int64_t>(
      kPooledBytes / (options.bins() * kChannels * int64_t{sizeof(T)}), 1,
      ceil_div(static_cast<int64_t>(boxes.size()) * blocks, torch::stable::get_num_threads())));
  std::vector<Group> groups;
  for (size_t i = 0; i < boxes.size(); ++i) {
    if (groups.empty() || groups.back().level != boxes[i].level ||
        groups.back().image != boxes[i].image || i - groups.back().begin == most)
      groups.push_back({boxes[i].level, boxes[i].image, i, i});
    groups.back().end = i + 1;
  }
  const std::vector<RoiSweep<T>> sweeps = build_sweeps(boxes, groups, pyramid, options);

  std::vector<MapView<const S>> maps;
  for (const Tensor& feature : features) maps.push_back(map_view<const S>(feature));
  const RoiView<S> pooled{static_cast<S*>(out.mutable_data_ptr()), out.stride(0), out.stride(1),
                          out.stride(3)};
  const auto num_sweeps = static_cast<int64_t>(sweeps.size());
  run_tasks(blocks * num_sweeps, [&](int64_t task, Scratch* scratch) {
    const int64_t channel = task / num_sweeps * kChannels;
    const RoiSweep<T>& sweep = sweeps[task % num_sweeps];
    SEGSUITE_BEST_ISA(sweep_forward<S>)
    (sweep, options, maps[sweep.level], pooled, channel,
     std::min(channel + kChannels, pyramid.channels), scratch);
  });
}

template <typename S>
void spread(const Tensor& grad, const Tensor& rois, const Pyramid& pyramid,
            const RoiAlignOptions& options, const std::vector<Tensor>& feature_grads) {
  using T = Accumulator<S>;
  const std::vector<Box<T>> boxes = sorted_boxes<T>(rois, pyramid);
  if (pyramid.images * pyramid.channels == 0) return;
  const auto num_levels = static_cast<int32_t>(pyramid.levels.size());
  std::vector<Group> groups;  // one for each map; one without RoIs gets zeros
  size_t begin = 0, most = 0;
  for (int32_t level = 0; level < num_levels; ++level)
    for (int32_t image = 0; image < pyramid.images; ++image) {
      size_t end = begin;
      while (end < boxes.size() && boxes[end].level == level && boxes[end].image == image) ++end;
      groups.push_back({level, image, begin, end});
      most = std::max(most, end - begin);
      begin = end;
    }
  const std::vector<RoiSweep<T>> sweeps = build_sweeps(boxes, groups, pyramid, options);

  const bool fits =
      static_cast<int64_t>(most * sizeof(T)) * options.bins() * kChannels <= kPooledBytes;
  const int64_t block = fits ? kChannels : kNarrowChannels;
  const auto num_sweeps = static_cast<int64_t>(sweeps.size());
  const int64_t maps_and_blocks = ceil_div(pyramid.channels, block) * num_sweeps;
  const int64_t bands = ceil_div(torch::stable::get_num_threads(), maps_and_blocks);
  std::vector<MapView<S>> maps;
  for (const Tensor& feature_grad : feature_grads) maps.push_back(map_view<S>(feature_grad));
  const RoiView<const S> pooled_grad{static_cast<const S*>(grad.const_data_ptr()), grad.stride(0),
                                     grad.stride(1), grad.stride(3)};
  run_tasks(maps_and_blocks * bands, [&](int64_t task, Scratch* scratch) {
    const int64_t channel = task / (num_sweeps * bands) * block, band = task % bands;
    const RoiSweep<T>& sweep = sweeps[task / bands % num_sweeps];
    const int64_t height = pyramid.levels[sweep.level].height;
    SEGSUITE_BEST_ISA(sweep_backward<S>)
    (sweep, options, pooled_grad, maps[sweep.level], static_cast<int32_t>(height * band / bands),
     static_cast<int32_t>(height * (band + 1) / bands), channel,
     std::min(channel + block, pyramid.channels), scratch);
  });
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
  const Tensor out =
      new_empty(finest, {rois.size(0), pyramid.channels, pooled_height, pooled_width},
                is_channels_last(finest), finest.scalar_type());
  for (Tensor& feature : features) feature = with_unit_stride(feature);
  with_floating_type(out.scalar_type(), [&](auto type) {
    pool<decltype(type)>(features, rois, pyramid, options, out);
  });
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
  std::vector<Tensor> feature_grads;
  for (const Pyramid::Level& level : pyramid.levels)
    feature_grads.push_back(new_empty(
        grad, {pyramid.images, pyramid.channels, level.height, level.width}, channels_last,
        grad.scalar_type()));
  with_floating_type(grad.scalar_type(), [&](auto type) {
    spread<decltype(type)>(with_flat_bins(grad), rois, pyramid, options, feature_grads);
  });
  return feature_grads;
}

}  // namespace
}  // namespace segsuite

STABLE_TORCH_LIBRARY_IMPL(segsuite, CPU, m) {
  m.impl("roi_align", TORCH_BOX(&segsuite::roi_align<&segsuite::multilevel_roi_align>));
  m.impl("roi_align_backward",
         TORCH_BOX(&segsuite::roi_align_backward<&segsuite::multilevel_roi_align_backward>));
  m.impl("multilevel_roi_align", TORCH_BOX(&segsuite::multilevel_roi_align));
  m.impl("multilevel_roi_align_backward", TORCH_BOX(&segsuite::multilevel_roi_align_backward));
}
