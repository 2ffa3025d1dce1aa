// The launches of cuda/confusion_matrix.cuh and from_logits.cuh, emulated, for calls from Python.
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include "cuda/confusion_matrix.cuh"
#include "cuda/from_logits.cuh"

namespace {

using namespace segsuite;

struct Shape {
  int64_t images;
  int32_t num_classes, height, width;
  int64_t strides[4];  // of images, classes, rows, columns
};

// Calls f with the logits as float (0), half (1) or bfloat16 (2).
template <typename F>
void with_view(const void* logits, int type, const Shape& shape, const F& f) {
  const auto view = [&](const auto* data) {
    using T = std::remove_cv_t<std::remove_pointer_t<decltype(data)>>;
    return LogitsView<T>{data,
                         shape.num_classes,
                         shape.height,
                         shape.width,
                         shape.strides[0],
                         shape.strides[1],
                         shape.strides[2],
                         shape.strides[3]};
  };
  if (type == 0) f(view(static_cast<const float*>(logits)));
  if (type == 1) f(view(static_cast<const torch::headeronly::Half*>(logits)));
  if (type == 2) f(view(static_cast<const torch::headeronly::BFloat16*>(logits)));
}

LabelMap label_map(const void* data, int type) { return {data, static_cast<LabelType>(type)}; }

}  // namespace

extern "C" {

void count_labels(const void* pred, int pred_type, const void* target, int target_type, int64_t n,
                  int num_classes, int64_t ignore, Count* out) {
  launch_count_labels(label_map(pred, pred_type), label_map(target, target_type), n, num_classes,
                      ignore, out, nullptr);
}

void count_from_logits(const void* logits, int type, const Shape* shape,
                       const OutputSize* size, const void* target, int target_type, int64_t ignore,
                       Count* out, int64_t out_image_stride) {
  with_view(logits, type, *shape, [&](const auto& view) {
    launch_count_from_logits(view, *size, label_map(target, target_type), shape->images,
                             ignore, out, out_image_stride, nullptr);
  });
}

void argmax_from_logits(const void* logits, int type, const Shape* shape,
                        const OutputSize* size, void* out) {
  with_view(logits, type, *shape, [&](const auto& view) {
    if (shape->num_classes <= 255)
      launch_argmax_from_logits(view, *size, shape->images, static_cast<uint8_t*>(out),
                                nullptr);
    else
      launch_argmax_from_logits(view, *size, shape->images, static_cast<int16_t*>(out),
                                nullptr);
  });
}

}  // extern "C"
