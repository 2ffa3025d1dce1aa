// Registration of the CUDA kernels in conv_epilogue.cuh.
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/macros.h>

#include "common/conv_epilogue_arguments.h"
#include "common/cuda_stream.h"
#include "cuda/conv_epilogue.cuh"

namespace segsuite {
namespace {

void conv_epilogue_(Tensor x, const std::optional<Tensor>& bias,
                    const std::optional<Tensor>& residual, bool upsample, bool relu) {
  const torch::stable::accelerator::DeviceGuard guard(x.get_device_index());
  with_conv_epilogue(x, bias, residual, upsample, relu, [&](const auto& e) {
    STD_TORCH_CHECK(e.channels * e.height * e.width <= INT32_MAX,
                    "conv_epilogue_: an image has at most ", INT32_MAX, " values");
    launch_conv_epilogue(e, current_stream(x));
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  });
}

}  // namespace
}  // namespace segsuite

STABLE_TORCH_LIBRARY_IMPL(segsuite, CUDA, m) {
  m.impl("conv_epilogue_", TORCH_BOX(&segsuite::conv_epilogue_));
}
