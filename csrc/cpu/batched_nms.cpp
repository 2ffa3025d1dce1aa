// Non-maximum suppression.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <limits>
#include <tuple>
#include <unordered_map>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "common/batched_nms_arguments.h"
#include "common/parallel.h"
#include "cpu/batched_nms.h"

#define SEGSUITE_KERNEL "cpu/batched_nms_kernel.inc"
#include "common/foreach_isa.h"

namespace segsuite {
namespace {

// Not inlined into code for an instruction set with fused multiply-adds.
[[gnu::noinline]] bool suppresses(const NmsBox& kept, const NmsBox& box,
                                  const NmsThreshold& threshold) {
  return threshold.exceeded_by(kept, box);
}

class KeptBoxes {
 public:
  void clear() {
    blocks_.clear();
    size_ = 0;
  }

  void add(const NmsBox& box) {
    if (size_ % NmsBlock::kBoxes == 0) blocks_.emplace_back();
    blocks_.back().set(size_++ % NmsBlock::kBoxes, box);
  }

  bool suppress(const NmsBox& box, const NmsThreshold& threshold) const {
    const auto next = SEGSUITE_BEST_ISA(next_possible);
    const auto last = static_cast<int64_t>(blocks_.size());
    const float offset = threshold.offset(box);
    for (int64_t block = 0; block < last; ++block) {
      unsigned bits = next(blocks_.data(), block, last, box, offset, threshold);
      for (; bits != 0; bits &= bits - 1)
        if (suppresses(blocks_[block][__builtin_ctz(bits)], box, threshold)) return true;
    }
    return false;
  }

 private:
  std::vector<NmsBlock> blocks_;
  int64_t size_ = 0;
};

// The boxes that an image keeps, of each group.
class KeptOfGroups {
 public:
  void clear() {
    places_.clear();
    used_ = 0;
  }

  KeptBoxes& operator[](int64_t group) {
    const auto [place, is_new] = places_.try_emplace(group, used_);
    if (is_new && used_++ == groups_.size()) groups_.emplace_back();
    KeptBoxes& kept = groups_[place->second];
    if (is_new) kept.clear();
    return kept;
  }

 private:
  std::unordered_map<int64_t, size_t> places_;
  std::vector<KeptBoxes> groups_;  // their memory serves the next image
  size_t used_ = 0;
};

// The valid entries of an image, best first, sorted as far as they are asked for.
class Candidates {
 public:
  void assign(const NmsBox* boxes, const float* scores, int64_t length, int64_t topk) {
    keys_.clear();
    const auto valid = SEGSUITE_BEST_ISA(valid_scores);
    for (int64_t start = 0; start < length; start += 64) {
      float tail[64];
      const float* here = scores + start;
      if (length - start < 64) {
        std::fill_n(tail, 64, -std::numeric_limits<float>::infinity());
        here = std::copy(here, scores + length, tail) - (length - start);
      }
      for (uint64_t bits = valid(here); bits != 0; bits &= bits - 1) {
        const int i = __builtin_ctzll(bits);
        if (boxes[start + i].is_finite())
          keys_.push_back(nms_key(here[i], static_cast<uint32_t>(start + i)));
      }
    }
    sorted_ = 0;
    step_ = 2 * topk;
  }

  size_t size() const { return keys_.size(); }

  // To be asked for in ascending order. Most problems end before all candidates are looked at, so
  // these are sorted by ever longer parts.
  uint32_t operator[](size_t i) {
    if (i == sorted_) {
      const auto begin = keys_.begin() + sorted_;
      sorted_ = std::min(sorted_ + step_, keys_.size());
      step_ *= 2;
      const auto end = keys_.begin() + sorted_;
      if (end != keys_.end()) std::nth_element(begin, end, keys_.end());
      std::sort(begin, end);
    }
    return nms_index(keys_[i]);
  }

 private:
  std::vector<uint64_t> keys_;
  size_t sorted_ = 0, step_ = 0;
};

// An image's candidates are taken in their order over all groups, each compared with what its own
// group has kept, until topk are kept: no box after these is looked at.
std::tuple<Tensor, Tensor> batched_nms(const Tensor& boxes, const Tensor& scores,
                                       const std::optional<Tensor>& groups, double iou_threshold,
                                       int64_t topk) {
  BatchedNms nms(boxes, scores, groups, iou_threshold, topk);
  const NmsBox* box_data = nms.box_data();
  const float* score_data = nms.score_data();
  const int64_t* group_data = nms.group_data();
  int64_t* const indices = nms.index_data();
  int64_t* const counts = nms.count_data();
  const int64_t grain = 16384 / std::max<int64_t>(nms.length, 1) + 1;
  parallel_shares(nms.images, grain, [&](int64_t begin, int64_t end) {
    Candidates candidates;
    KeptOfGroups kept;
    for (int64_t n = begin; n < end; ++n) {
      const NmsBox* image_boxes = box_data + n * nms.length;
      candidates.assign(image_boxes, score_data + n * nms.length, nms.length, topk);
      kept.clear();
      int64_t count = 0;
      int64_t* const kept_indices = indices + n * topk;
      for (size_t i = 0; i < candidates.size() && count < topk; ++i) {
        const uint32_t index = candidates[i];
        const int64_t group = group_data ? group_data[n * nms.group_stride + index] : 0;
        KeptBoxes& of_group = kept[group];
        if (of_group.suppress(image_boxes[index], nms.threshold)) continue;
        of_group.add(image_boxes[index]);
        kept_indices[count++] = index;
      }
      std::fill(kept_indices + count, kept_indices + topk, 0);
      counts[n] = count;
    }
  });
  return {nms.indices, nms.counts};
}

}  // namespace
}  // namespace segsuite

STABLE_TORCH_LIBRARY_IMPL(segsuite, CPU, m) {
  m.impl("batched_nms", TORCH_BOX(&segsuite::batched_nms));
}
