// What the CPU and the CUDA operator of the epilogue of convolutions check alike. The wrapper in
// segsuite/ops has checked the arguments with better messages; the checks here keep memory safe.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <cstdint>
#include <optional>

#include "common/conv_epilogue.h"

namespace segsuite {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Whether (N, C, H, W) lie in memory in this order, or as (N, H, W, C), without gaps.
inline bool is_dense(const Tensor& x, bool channels_last) {
  constexpr int orders[2][4] = {{3, 2, 1, 0}, {1, 3, 2, 0}};
  int64_t stride = 1;
  for (const int axis : orders[channels_last]) {
    if (x.size(axis) != 1 && x.stride(axis) != stride) return false;
    stride *= x.size(axis);
  }
  return true;
}

// Calls f(ConvEpilogue<S>) with the arguments as the kernels read them, unless x is empty.
template <typename F>
void with_conv_epilogue(Tensor& x, const std::optional<Tensor>& bias,
                        const std::optional<Tensor>& residual, bool upsample, bool relu,
                        const F& f) {
  STD_TORCH_CHECK(x.dim() == 4, "conv_epilogue_: x is (N, C, H, W)");
  const ScalarType type = x.scalar_type();
  const auto is_laid_out = [&](bool channels_last) {
    return is_dense(x, channels_last) && (!residual || is_dense(*residual, channels_last));
  };
  if (bias) {
    const ScalarType wanted = type == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
    STD_TORCH_CHECK(bias->dim() == 1 && bias->size(0) == x.size(1) && bias->is_contiguous() &&
                        bias->scalar_type() == wanted && bias->device() == x.device(),
                    "conv_epilogue_: the bias is (C,) float32, float64 with float64 x, dense, on "
                    "the device of x");
  }
  STD_TORCH_CHECK(residual || !upsample, "conv_epilogue_: no residual to upsample");
  if (residual) {
    const int64_t scale = upsample ? 2 : 1;
    STD_TORCH_CHECK(residual->dim() == 4 && residual->size(0) == x.size(0) &&
                        residual->size(1) == x.size(1) && residual->size(2) <= x.size(2) &&
                        residual->size(2) * scale == x.size(2) &&
                        residual->size(3) <= x.size(3) &&
                        residual->size(3) * scale == x.size(3) &&
                        residual->scalar_type() == type && residual->device() == x.device(),
                    "conv_epilogue_: the residual is of the size, type and device of x, or half as "
                    "high and wide to be upsampled");
  }
  const bool channels_last = is_laid_out(true);
  STD_TORCH_CHECK(channels_last || is_laid_out(false),
                  "conv_epilogue_: x and the residual are contiguous, or channels-last, both alike");
  if (x.numel() == 0) return;
  const auto call = [&](auto value) {
    using S = decltype(value);
    using Sum = typename ConvEpilogue<S>::Sum;
    f(ConvEpilogue<S>{static_cast<S*>(x.mutable_data_ptr()),
                      bias ? static_cast<const Sum*>(bias->const_data_ptr()) : nullptr,
                      residual ? static_cast<const S*>(residual->const_data_ptr()) : nullptr,
                      x.size(0), x.size(1), x.size(2), x.size(3), channels_last, upsample, relu});
  };
  switch (type) {
    case ScalarType::Float: return call(float());
    case ScalarType::Double: return call(double());
    case ScalarType::Half: return call(torch::headeronly::Half());
    case ScalarType::BFloat16: return call(torch::headeronly::BFloat16());
    default: STD_TORCH_CHECK(false, "conv_epilogue_: x is floating point");
  }
}

}  // namespace segsuite
