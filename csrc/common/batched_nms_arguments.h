// What the CPU and the CUDA operator of non-maximum suppression check alike. The wrapper in
// segsuite/ops has checked the arguments with better messages; the checks here keep memory safe.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <algorithm>
#include <cstdint>
#include <optional>

#include "common/batched_nms.h"

namespace segsuite {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// The arguments as the kernels read them, dense, and the results.
struct BatchedNms {
  Tensor boxes, scores;
  std::optional<Tensor> groups;
  int64_t images, length, topk;
  int64_t group_stride;  // from one image's groups to the next; zero if they share them
  NmsThreshold threshold;
  Tensor indices, counts;

  BatchedNms(const Tensor& boxes, const Tensor& scores, const std::optional<Tensor>& groups,
             double iou_threshold, int64_t topk)
      : boxes(boxes), scores(scores), groups(groups), topk(topk), threshold(iou_threshold) {
    STD_TORCH_CHECK(boxes.dim() == 3 && boxes.size(2) == 4 &&
                        boxes.scalar_type() == ScalarType::Float,
                    "batched_nms: boxes are (N, L, 4) float32");
    images = boxes.size(0);
    length = boxes.size(1);
    STD_TORCH_CHECK(scores.dim() == 2 && scores.size(0) == images && scores.size(1) == length &&
                        scores.scalar_type() == ScalarType::Float &&
                        scores.device() == boxes.device(),
                    "batched_nms: scores are (N, L) float32 on the device of the boxes");
    STD_TORCH_CHECK(iou_threshold >= 0, "batched_nms: the IoU threshold is ", iou_threshold);
    constexpr int64_t most = INT32_MAX;
    STD_TORCH_CHECK(length <= most && topk >= 0 && topk <= most,
                    "batched_nms: there are at most ", most, " boxes of an image, of which topk = ",
                    topk, " can be kept");
    if (groups) check_groups();
    group_stride = groups && groups->dim() == 2 ? length : 0;
    this->boxes = torch::stable::contiguous(boxes);
    if (reinterpret_cast<uintptr_t>(this->boxes.const_data_ptr()) % alignof(NmsBox) != 0)
      this->boxes = torch::stable::clone(this->boxes);
    this->scores = torch::stable::contiguous(scores);
    if (groups) this->groups = torch::stable::contiguous(*groups);
    indices = torch::stable::new_empty(boxes, {images, topk}, ScalarType::Long);
    counts = torch::stable::new_empty(boxes, {images}, ScalarType::Long);
  }

  const NmsBox* box_data() const { return static_cast<const NmsBox*>(boxes.const_data_ptr()); }
  const float* score_data() const { return static_cast<const float*>(scores.const_data_ptr()); }
  const int64_t* group_data() const {
    return groups ? static_cast<const int64_t*>(groups->const_data_ptr()) : nullptr;
  }
  int64_t* index_data() { return static_cast<int64_t*>(indices.mutable_data_ptr()); }
  int64_t* count_data() { return static_cast<int64_t*>(counts.mutable_data_ptr()); }

 private:
  void check_groups() const {
    const int64_t axes = groups->dim();
    STD_TORCH_CHECK((axes == 1 || (axes == 2 && groups->size(0) == images)) &&
                        groups->size(axes - 1) == length &&
                        groups->scalar_type() == ScalarType::Long &&
                        groups->device() == boxes.device(),
                    "batched_nms: groups are (L,) or (N, L) int64 on the device of the boxes");
  }
};

}  // namespace segsuite
