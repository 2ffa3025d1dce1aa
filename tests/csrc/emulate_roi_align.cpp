// The launches of cuda/roi_align.cuh, emulated, for calls from Python.
#include <torch/headeronly/util/Half.h>

#include "cuda/roi_align.cuh"

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

// Forward, and backward with a gradient for each map: 0, 1 (atomics), 2 (ordered).
template <typename S, typename T>
void run(const Pooling& pooling, int direction) {
  const RoiList<T> rois{static_cast<const T*>(pooling.rois), pooling.num_rois, pooling.options};
  if (direction == 0)
    launch_roi_align<S, T>(pyramid<const S>(pooling), rois, view<S>(pooling.pooled), nullptr);
  else if (direction == 1)
    launch_roi_align_backward<S, T>(view<const S>(pooling.pooled), rois, pyramid<T>(pooling),
                                    nullptr);
  else
    launch_roi_align_backward_ordered<S, T>(view<const S>(pooling.pooled), rois,
                                            pyramid<S>(pooling), nullptr);
}

}  // namespace

// Types: 0 float, 1 double, 2 half.
extern "C" void run(const Pooling* pooling, int type, int direction) {
  if (type == 0) run<float, float>(*pooling, direction);
  if (type == 1) run<double, double>(*pooling, direction);
  if (type == 2) run<torch::headeronly::Half, float>(*pooling, direction);
}
