// The launches of cuda/batched_nms.cuh, emulated, for calls from Python.
#include <algorithm>
#include <vector>

#include "cuda/batched_nms.cuh"

extern "C" void batched_nms(const void* boxes, const float* scores, const int64_t* groups,
                            int64_t group_stride, int64_t images, int length, double iou_threshold,
                            int topk, int64_t* indices, int64_t* counts) {
  using namespace segsuite;
  const int32_t slots = nms_slots(groups), limit = std::min(topk, length);
  std::vector<uint64_t> kept_keys(images * slots * limit, ~uint64_t{0});
  std::vector<int32_t> kept_counts(images * slots, -1);
  const NmsProblem problem{static_cast<const NmsBox*>(boxes),
                           scores,
                           groups,
                           group_stride,
                           images,
                           length,
                           slots,
                           topk,
                           limit,
                           NmsThreshold(iou_threshold),
                           kept_keys.data(),
                           kept_counts.data()};
  launch_batched_nms(problem, indices, counts, nullptr);
}
