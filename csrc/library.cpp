// Schemas of the operators. The kernels are registered beside their source, in cpu/ and cuda/;
// fake kernels, autograd and argument checks are in segsuite/ops.
#include <torch/csrc/stable/library.h>

#include <string>

#ifdef SEGSUITE_CUDA
#include <cuda_runtime_api.h>
#endif

namespace {

std::string build_info() {
  std::string info =
#if defined(__clang__)
      "clang " __clang_version__;
#elif defined(__GNUC__)
      "gcc " __VERSION__;
#else
      "unknown compiler";
#endif
  info += ", PyTorch " TORCH_VERSION " headers";
#ifdef SEGSUITE_CUDA
  info += ", CUDA " + std::to_string(CUDART_VERSION / 1000) + "." +
          std::to_string(CUDART_VERSION % 1000 / 10);
#else
  info += ", no CUDA kernels";
#endif
  return info;
}

}  // namespace

STABLE_TORCH_LIBRARY(segsuite, m) {
  m.def("build_info() -> str");

  // `out` is (K+1, K+1) int64 and is added to; from_logits also takes (N, K+1, K+1).
  m.def(
      "confusion_matrix(Tensor pred, Tensor target, int num_classes, int ignore_index, "
      "Tensor(a!) out) -> ()");
  m.def(
      "confusion_matrix_from_logits(Tensor logits, Tensor target, int ignore_index, "
      "float? source_height, float? source_width, Tensor(a!) out) -> ()");
  m.def(
      "argmax_from_logits(Tensor logits, SymInt height, SymInt width, float? source_height, "
      "float? source_width) -> Tensor");

  m.def(
      "resize_window(Tensor image, SymInt height, SymInt width, SymInt top, SymInt left, "
      "SymInt window_height, SymInt window_width) -> Tensor");

  m.def(
      "conv_epilogue_(Tensor(a!) x, Tensor? bias, Tensor? residual, bool upsample, bool relu) -> ()");

  m.def(
      "batched_nms(Tensor boxes, Tensor scores, Tensor? groups, float iou_threshold, SymInt topk) "
      "-> (Tensor indices, Tensor counts)");

  m.def(
      "roi_align(Tensor input, Tensor rois, SymInt pooled_height, SymInt pooled_width, "
      "float spatial_scale, int sampling_ratio, bool aligned) -> Tensor");
  m.def(
      "roi_align_backward(Tensor grad, Tensor rois, SymInt[] input_size, bool channels_last, "
      "float spatial_scale, int sampling_ratio, bool aligned) -> Tensor");
  m.def(
      "multilevel_roi_align(Tensor[] features, Tensor rois, SymInt pooled_height, "
      "SymInt pooled_width, float[] spatial_scales, int sampling_ratio, bool aligned, "
      "int canonical_box_size, int canonical_level) -> Tensor");
  // `size` is N, C, H, W of the first feature map, then H, W of each other.
  m.def(
      "multilevel_roi_align_backward(Tensor grad, Tensor rois, SymInt[] size, bool channels_last, "
      "float[] spatial_scales, int sampling_ratio, bool aligned, int canonical_box_size, "
      "int canonical_level) -> Tensor[]");
}

STABLE_TORCH_LIBRARY_IMPL(segsuite, CompositeExplicitAutograd, m) {
  m.impl("build_info", TORCH_BOX(&build_info));
}
