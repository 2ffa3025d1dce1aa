// Instantiates the kernels, for nvcc's report on registers and spills.
#include <cuda_fp16.h>

#include "cuda/roi_align.cuh"

namespace segsuite {

#define INSTANTIATE(S, T)                                                                          \
  template void launch_roi_align<S, T>(const MapPyramid<const S>&, const RoiList<T>&,              \
                                       const View4<S>&, cudaStream_t);                             \
  template void launch_roi_align_backward<S, T>(const View4<const S>&, const RoiList<T>&,          \
                                                const MapPyramid<T>&, cudaStream_t);               \
  template void launch_roi_align_backward_ordered<S, T>(const View4<const S>&, const RoiList<T>&,  \
                                                        const MapPyramid<S>&, cudaStream_t);

INSTANTIATE(float, float)
INSTANTIATE(double, double)
INSTANTIATE(__half, float)

}  // namespace segsuite
