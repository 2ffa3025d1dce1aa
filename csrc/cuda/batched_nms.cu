// Registration of the CUDA kernels in batched_nms.cuh.
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/macros.h>

#include <tuple>

#include "common/batched_nms_arguments.h"
#include "common/cuda_stream.h"
#include "cuda/batched_nms.cuh"

namespace segsuite {
namespace {

std::tuple<Tensor, Tensor> batched_nms(const Tensor& boxes, const Tensor& scores,
                                       const std::optional<Tensor>& groups, double iou_threshold,
                                       int64_t topk) {
  const torch::stable::accelerator::DeviceGuard guard(boxes.get_device_index());
  BatchedNms nms(boxes, scores, groups, iou_threshold, topk);
  const int64_t limit = std::min(topk, nms.length);
  if (nms.images * limit == 0)
    return {torch::stable::zero_(nms.indices), torch::stable::zero_(nms.counts)};
  const int32_t slots = nms_slots(nms.group_data());
  STD_TORCH_CHECK(nms.images <= INT32_MAX / slots, "batched_nms: there are ", nms.images, " images");
  Tensor kept_keys =
      torch::stable::new_empty(boxes, {nms.images, slots, limit}, ScalarType::Long);
  Tensor kept_counts = torch::stable::new_empty(boxes, {nms.images, slots}, ScalarType::Int);
  const NmsProblem problem{nms.box_data(),
                           nms.score_data(),
                           nms.group_data(),
                           nms.group_stride,
                           nms.images,
                           static_cast<int32_t>(nms.length),
                           slots,
                           static_cast<int32_t>(topk),
                           static_cast<int32_t>(limit),
                           nms.threshold,
                           static_cast<uint64_t*>(kept_keys.mutable_data_ptr()),
                           static_cast<int32_t*>(kept_counts.mutable_data_ptr())};
  launch_batched_nms(problem, nms.index_data(), nms.count_data(), current_stream(boxes));
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return {nms.indices, nms.counts};
}

}  // namespace
}  // namespace segsuite

STABLE_TORCH_LIBRARY_IMPL(segsuite, CUDA, m) {
  m.impl("batched_nms", TORCH_BOX(&segsuite::batched_nms));
}
