// Instantiates the kernels, for nvcc's report on registers and spills.
#include <cuda_fp16.h>

#include "cuda/confusion_matrix.cuh"
#include "cuda/from_logits.cuh"

namespace segsuite {

template void launch_count_from_logits(LogitsView<float>, OutputSize, LabelMap, int64_t,
                                       int64_t, Count*, int64_t, cudaStream_t);
template void launch_count_from_logits(LogitsView<__half>, OutputSize, LabelMap, int64_t,
                                       int64_t, Count*, int64_t, cudaStream_t);
template void launch_argmax_from_logits(LogitsView<float>, OutputSize, int64_t, uint8_t*,
                                        cudaStream_t);
template void launch_argmax_from_logits(LogitsView<__half>, OutputSize, int64_t, int16_t*,
                                        cudaStream_t);

}  // namespace segsuite
