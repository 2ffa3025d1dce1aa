// Shared by the CPU sources of the confusion matrix: what the kernels are given.
#pragma once

#include <torch/headeronly/core/ScalarType.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace segsuite {

using torch::headeronly::ScalarType;

// The integer labels of a map, in memory order.
struct Labels {
  const void* data;
  ScalarType type;
};

// Counts of one thread, [target][prediction]: rows 0..K-1 are classes, K everything outside them, K+1
// the ignored pixels, which are counted only to spare a branch. There are several copies of a
// small matrix: consecutive pixels, which often fall into the same entry, then do not wait for
// each other's store.
class Histogram {
 public:
  explicit Histogram(int64_t num_classes)
      : num_classes_(num_classes),
        copy_stride_(size() * kCopies * 8 <= kSmallBytes ? size() : 0),
        counts_(copy_stride_ ? size() * kCopies : size()) {}

  static constexpr int64_t kCopies = 4;
  static constexpr int64_t kSmallBytes = 24 * 1024;  // leaves room in a 32 KiB first-level cache

  int64_t columns() const { return num_classes_ + 1; }
  int64_t size() const { return (num_classes_ + 2) * columns(); }
  int64_t num_classes() const { return num_classes_; }
  int64_t copy_stride() const { return copy_stride_; }
  int64_t* counts() { return counts_.data(); }

  // Adds to `out` (K+1, K+1), which other threads add to as well, and starts again from zero.
  void flush(int64_t* out) {
    const int64_t entries = columns() * columns();
    for (int64_t i = 0; i < entries; ++i) {
      int64_t sum = counts_[i];
      for (int64_t copy = 1; copy_stride_ && copy < kCopies; ++copy)
        sum += counts_[copy * copy_stride_ + i];
      if (sum) __atomic_fetch_add(out + i, sum, __ATOMIC_RELAXED);
    }
    std::fill(counts_.begin(), counts_.end(), 0);
  }

 private:
  int64_t num_classes_;
  int64_t copy_stride_;
  std::vector<int64_t> counts_;
};

// Fewer pixels than this are not worth another thread, nor another histogram to clear and add.
inline int64_t pixels_per_thread(int64_t num_classes) {
  return std::max<int64_t>(32768, (num_classes + 2) * (num_classes + 1));
}

}  // namespace segsuite
