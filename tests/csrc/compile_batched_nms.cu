// Instantiates the kernels, for nvcc's report on registers and spills.
#include "cuda/batched_nms.cuh"

namespace segsuite {

void compile(const NmsProblem& problem, int64_t* indices, int64_t* counts, cudaStream_t stream) {
  launch_batched_nms(problem, indices, counts, stream);
}

}  // namespace segsuite
