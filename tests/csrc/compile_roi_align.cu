// Instantiates the kernels, for nvcc's report on registers and spills.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "cuda/roi_align_backward.cuh"
#include "cuda/roi_align_forward.cuh"
#include "cuda/to_channels_last.cuh"

namespace segsuite {

#define INSTANTIATE(S, T)                                                                          \
  template void launch_roi_align<S, T>(const MapPyramid<const S>&, const RoiList<T>&,              \
                                       const View4<S>&, cudaStream_t);                             \
  template void launch_roi_align_backward<S, T>(const View4<const S>&, const RoiList<T>&,          \
                                                const MapPyramid<S>&, const ListedRois&,           \
                                                cudaStream_t);                                     \
  template void launch_to_channels_last<S>(const ChannelsLastCopy<S>&, cudaStream_t);

INSTANTIATE(float, float)
INSTANTIATE(double, double)
INSTANTIATE(__half, float)
INSTANTIATE(__nv_bfloat16, float)

}  // namespace segsuite
