// Registration of the CUDA kernels in confusion_matrix.cuh and from_logits.cuh.
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/macros.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <optional>
#include <type_traits>

#include "common/confusion_matrix_arguments.h"
#include "common/cuda_stream.h"
#include "cuda/confusion_matrix.cuh"
#include "cuda/from_logits.cuh"

namespace segsuite {
namespace {

LabelMap label_map(const Tensor& labels) {
  const void* data = labels.const_data_ptr();
  switch (labels.scalar_type()) {
    case ScalarType::Byte: return {data, LabelType::uint8};
    case ScalarType::Char: return {data, LabelType::int8};
    case ScalarType::Short: return {data, LabelType::int16};
    case ScalarType::UInt16: return {data, LabelType::uint16};
    case ScalarType::Int: return {data, LabelType::int32};
    case ScalarType::UInt32: return {data, LabelType::uint32};
    case ScalarType::UInt64: return {data, LabelType::uint64};
    case ScalarType::Long: return {data, LabelType::int64};
    default: STD_TORCH_CHECK(false, "label maps are of an integer type"); return {};
  }
}

Count* counts_of(Tensor& out) { return static_cast<Count*>(out.mutable_data_ptr()); }

void confusion_matrix(const Tensor& pred, const Tensor& target, int64_t num_classes,
                      int64_t ignore_index, Tensor out) {
  check_label_maps(pred, target, num_classes, out);
  if (pred.numel() == 0) return;
  const torch::stable::accelerator::DeviceGuard guard(pred.get_device_index());
  const Tensor dense_pred = torch::stable::contiguous(pred);
  const Tensor dense_target = torch::stable::contiguous(target);
  launch_count_labels(label_map(dense_pred), label_map(dense_target), pred.numel(),
                      static_cast<int>(num_classes), ignore_index, counts_of(out),
                      current_stream(pred));
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

// Calls f(view) with the logits as the view of their type.
template <typename F>
void with_view(const Tensor& logits, const F& f) {
  const auto view = [&](const auto* data) {
    using T = std::remove_cv_t<std::remove_pointer_t<decltype(data)>>;
    return LogitsView<T>{data,
                         static_cast<int>(logits.size(1)),
                         static_cast<int>(logits.size(2)),
                         static_cast<int>(logits.size(3)),
                         logits.stride(0),
                         logits.stride(1),
                         logits.stride(2),
                         logits.stride(3)};
  };
  const void* data = logits.const_data_ptr();
  switch (logits.scalar_type()) {
    case ScalarType::Float: return f(view(static_cast<const float*>(data)));
    case ScalarType::Half: return f(view(static_cast<const torch::headeronly::Half*>(data)));
    case ScalarType::BFloat16:
      return f(view(static_cast<const torch::headeronly::BFloat16*>(data)));
    default: STD_TORCH_CHECK(false, "logits are float32, float16 or bfloat16");  // checked before
  }
}

OutputSize output_size(const Tensor& logits, int64_t height, int64_t width,
                       std::optional<double> source_height, std::optional<double> source_width) {
  const double used_height = source_height.value_or(static_cast<double>(logits.size(2)));
  const double used_width = source_width.value_or(static_cast<double>(logits.size(3)));
  return {static_cast<int>(height), static_cast<int>(width),
          used_height / static_cast<double>(height), used_width / static_cast<double>(width)};
}

void confusion_matrix_from_logits(const Tensor& logits, const Tensor& target,
                                  int64_t ignore_index, std::optional<double> source_height,
                                  std::optional<double> source_width, Tensor out) {
  check_upsampled_target(logits, target, out);
  check_upsampling(logits, target.size(1), target.size(2), source_height, source_width);
  const int64_t images = target.size(0);
  const int64_t entries = (logits.size(1) + 1) * (logits.size(1) + 1);
  const bool per_image = out.dim() == 3;
  if (target.numel() == 0) return;
  const torch::stable::accelerator::DeviceGuard guard(logits.get_device_index());
  const Tensor dense_target = torch::stable::contiguous(target);
  with_view(logits, [&](const auto& view) {
    launch_count_from_logits(
        view, output_size(logits, target.size(1), target.size(2), source_height, source_width),
        label_map(dense_target), images, ignore_index, counts_of(out), per_image ? entries : 0,
        current_stream(logits));
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

Tensor argmax_from_logits(const Tensor& logits, int64_t height, int64_t width,
                          std::optional<double> source_height,
                          std::optional<double> source_width) {
  check_upsampling(logits, height, width, source_height, source_width);
  const int64_t images = logits.size(0);
  const bool narrow = logits.size(1) <= 255;  // 255 itself may then mark NaN
  const torch::stable::accelerator::DeviceGuard guard(logits.get_device_index());
  Tensor out = torch::stable::new_empty(logits, {images, height, width},
                                        narrow ? ScalarType::Byte : ScalarType::Short);
  if (out.numel() == 0) return out;
  const OutputSize size = output_size(logits, height, width, source_height, source_width);
  with_view(logits, [&](const auto& view) {
    if (narrow)
      launch_argmax_from_logits(view, size, images,
                                static_cast<uint8_t*>(out.mutable_data_ptr()),
                                current_stream(logits));
    else
      launch_argmax_from_logits(view, size, images,
                                static_cast<int16_t*>(out.mutable_data_ptr()),
                                current_stream(logits));
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return out;
}

}  // namespace
}  // namespace segsuite

STABLE_TORCH_LIBRARY_IMPL(segsuite, CUDA, m) {
  m.impl("confusion_matrix", TORCH_BOX(&segsuite::confusion_matrix));
  m.impl("confusion_matrix_from_logits", TORCH_BOX(&segsuite::confusion_matrix_from_logits));
  m.impl("argmax_from_logits", TORCH_BOX(&segsuite::argmax_from_logits));
}
