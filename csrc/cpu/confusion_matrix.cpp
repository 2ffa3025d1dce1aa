// Confusion matrix of two label maps.
#include "cpu/confusion_matrix.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <type_traits>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "common/confusion_matrix_arguments.h"
#include "common/parallel.h"

#define SEGSUITE_KERNEL "cpu/confusion_matrix_kernel.inc"
#include "common/foreach_isa.h"

namespace segsuite {
namespace {

void confusion_matrix(const Tensor& pred, const Tensor& target, int64_t num_classes,
                      int64_t ignore_index, Tensor out) {
  check_label_maps(pred, target, num_classes, out);
  const Tensor dense_pred = torch::stable::contiguous(pred);
  const Tensor dense_target = torch::stable::contiguous(target);
  const Labels pred_labels{dense_pred.const_data_ptr(), pred.scalar_type()};
  const Labels target_labels{dense_target.const_data_ptr(), target.scalar_type()};
  auto* counts = static_cast<int64_t*>(out.mutable_data_ptr());
  const auto count = SEGSUITE_BEST_ISA(count_labels);
  parallel_shares(pred.numel(), pixels_per_thread(num_classes), [&](int64_t begin, int64_t end) {
    Histogram histogram(num_classes);
    count(pred_labels, target_labels, begin, end, ignore_index, histogram);
    histogram.flush(counts);
  });
}

}  // namespace
}  // namespace segsuite

STABLE_TORCH_LIBRARY_IMPL(segsuite, CPU, m) {
  m.impl("confusion_matrix", TORCH_BOX(&segsuite::confusion_matrix));
}
