// Confusion matrix and label map straight from low-resolution logits.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <limits>
#include <optional>
#include <type_traits>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "common/confusion_matrix_arguments.h"
#include "common/parallel.h"
#include "cpu/confusion_matrix.h"
#include "cpu/upsample_argmax.h"

#define SEGSUITE_KERNEL "cpu/from_logits_kernel.inc"
#include "common/foreach_isa.h"

namespace segsuite {
namespace {

Upsampling make_upsampling(const Tensor& logits, int64_t height, int64_t width,
                           std::optional<double> source_height,
                           std::optional<double> source_width) {
  check_upsampling(logits, height, width, source_height, source_width);
  const double used_height = source_height.value_or(static_cast<double>(logits.size(2)));
  const double used_width = source_width.value_or(static_cast<double>(logits.size(3)));
  return {{logits.const_data_ptr(), logits.scalar_type(), logits.size(1), logits.size(2), logits.size(3),
           logits.stride(0), logits.stride(1), logits.stride(2), logits.stride(3)},
          height,
          width,
          Axis(logits.size(2), used_height, height),
          Axis(logits.size(3), used_width, width)};
}

void confusion_matrix_from_logits(const Tensor& logits, const Tensor& target,
                                  int64_t ignore_index, std::optional<double> source_height,
                                  std::optional<double> source_width, Tensor out) {
  check_upsampled_target(logits, target, out);
  const int64_t images = target.size(0), height = target.size(1), width = target.size(2);
  const Upsampling up = make_upsampling(logits, height, width, source_height, source_width);
  const int64_t entries = (up.logits.num_classes + 1) * (up.logits.num_classes + 1);
  const bool per_image = out.dim() == 3;
  if (target.numel() == 0) return;
  const Tensor dense_target = torch::stable::contiguous(target);
  const Labels labels{dense_target.const_data_ptr(), target.scalar_type()};
  auto* counts = static_cast<int64_t*>(out.mutable_data_ptr());
  const auto count = SEGSUITE_BEST_ISA(count_from_logits);
  const int64_t grain = (pixels_per_thread(up.logits.num_classes) + width - 1) / width;
  parallel_shares(images * height, grain, [&](int64_t begin, int64_t end) {
    count(up, begin, end, labels, ignore_index, counts, per_image ? entries : 0);
  });
}

Tensor argmax_from_logits(const Tensor& logits, int64_t height, int64_t width,
                          std::optional<double> source_height,
                          std::optional<double> source_width) {
  const Upsampling up = make_upsampling(logits, height, width, source_height, source_width);
  const bool narrow = up.logits.num_classes <= 255;  // 255 itself may then mark NaN
  Tensor out = torch::stable::new_empty(logits, {logits.size(0), height, width},
                                        narrow ? ScalarType::Byte : ScalarType::Short);
  if (out.numel() == 0) return out;
  void* labels = out.mutable_data_ptr();
  parallel_shares(logits.size(0) * height, 32768 / width + 1, [&](int64_t begin, int64_t end) {
    if (narrow)
      SEGSUITE_BEST_ISA(write_labels<uint8_t>)(up, begin, end, static_cast<uint8_t*>(labels));
    else
      SEGSUITE_BEST_ISA(write_labels<int16_t>)(up, begin, end, static_cast<int16_t*>(labels));
  });
  return out;
}

}  // namespace
}  // namespace segsuite

STABLE_TORCH_LIBRARY_IMPL(segsuite, CPU, m) {
  m.impl("confusion_matrix_from_logits", TORCH_BOX(&segsuite::confusion_matrix_from_logits));
  m.impl("argmax_from_logits", TORCH_BOX(&segsuite::argmax_from_logits));
}
