// Non-maximum suppression on the GPU, in two launches whatever the number of images and groups.
//
// The groups of an image are dealt out to a few slots, group g to slot g mod 8, and each slot is a
// block's own problem: levels of a pyramid, and up to eight classes, have one to themselves. A block
// collects its candidates, sorts them in shared memory and goes through them 64 at a time:
//
// - its warps share out the boxes that are kept so far, and compare each with the 64;
// - they find which of the 64 overlap each other, as a matrix of bits;
// - one warp settles from the matrix which are kept, and these join the others.
//
// Candidates that do not fit into shared memory are taken in parts, the best ones first, each compared
// with all that was kept before. The second launch merges what the slots of an image have kept.
#pragma once

#include "common/cuda_kernel.cuh"

#include "common/batched_nms.h"

namespace segsuite {

constexpr int kNmsSlots = 8;
constexpr int kNmsCapacity = 2048;  // candidates in shared memory
constexpr int kNmsStaged = 256;     // kept boxes of earlier parts in shared memory
constexpr int kNmsTile = 64;        // candidates that are settled at once

struct NmsProblem {
  const NmsBox* boxes;    // (images, length)
  const float* scores;    // (images, length)
  const int64_t* groups;  // (length,), or (images, length) by `group_stride`; null: one group
  int64_t group_stride;
  int64_t images;
  int32_t length;
  int32_t slots;
  int32_t topk;
  int32_t limit;  // what can be kept at most: topk or length
  NmsThreshold threshold;
  // What the first launch leaves for the second.
  uint64_t* kept_keys;   // (images, slots, limit), best first
  int32_t* kept_counts;  // (images, slots)

  __device__ const int64_t* groups_of(int64_t image) const {
    return groups == nullptr ? nullptr : groups + image * group_stride;
  }
};

struct NmsShared {
  union {
    uint64_t keys[kNmsCapacity];  // while they are sorted
    NmsBox boxes[kNmsCapacity];   // those that are kept, at the front, then the candidates
  };
  uint32_t index[kNmsCapacity];            // of the boxes, among the image's
  unsigned covered[kNmsCapacity / 32];     // a bit for each candidate that an earlier part suppresses
  unsigned tile_covered[kNmsTile / 32];    // for each of the tile that this part suppresses
  uint64_t tile_kept;                      // for each of the tile that is kept
  uint64_t tile_overlaps[kNmsTile];        // for each of the tile, those of it that it overlaps
  NmsBox staged[kNmsStaged];
  uint32_t staged_index[kNmsStaged];
  unsigned histogram[256];
  int found;
};

// What a block does. Every thread of it calls every function but those of one warp.
class NmsSlot {
 public:
  __device__ NmsSlot(const NmsProblem& problem, NmsShared& shared)
      : problem_(problem),
        shared_(shared),
        image_(blockIdx.x / problem.slots),
        slot_(blockIdx.x % problem.slots),
        boxes_(problem.boxes + image_ * problem.length),
        scores_(problem.scores + image_ * problem.length),
        groups_(problem.groups_of(image_)),
        kept_keys_(problem.kept_keys + static_cast<int64_t>(blockIdx.x) * problem.limit),
        lane_(threadIdx.x % 32),
        warp_(threadIdx.x / 32),
        warps_(blockDim.x / 32) {}

  __device__ void run() {
    int remaining = collect(0, ~uint64_t{0});
    uint64_t first = 0;
    while (true) {
      int count = remaining;
      if (remaining > kNmsCapacity) {
        const uint64_t end = end_of_part(first);
        count = collect(first, end);
        first = end;
      }
      sort(count);
      load(count);
      cover_by_earlier_parts(count);
      suppress(count);
      remaining -= count;
      if (remaining == 0 || kept_ == problem_.limit) break;
      if (remaining <= kNmsCapacity) collect(first, ~uint64_t{0});
    }
    if (threadIdx.x == 0) problem_.kept_counts[blockIdx.x] = kept_;
  }

 private:
  // Calls f(key) for the valid entries of the slot.
  template <typename F>
  __device__ void for_each_entry(const F& f) const {
    constexpr int kAtOnce = 4;  // loads that are under way together
    for (int64_t start = threadIdx.x; start < problem_.length; start += kAtOnce * blockDim.x) {
      float score[kAtOnce];
      bool is_mine[kAtOnce];
      for (int u = 0; u < kAtOnce; ++u) {
        const int64_t i = start + u * blockDim.x;
        score[u] = i < problem_.length ? scores_[i] : -INFINITY;
      }
      for (int u = 0; u < kAtOnce; ++u)
        is_mine[u] = is_valid_score(score[u]) &&
                     (groups_ == nullptr || is_slot_of(groups_[start + u * blockDim.x]));
      for (int u = 0; u < kAtOnce; ++u)
        is_mine[u] = is_mine[u] && boxes_[start + u * blockDim.x].is_finite();
      for (int u = 0; u < kAtOnce; ++u)
        if (is_mine[u]) f(nms_key(score[u], static_cast<uint32_t>(start + u * blockDim.x)));
    }
  }

  __device__ bool is_slot_of(int64_t group) const {
    return static_cast<uint64_t>(group) % kNmsSlots == slot_;
  }

  // Brings the keys in [first, end) to shared memory, in any order. How many there are, if more than
  // fit.
  __device__ int collect(uint64_t first, uint64_t end) {
    if (threadIdx.x == 0) shared_.found = 0;
    __syncthreads();
    for_each_entry([&](uint64_t key) {
      if (key < first || key >= end) return;
      const int place = atomicAdd(&shared_.found, 1);
      if (place < kNmsCapacity) shared_.keys[place] = key;
    });
    __syncthreads();
    return shared_.found;
  }

  // Where a part ends that begins with key `first`: as far as whole digits of the keys fit, at least
  // to half of what fits. More keys are left than fit.
  __device__ uint64_t end_of_part(uint64_t first) {
    uint64_t end = 0;
    int taken = 0;
    for (int shift = 56; shift >= 0 && taken < kNmsCapacity / 2; shift -= 8) {
      for (int i = threadIdx.x; i < 256; i += blockDim.x) shared_.histogram[i] = 0;
      __syncthreads();
      for_each_entry([&](uint64_t key) {
        if (key < first || key < end || (key - end) >> shift >= 256) return;
        atomicAdd(&shared_.histogram[(key - end) >> shift], 1u);
      });
      __syncthreads();
      int digit = 0;
      for (; taken + static_cast<int>(shared_.histogram[digit]) <= kNmsCapacity; ++digit)
        taken += static_cast<int>(shared_.histogram[digit]);
      end += static_cast<uint64_t>(digit) << shift;
      __syncthreads();
    }
    return end;
  }

  // Sorts the first `count` keys: a bitonic network, filled up to a power of two.
  __device__ void sort(int count) {
    int size = 2;
    while (size < count) size *= 2;
    for (int i = count + threadIdx.x; i < size; i += blockDim.x) shared_.keys[i] = ~uint64_t{0};
    __syncthreads();
    for (int width = 2; width <= size; width *= 2)
      for (int distance = width / 2; distance > 0; distance /= 2) {
        for (int i = threadIdx.x; i < size / 2; i += blockDim.x) {
          const int low = 2 * i - (i & (distance - 1));
          const uint64_t a = shared_.keys[low], b = shared_.keys[low + distance];
          const bool is_ascending = (low & width) == 0;
          if ((a > b) == is_ascending) {
            shared_.keys[low] = b;
            shared_.keys[low + distance] = a;
          }
        }
        // At a distance of 32 or less, a warp's 32 pairs are 64 neighbours in every step.
        const int next_distance = distance > 1 ? distance / 2 : width;
        if (distance > 32 || next_distance > 32 || (distance == 1 && width == size))
          __syncthreads();
        else
          __syncwarp();
      }
  }

  // Replaces the sorted keys by what they are keys of.
  __device__ void load(int count) {
    for (int i = threadIdx.x; i < count; i += blockDim.x)
      shared_.index[i] = nms_index(shared_.keys[i]);
    if (threadIdx.x < kNmsTile / 32) shared_.tile_covered[threadIdx.x] = 0;
    const int words = ceil_div(count, kNmsTile) * (kNmsTile / 32);
    for (int i = threadIdx.x; i < words; i += blockDim.x) {
      const int inside = count - i * 32;  // what is beyond the last candidate counts as suppressed
      shared_.covered[i] = inside >= 32 ? 0u : inside <= 0 ? ~0u : ~0u << inside;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < count; i += blockDim.x)
      shared_.boxes[i] = boxes_[shared_.index[i]];
    __syncthreads();
  }

  // A candidate in registers.
  struct Candidate {
    NmsBox box;
    uint32_t index;
    float offset;  // see NmsThreshold::possible; nothing is possible any more where it is infinite
    bool is_out;
  };

  __device__ Candidate candidate(int place) const {
    const NmsBox box = shared_.boxes[place];
    const bool is_out = (shared_.covered[place / 32] >> place % 32 & 1u) != 0;
    const float offset = is_out ? INFINITY : problem_.threshold.offset(box);
    return {box, shared_.index[place], offset, is_out};
  }

  __device__ bool suppresses(const NmsBox& box, float box_area, uint32_t index,
                             const Candidate& other) const {
    return problem_.threshold.possible(other.box, other.offset, box, box_area) &&
           (groups_ == nullptr || groups_[index] == groups_[other.index]) &&
           problem_.threshold.exceeded_by(box, other.box);
  }

  // Compares a thread's candidates with the boxes first, first + step, ... of `count`.
  template <int kCandidates>
  __device__ void compare(Candidate (&candidates)[kCandidates], const NmsBox* boxes,
                          const uint32_t* indices, int first, int step, int count) const {
    constexpr int kAtOnce = 4;  // for one branch
    for (int k = first; k < count; k += kAtOnce * step) {
      bool is_possible = false;
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u) {
        const NmsBox box = boxes[min(k + u * step, count - 1)];
        const float box_area = area(box);
        for (const Candidate& c : candidates)
          is_possible |= problem_.threshold.possible(c.box, c.offset, box, box_area);
      }
      if (!is_possible) continue;
#pragma unroll 1
      for (int place = k; place < min(k + kAtOnce * step, count); place += step) {
        const NmsBox box = boxes[place];
        for (Candidate& c : candidates) {
          if (!suppresses(box, area(box), indices[place], c)) continue;
          c.is_out = true;
          c.offset = INFINITY;
        }
      }
    }
  }

  __device__ void cover_by_earlier_parts(int count) {
    for (int start = 0; start < kept_; start += kNmsStaged) {
      const int staged = min(kNmsStaged, kept_ - start);
      for (int i = threadIdx.x; i < staged; i += blockDim.x) {
        const uint32_t index = nms_index(kept_keys_[start + i]);
        shared_.staged_index[i] = index;
        shared_.staged[i] = boxes_[index];
      }
      __syncthreads();
      for (int word = warp_; word * 32 < count; word += warps_) {
        Candidate of_lane[] = {candidate(word * 32 + lane_)};
        compare(of_lane, shared_.staged, shared_.staged_index, 0, 1, staged);
        const unsigned out = __ballot_sync(~0u, of_lane[0].is_out);
        if (lane_ == 0) shared_.covered[word] = out;
      }
      __syncthreads();
    }
  }

  // Goes through the candidates of a part, and adds to what is kept.
  __device__ void suppress(int count) {
    int kept = 0;  // of this part
    for (int tile = 0; tile < count && kept_ < problem_.limit; tile += kNmsTile) {
      compare_tile(tile, count, kept);
      __syncthreads();
      if (warp_ == 0) settle();
      __syncthreads();
      const uint64_t bits = shared_.tile_kept;
      const int added = min(__popcll(bits), problem_.limit - kept_);
      const int t = threadIdx.x % kNmsTile;
      const int rank = __popcll(bits & ((uint64_t{1} << t) - 1));
      const bool joins = threadIdx.x < kNmsTile && (bits >> t & 1) != 0 && rank < added;
      NmsBox box{};
      uint32_t index = 0;
      if (joins) {
        box = shared_.boxes[tile + t];
        index = shared_.index[tile + t];
      }
      if (threadIdx.x < kNmsTile / 32) shared_.tile_covered[threadIdx.x] = 0;
      __syncthreads();
      if (joins) {
        shared_.boxes[kept + rank] = box;
        shared_.index[kept + rank] = index;
        kept_keys_[kept_ + rank] = nms_key(scores_[index], index);
      }
      kept += added;
      kept_ += added;
      __syncthreads();
    }
  }

  // Compares a tile's candidates with the first `kept` boxes and with each other.
  __device__ void compare_tile(int tile, int count, int kept) {
    Candidate of_lane[] = {candidate(tile + lane_), candidate(tile + 32 + lane_)};
    for (int row = warp_; row < kNmsTile; row += warps_) {
      bool overlaps[2] = {};
      if (tile + row < count) {
        const NmsBox box = shared_.boxes[tile + row];
        const uint32_t index = shared_.index[tile + row];
        for (int half = 0; half < 2; ++half)
          overlaps[half] = half * 32 + lane_ < row &&
                           suppresses(box, area(box), index, of_lane[half]);
      }
      const uint64_t bits = ballot(overlaps[0], overlaps[1]);
      if (lane_ == 0) shared_.tile_overlaps[row] = bits;
    }
    compare(of_lane, shared_.boxes, shared_.index, warp_, warps_, kept);
    const uint64_t out = ballot(of_lane[0].is_out, of_lane[1].is_out);
    if (lane_ == 0) {
      atomicOr(&shared_.tile_covered[0], static_cast<unsigned>(out));
      atomicOr(&shared_.tile_covered[1], static_cast<unsigned>(out >> 32));
    }
  }

  // One warp: a candidate is suppressed if it overlaps a better one that is kept, and is kept if it
  // overlaps none that is, or still may be.
  __device__ void settle() {
    const uint64_t low = shared_.tile_overlaps[lane_], high = shared_.tile_overlaps[lane_ + 32];
    uint64_t out = static_cast<uint64_t>(shared_.tile_covered[1]) << 32 | shared_.tile_covered[0];
    uint64_t kept = 0;
    while ((kept | out) != ~uint64_t{0}) {
      const uint64_t now_out = ballot((low & kept) != 0, (high & kept) != 0);
      const uint64_t now_kept = ballot((low & ~out) == 0, (high & ~out) == 0);
      const uint64_t open = ~(kept | out);
      out |= open & now_out;
      kept |= open & now_kept;
    }
    if (lane_ == 0) shared_.tile_kept = kept;
  }

  // A bit for each thread of the warp, and another.
  static __device__ uint64_t ballot(bool low, bool high) {
    const unsigned low_bits = __ballot_sync(~0u, low), high_bits = __ballot_sync(~0u, high);
    return static_cast<uint64_t>(high_bits) << 32 | low_bits;
  }

  const NmsProblem& problem_;
  NmsShared& shared_;
  const int64_t image_;
  const unsigned slot_;
  const NmsBox* const boxes_;  // of the image, as all that follows
  const float* const scores_;
  const int64_t* const groups_;
  uint64_t* const kept_keys_;
  const int lane_, warp_, warps_;
  int kept_ = 0;
};

constexpr int kMostNmsThreads = 1024;

__global__ void __launch_bounds__(kMostNmsThreads) suppress_kernel(
    const __grid_constant__ NmsProblem problem) {
  __shared__ NmsShared shared;
  NmsSlot(problem, shared).run();
}

// A block merges one slot: its boxes are placed by how many of each slot are better.
template <int kSlots>
__global__ void merge_kernel(const __grid_constant__ NmsProblem problem, int64_t* indices,
                             int64_t* counts) {
  const int64_t image = blockIdx.x / kSlots;
  const int slot = blockIdx.x % kSlots;
  const uint64_t* const lists = problem.kept_keys + image * kSlots * problem.limit;
  int64_t* const out = indices + image * problem.topk;
  int count[kSlots], total = 0, own_count = 0;
  for (int s = 0; s < kSlots; ++s) {
    count[s] = problem.kept_counts[image * kSlots + s];
    total += count[s];
    if (s == slot) own_count = count[s];
  }
  total = min(total, problem.topk);
  int widest = 1;
  while (widest * 2 <= problem.limit) widest *= 2;
  for (int i = threadIdx.x; i < own_count; i += blockDim.x) {
    const uint64_t key = lists[static_cast<int64_t>(slot) * problem.limit + i];
    int better[kSlots] = {};
    for (int step = widest; step > 0; step /= 2)
      for (int s = 0; s < kSlots; ++s) {  // searches that wait for memory together
        const int next = better[s] + step;
        if (next <= count[s] && lists[static_cast<int64_t>(s) * problem.limit + next - 1] < key)
          better[s] = next;
      }
    int rank = 0;
    for (int s = 0; s < kSlots; ++s) rank += better[s];
    if (rank < problem.topk) out[rank] = nms_index(key);
  }
  for (int64_t i = total + static_cast<int64_t>(slot) * blockDim.x + threadIdx.x; i < problem.topk;
       i += static_cast<int64_t>(kSlots) * blockDim.x)
    out[i] = 0;
  if (slot == 0 && threadIdx.x == 0) counts[image] = total;
}

// Launches. Not called where nothing can be kept.

inline int32_t nms_slots(const int64_t* groups) { return groups == nullptr ? 1 : kNmsSlots; }

inline void launch_batched_nms(const NmsProblem& problem, int64_t* indices, int64_t* counts,
                               cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(problem.images * problem.slots));
  const unsigned threads = problem.length <= 1024 ? 256 : kMostNmsThreads;
  SEGSUITE_LAUNCH((suppress_kernel), grid, dim3(threads), 0, stream, problem);
  if (problem.slots == 1)
    SEGSUITE_LAUNCH((merge_kernel<1>), grid, dim3(256), 0, stream, problem, indices, counts);
  else
    SEGSUITE_LAUNCH((merge_kernel<kNmsSlots>), grid, dim3(256), 0, stream, problem, indices,
                    counts);
}

}  // namespace segsuite
