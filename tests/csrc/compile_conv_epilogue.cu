// Instantiates the kernels, for nvcc's report on registers and spills.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "cuda/conv_epilogue.cuh"

namespace segsuite {

template void launch_conv_epilogue(const ConvEpilogue<float>&, cudaStream_t);
template void launch_conv_epilogue(const ConvEpilogue<double>&, cudaStream_t);
template void launch_conv_epilogue(const ConvEpilogue<__half>&, cudaStream_t);
template void launch_conv_epilogue(const ConvEpilogue<__nv_bfloat16>&, cudaStream_t);

}  // namespace segsuite
