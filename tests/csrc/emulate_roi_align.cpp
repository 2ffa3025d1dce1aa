// The launches of RoIAlign's CUDA kernels, emulated, for calls from Python.
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <vector>

#include "cuda/roi_align_backward.cuh"
#include "cuda/roi_align_forward.cuh"
#include "cuda/to_channels_last.cuh"

namespace {

using namespace segsuite;

struct Map {
  void* data;
  int64_t strides[4];
  int32_t height, width;
  double scale;
};

struct Pooling {
  Map maps[kMaxLevels];
  Map pooled;  // its data and strides alone
  const void* rois;
  int64_t num_rois;
  int32_t images, channels;
  RoiLevels assignment;
  RoiAlignOptions options;
};

template <typename S>
View4<S> view(const Map& map) {
  const int64_t* strides = map.strides;
  return {static_cast<S*>(map.data), {strides[0], strides[1], strides[2], strides[3]}};
}

template <typename S>
MapPyramid<S> pyramid(const Pooling& pooling) {
  MapPyramid<S> result{};
  for (int i = 0; i < pooling.assignment.count; ++i) {
    const Map& map = pooling.maps[i];
    result.maps[i] = view<S>(map);
    result.levels[i] = {map.height, map.width, map.scale};
  }
  result.images = pooling.images;
  result.channels = pooling.channels;
  result.assignment = pooling.assignment;
  return result;
}

template <typename S, typename T>
void pool(const Pooling& pooling, bool backward) {
  const RoiList<T> rois{static_cast<const T*>(pooling.rois), static_cast<int32_t>(pooling.num_rois),
                        pooling.options};
  if (!backward)
    return launch_roi_align<S, T>(pyramid<const S>(pooling), rois, view<S>(pooling.pooled), nullptr);
  std::vector<ListedRoi> listed(pooling.num_rois);
  std::vector<int32_t> first(pooling.images * pooling.assignment.count), count(first);
  launch_roi_align_backward<S, T>(view<const S>(pooling.pooled), rois, pyramid<S>(pooling),
                                  {listed.data(), first.data(), count.data()}, nullptr);
}

template <typename F>
void with_type(int type, const F& f) {
  if (type == 0) f(float(), float());
  if (type == 1) f(double(), double());
  if (type == 2) f(torch::headeronly::Half(), float());
  if (type == 3) f(torch::headeronly::BFloat16(), float());
}

}  // namespace

extern "C" void run(const Pooling* pooling, int type, bool backward) {
  with_type(type, [&](auto value, auto sum) {
    pool<decltype(value), decltype(sum)>(*pooling, backward);
  });
}

extern "C" bool worth(const Pooling* pooling) {
  return worth_channels_last(pyramid<const float>(*pooling),
                             RoiList<float>{nullptr, static_cast<int32_t>(pooling->num_rois), pooling->options});
}

// `map` has `images` images of `channels`; `to` has room for all of it.
extern "C" void copy_channels_last(const Map* map, int images, int channels, int type, void* to) {
  with_type(type, [&](auto value, auto) {
    using S = decltype(value);
    const int64_t* strides = map->strides;
    launch_to_channels_last<S>({static_cast<const S*>(map->data),
                                {strides[0], strides[1], strides[2], strides[3]},
                                static_cast<S*>(to),
                                images,
                                channels,
                                map->height,
                                map->width},
                               nullptr);
  });
}
