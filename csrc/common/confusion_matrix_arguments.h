// What the CPU and the CUDA operators of label maps check alike. The wrapper in segsuite/ops has
// checked the arguments with better messages; the checks here keep memory safe.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>

namespace segsuite {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

constexpr int64_t kMaxClasses = 32767;
constexpr int64_t kMaxSide = int64_t{1} << 30;  // pixels, whose number fits into 64 bits

inline void check_labels(const Tensor& labels, const char* name) {
  switch (labels.scalar_type()) {
    case ScalarType::Byte:
    case ScalarType::Char:
    case ScalarType::Short:
    case ScalarType::UInt16:
    case ScalarType::Int:
    case ScalarType::UInt32:
    case ScalarType::Long:
    case ScalarType::UInt64: return;
    default: STD_TORCH_CHECK(false, name, " is not of an integer type");
  }
}

inline void check_device(const Tensor& x, const Tensor& reference) {
  STD_TORCH_CHECK(x.device() == reference.device(), "tensors are on different devices");
}

// `out` is (K+1, K+1), or (N, K+1, K+1) where `images` is given.
inline void check_out(const Tensor& out, const Tensor& labels, int64_t num_classes,
                      std::optional<int64_t> images = std::nullopt) {
  check_device(out, labels);
  const int64_t side = num_classes + 1, axes = images ? 3 : 2;
  STD_TORCH_CHECK(out.dim() == axes && (!images || out.size(0) == *images) &&
                      out.size(axes - 2) == side && out.size(axes - 1) == side &&
                      out.is_contiguous() && out.scalar_type() == ScalarType::Long,
                  "out is a contiguous (K+1, K+1) or (N, K+1, K+1) int64 tensor");
}

inline void check_label_maps(const Tensor& pred, const Tensor& target, int64_t num_classes,
                             const Tensor& out) {
  check_labels(pred, "pred");
  check_labels(target, "target");
  check_device(pred, target);
  STD_TORCH_CHECK(pred.numel() == target.numel(), "pred and target differ in size");
  STD_TORCH_CHECK(num_classes >= 1 && num_classes <= kMaxClasses, "there are 1 to ", kMaxClasses,
                  " classes, not ", num_classes);
  check_out(out, target, num_classes);
}

// The logits, the size that they are brought to, and the part of them that it corresponds to.
inline void check_upsampling(const Tensor& logits, int64_t height, int64_t width,
                             std::optional<double> source_height,
                             std::optional<double> source_width) {
  const ScalarType type = logits.scalar_type();
  STD_TORCH_CHECK(
      type == ScalarType::Float || type == ScalarType::Half || type == ScalarType::BFloat16,
      "logits are float32, float16 or bfloat16");
  STD_TORCH_CHECK(logits.dim() == 4 && logits.size(1) >= 1 && logits.size(1) <= kMaxClasses &&
                      logits.size(2) >= 1 && logits.size(3) >= 1,
                  "logits are (N, K, h, w) with 1 to ", kMaxClasses, " classes");
  STD_TORCH_CHECK(height >= 0 && width >= 0 &&
                      std::max({height, width, logits.size(2), logits.size(3)}) <= kMaxSide,
                  "sizes are from 0 to ", kMaxSide, ", not ", height, " x ", width);
  const double used_height = source_height.value_or(static_cast<double>(logits.size(2)));
  const double used_width = source_width.value_or(static_cast<double>(logits.size(3)));
  STD_TORCH_CHECK(used_height > 0 && used_height <= static_cast<double>(logits.size(2)) &&
                      used_width > 0 && used_width <= static_cast<double>(logits.size(3)),
                  "the source size lies within the logits");
}

inline void check_upsampled_target(const Tensor& logits, const Tensor& target, const Tensor& out) {
  check_labels(target, "target");
  check_device(target, logits);
  STD_TORCH_CHECK(logits.dim() == 4 && target.dim() == 3 && logits.size(0) == target.size(0),
                  "logits are (N, K, h, w) and the target is (N, H, W)");
  if (out.dim() == 3)
    check_out(out, target, logits.size(1), target.size(0));
  else
    check_out(out, target, logits.size(1));
}

}  // namespace segsuite
