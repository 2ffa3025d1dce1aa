// Threads of the host's PyTorch, through its stable ABI.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cstdint>

namespace segsuite {

// Calls f(begin, end) once for each of at most `get_num_threads()` contiguous, even shares of
// [0, n), none smaller than `grain` save the last. A call may keep an accumulator of its own on its
// stack or heap: that is what makes a sum independent of where its neighbours are written.
// f must not throw: it runs inside a C callback.
template <class F>
void parallel_shares(int64_t n, int64_t grain, const F& f) {
  if (n <= 0) return;
  const int64_t most = (n + grain - 1) / std::max<int64_t>(grain, 1);
  const int64_t shares = std::clamp<int64_t>(torch::stable::get_num_threads(), 1, most);
  torch::stable::parallel_for(0, shares, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) f(n * i / shares, n * (i + 1) / shares);
  });
}

}  // namespace segsuite
