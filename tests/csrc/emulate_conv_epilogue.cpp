// The launches of the epilogue's CUDA kernels, emulated, for calls from Python.
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include "cuda/conv_epilogue.cuh"

namespace {

using namespace segsuite;

template <typename S>
void run(void* x, const void* bias, const void* residual, const int64_t* size, bool channels_last,
         bool upsample, bool relu) {
  using Sum = typename ConvEpilogue<S>::Sum;
  launch_conv_epilogue(
      ConvEpilogue<S>{static_cast<S*>(x), static_cast<const Sum*>(bias),
                      static_cast<const S*>(residual), size[0], size[1], size[2], size[3],
                      channels_last, upsample, relu},
      nullptr);
}

}  // namespace

extern "C" void conv_epilogue(int type, void* x, const void* bias, const void* residual,
                              const int64_t* size, bool channels_last, bool upsample, bool relu) {
  const auto function = type == 0   ? run<float>
                        : type == 1 ? run<double>
                        : type == 2 ? run<torch::headeronly::Half>
                                    : run<torch::headeronly::BFloat16>;
  function(x, bias, residual, size, channels_last, upsample, relu);
}
