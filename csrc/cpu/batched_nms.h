// The boxes of a group that non-maximum suppression has kept, as its kernel reads them.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "common/batched_nms.h"

namespace segsuite {

// Some boxes side by side. Places that no box has taken yet overlap nothing.
struct NmsBlock {
  static constexpr int64_t kBoxes = 16;  // a cache line of each coordinate

  alignas(64) float x1[kBoxes], y1[kBoxes], x2[kBoxes], y2[kBoxes], area[kBoxes];

  NmsBlock() {
    for (int64_t i = 0; i < kBoxes; ++i) {
      x1[i] = y1[i] = std::numeric_limits<float>::infinity();
      x2[i] = y2[i] = -std::numeric_limits<float>::infinity();
      area[i] = 0;
    }
  }
  void set(int64_t i, const NmsBox& box) {
    x1[i] = box.x1;
    y1[i] = box.y1;
    x2[i] = box.x2;
    y2[i] = box.y2;
    area[i] = segsuite::area(box);
  }
  NmsBox operator[](int64_t i) const { return {x1[i], y1[i], x2[i], y2[i]}; }
};

}  // namespace segsuite
