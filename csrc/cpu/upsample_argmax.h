// Bilinear upsampling followed by the argmax over classes, without the upsampled logits.
#pragma once

#include <torch/headeronly/core/ScalarType.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace segsuite {

using torch::headeronly::ScalarType;

// Where an output coordinate falls between its two source coordinates, and the output range of each
// source interval ("cell"). The coordinate of output i is (i + 0.5) * scale - 0.5, clamped to the
// source: align_corners=False.
struct Axis {
  Axis(int64_t source_size, double used_size, int64_t output_size)
      : weight(output_size + kSlack, 0.f) {
    const double scale = output_size > 0 ? used_size / static_cast<double>(output_size) : 0;
    for (int64_t i = 0; i < output_size; ++i) {
      const double position = std::clamp((static_cast<double>(i) + 0.5) * scale - 0.5, 0.,
                                         static_cast<double>(source_size - 1));
      const auto low = static_cast<int64_t>(position);
      weight[i] = static_cast<float>(position - static_cast<double>(low));
      if (cells.empty() || cells.back().low != low)
        cells.push_back({low, std::min(low + 1, source_size - 1), i, i});
      cells.back().end = i + 1;
    }
  }

  struct Cell {
    int64_t low, high;   // source coordinates of its two sides
    int64_t begin, end;  // output coordinates within
  };

  static constexpr int64_t kSlack = 16;  // vectors of weights may be read past the end
  std::vector<float> weight;             // of the high side, one for each output coordinate
  std::vector<Cell> cells;               // those that hold an output, in ascending order
};

struct Logits {
  const void* data;
  ScalarType type;  // Float, Half, BFloat16
  int64_t num_classes, height, width;
  int64_t image_stride, class_stride, row_stride, column_stride;  // in elements
};

struct Upsampling {
  Logits logits;
  int64_t height, width;  // of the output
  Axis rows, columns;
};

}  // namespace segsuite
