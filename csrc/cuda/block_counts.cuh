// The matrix (K+1, K+1) that a block counts in: in shared memory while it fits there, else straight
// in the result.
#pragma once

#include "common/cuda_kernel.cuh"

namespace segsuite {

using Count = unsigned long long;  // int64 as atomicAdd knows it

constexpr int kSmallMatrixBytes = 8 * 1024;

// Copies of the matrix in shared memory; without any, counts go to global memory.
struct CountsPlan {
  int num_classes, copies;

  static constexpr int kManyCopies = 4;

  // As many as are worth it of a matrix in `bytes` of shared memory.
  static __host__ CountsPlan within(int num_classes, int bytes) {
    const int64_t entries = static_cast<int64_t>(num_classes + 1) * (num_classes + 1);
    if ((entries + 1) * 4 * kManyCopies <= min(bytes, kSmallMatrixBytes))
      return {num_classes, kManyCopies};
    return {num_classes, (entries + 1) * 4 + 16 <= bytes ? 1 : 0};
  }

  __host__ __device__ int entries() const { return (num_classes + 1) * (num_classes + 1); }
  // Odd, so that the copies of an entry are in different banks.
  __host__ __device__ int stride() const { return entries() | 1; }
  __host__ __device__ int bytes() const { return ceil_div(copies * stride() * 4, 16) * 16; }
};

// All threads of the block call start() and flush().
template <bool in_shared>
class BlockCounts {
 public:
  __device__ BlockCounts(CountsPlan plan, unsigned* shared)
      : plan_(plan),
        shared_(shared),
        mine_(shared + (threadIdx.x & (plan.copies - 1)) * plan.stride()),
        out_(nullptr) {}

  // Starts to count for `out`, after a flush where it counted before. A barrier comes before the first
  // count.
  __device__ void start(Count* out) {
    out_ = out;
    if constexpr (in_shared)
      for (int i = threadIdx.x; i < plan_.bytes() / 16; i += blockDim.x)
        reinterpret_cast<Vector<unsigned, 4>*>(shared_)[i] = {};
  }

  __device__ void add(int entry, unsigned by) const {
    if constexpr (in_shared)
      atomicAdd(mine_ + entry, by);
    else
      atomicAdd(out_ + entry, static_cast<Count>(by));
  }

  // All lanes of the warp call it. Label maps are made of areas, so lanes often have the same entry.
  __device__ void add_by_warp(int entry, unsigned by) const {
    const int first = __shfl_sync(~0u, entry, 0);
    if (!__all_sync(~0u, entry == first)) {
      if (by != 0) add(entry, by);
      return;
    }
    for (int mask = 16; mask > 0; mask /= 2) by += __shfl_xor_sync(~0u, by, mask);
    if (threadIdx.x % 32 == 0 && by != 0) add(entry, by);
  }

  // Adds to `out`, after a barrier.
  __device__ void flush() const {
    if constexpr (in_shared)
      for (int i = threadIdx.x; i < plan_.entries(); i += blockDim.x) {
        unsigned sum = 0;
        for (int copy = 0; copy < plan_.copies; ++copy) sum += shared_[copy * plan_.stride() + i];
        if (sum != 0) atomicAdd(out_ + i, static_cast<Count>(sum));
      }
  }

 private:
  CountsPlan plan_;
  unsigned *shared_, *mine_;  // mine_: the copy of the thread
  Count* out_;
};

// What a thread counts of an area. Most of it is in one entry, which is counted at the end, and of
// all warp's threads at once where it is the same; the others are mostly runs.
class AreaCounts {
 public:
  __device__ explicit AreaCounts(int main_entry) : main_entry_(main_entry) {}

  template <bool in_shared>
  __device__ void add(const BlockCounts<in_shared>& counts, int entry) {
    if (entry == main_entry_) {
      ++main_;
      return;
    }
    if (entry != entry_) {
      if (run_ != 0) counts.add(entry_, run_);
      entry_ = entry;
      run_ = 0;
    }
    ++run_;
  }
  // All lanes of the warp call it.
  template <bool in_shared>
  __device__ void finish(const BlockCounts<in_shared>& counts) const {
    if (run_ != 0) counts.add(entry_, run_);
    __syncwarp();
    counts.add_by_warp(main_entry_, main_);
  }

 private:
  int main_entry_, entry_ = -1;
  unsigned main_ = 0, run_ = 0;
};

// The most pixels that a block counts: far from an overflow of its counts.
constexpr int64_t kMostPixelsOfBlock = int64_t{1} << 31;

}  // namespace segsuite
