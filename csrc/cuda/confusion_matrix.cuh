// Confusion matrices of two label maps on the GPU.
#pragma once

#include "cuda/block_counts.cuh"
#include "cuda/label_codes.cuh"

namespace segsuite {

// The 16 codes of a thread, from shared memory; `aligned`: with vector loads.
__device__ inline void take_codes(const uint16_t* from, bool aligned, unsigned (&codes)[16]) {
  if (aligned) {
    Vector<uint32_t, 4> words[2];
    for (int i = 0; i < 2; ++i) words[i] = reinterpret_cast<const Vector<uint32_t, 4>*>(from)[i];
#pragma unroll
    for (int i = 0; i < 16; ++i) codes[i] = words[i / 8].values[i / 2 % 4] >> i % 2 * 16 & 0xffff;
  } else {
#pragma unroll
    for (int i = 0; i < 16; ++i) codes[i] = from[i];
  }
}

constexpr int kMostLabelThreads = 1024;

// A block takes turns of 16 pixels a thread. Turns begin where the target has an aligned address, but
// for the first, so `head` is what lacks to that: 0 to 15 pixels.
template <bool in_shared>
__global__ void __launch_bounds__(kMostLabelThreads)
    count_labels_kernel(LabelMap pred, LabelMap target, int64_t n, int head, CountsPlan plan,
                        int64_t ignore, Count* out) {
  SEGSUITE_DYNAMIC_SHARED(unsigned, shared);
  constexpr int kPixels = 16;
  const int turn = kPixels * blockDim.x, pitch = CodeRows::pitch(turn);
  auto* const targets = reinterpret_cast<uint16_t*>(shared + plan.bytes() / 4);
  auto* const preds = targets + pitch;
  BlockCounts<in_shared> counts(plan, shared);
  counts.start(out);
  const int columns = plan.num_classes + 1;
  // The pixels before `head` are at the end of turn 0, which begins before the maps do.
  const int64_t before = head == 0 ? 0 : turn - head;
  for (int64_t begin = static_cast<int64_t>(blockIdx.x) * turn - before; begin < n;
       begin += static_cast<int64_t>(gridDim.x) * turn) {
    const int64_t first = max(begin, static_cast<int64_t>(0));
    const int64_t end = min(begin + turn, n);
    const int size = static_cast<int>(end - first);
    const CodeRows target_row(targets, pitch, target, n, first, 0);
    const CodeRows pred_row(preds, pitch, pred, n, first, 0);
    __syncthreads();  // the codes of the turn before are read, the counts cleared
    target_row.load(1, size, plan.num_classes, true, ignore);
    pred_row.load(1, size, plan.num_classes, false, 0);
    __syncthreads();
    const int mine = threadIdx.x * kPixels;
    const uint16_t* const target_codes = target_row.row(0);
    const uint16_t* const pred_codes = pred_row.row(0);
    unsigned wanted[kPixels] = {}, found[kPixels] = {};
    if (mine < size) {
      take_codes(target_codes + mine, target_codes == targets, wanted);
      take_codes(pred_codes + mine, pred_codes == preds, found);
    }
    AreaCounts area(static_cast<int>(wanted[0] * columns + found[0]));
#pragma unroll
    for (int i = 0; i < kPixels; ++i)
      if (mine + i < size && wanted[i] <= static_cast<unsigned>(plan.num_classes))
        area.add(counts, static_cast<int>(wanted[i] * columns + found[i]));
    __syncwarp();
    area.finish(counts);
  }
  __syncthreads();
  counts.flush();
}

template <bool in_shared>
void launch_count_labels(LabelMap pred, LabelMap target, int64_t n, const CountsPlan& plan,
                         int threads, int shared, int64_t ignore, Count* out,
                         cudaStream_t stream) {
  const int misaligned = static_cast<int>(reinterpret_cast<uintptr_t>(target.data) % 16);
  const int head = (16 - misaligned) % 16 / label_bytes(target.type);
  const int64_t turns = ceil_div<int64_t>(n, 16 * threads) + (head != 0);
  const int64_t resident = resident_blocks(count_labels_kernel<in_shared>, threads, shared);
  const int64_t blocks = max(min(turns, resident), ceil_div(n, kMostPixelsOfBlock));
  SEGSUITE_LAUNCH((count_labels_kernel<in_shared>), dim3(static_cast<unsigned>(blocks)),
                  dim3(threads), shared, stream, pred, target, n, head, plan, ignore, out);
}

// Not called for empty maps.
inline void launch_count_labels(LabelMap pred, LabelMap target, int64_t n, int num_classes,
                                int64_t ignore, Count* out, cudaStream_t stream) {
  const auto code_bytes = [](int threads) { return 2 * CodeRows::pitch(16 * threads) * 2; };
  const int available = most_shared_bytes(count_labels_kernel<true>);
  // Several small blocks share a multiprocessor; a matrix that leaves room for one has a large one.
  int threads = 256;
  CountsPlan plan = CountsPlan::within(num_classes, available / 4 - code_bytes(threads));
  if (plan.copies == 0)
    for (threads = kMostLabelThreads;; threads /= 2) {
      plan = CountsPlan::within(num_classes, available - code_bytes(threads));
      if (plan.copies != 0 || threads == 128) break;
    }
  const int shared = plan.bytes() + code_bytes(threads);
  if (plan.copies != 0)
    launch_count_labels<true>(pred, target, n, plan, threads, shared, ignore, out, stream);
  else
    launch_count_labels<false>(pred, target, n, plan, threads, shared, ignore, out, stream);
}

}  // namespace segsuite
