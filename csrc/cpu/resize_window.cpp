// Bilinear resize of 8-bit images with Pillow's arithmetic, of a window of the result alone.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace segsuite {

// Weights are integers in units of 2^-22. They are not negative and add up to 1 but for rounding,
// so that 32 bits hold every sum and no result passes 255.
constexpr int kWeightBits = 22;
constexpr int32_t kHalf = 1 << (kWeightBits - 1);

// What an output row or column is a sum of: weights[0 .. count) times the inputs from `first` on.
struct WeightedSum {
  int64_t first, count;
  const int32_t* weights;
};

}  // namespace segsuite

#define SEGSUITE_KERNEL "cpu/resize_window_kernel.inc"
#include "common/foreach_isa.h"

namespace segsuite {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// The sums of the outputs start .. start + count along one axis. A triangle as wide as two input or
// two output pixels, whichever are larger, is centred on each, cut off at the border, and scaled to
// add up to 1.
class Axis {
 public:
  Axis(int64_t size, int64_t new_size, int64_t start, int64_t count) {
    const double scale = static_cast<double>(size) / static_cast<double>(new_size);
    const double support = std::max(scale, 1.0), slope = 1.0 / support;
    const int64_t most = 2 * static_cast<int64_t>(std::ceil(support)) + 1;
    weights_.resize(count * most);
    std::vector<double> triangle(most);
    for (int64_t i = 0; i < count; ++i) {
      const double center = (static_cast<double>(start + i) + 0.5) * scale;
      const auto first = std::max<int64_t>(static_cast<int64_t>(center - support + 0.5), 0);
      const auto end = std::min(static_cast<int64_t>(center + support + 0.5), size);
      double total = 0;
      for (int64_t t = 0; t < end - first; ++t) {
        const double distance = (static_cast<double>(t + first) - center + 0.5) * slope;
        triangle[t] = std::max(1.0 - std::abs(distance), 0.0);
        total += triangle[t];
      }
      int32_t* weights = weights_.data() + i * most;
      for (int64_t t = 0; t < end - first; ++t)
        weights[t] = static_cast<int32_t>(0.5 + triangle[t] / total * (1 << kWeightBits));
      sums.push_back({first, end - first, weights});
    }
  }

  int64_t first() const { return sums.front().first; }
  int64_t end() const { return sums.back().first + sums.back().count; }

  std::vector<WeightedSum> sums;

 private:
  std::vector<int32_t> weights_;
};

// One row (W, C) to (w, C).
template <int C>
void resize_row(const uint8_t* input, const std::vector<WeightedSum>& columns, uint8_t* output) {
  for (const WeightedSum& column : columns) {
    int32_t sum[C];
    std::fill_n(sum, C, kHalf);
    const uint8_t* pixel = input + column.first * C;
    for (int64_t t = 0; t < column.count; ++t, pixel += C)
      for (int c = 0; c < C; ++c) sum[c] += column.weights[t] * pixel[c];
    for (int c = 0; c < C; ++c) *output++ = static_cast<uint8_t>(sum[c] >> kWeightBits);
  }
}

Tensor resize_window(const Tensor& image, int64_t height, int64_t width, int64_t top, int64_t left,
                     int64_t window_height, int64_t window_width) {
  STD_TORCH_CHECK(image.dim() == 3 && image.scalar_type() == ScalarType::Byte &&
                      image.is_contiguous() && image.size(2) == 3 && image.numel() > 0,
                  "the image is contiguous (H, W, 3) uint8");
  constexpr int64_t most = int64_t{1} << 30;
  STD_TORCH_CHECK(height <= most && width <= most && top >= 0 && left >= 0 && window_height > 0 &&
                      window_width > 0 && top <= height - window_height &&
                      left <= width - window_width,
                  "the window lies within the resized image, whose sides are at most ", most);
  const Axis rows(image.size(0), height, top, window_height);
  const Axis columns(image.size(1), width, left, window_width);
  const int64_t row_length = window_width * 3;
  const auto* input = static_cast<const uint8_t*>(image.const_data_ptr());
  Tensor out = torch::stable::new_empty(image, {window_height, window_width, 3});
  auto* output = static_cast<uint8_t*>(out.mutable_data_ptr());
  // As Pillow: along x first, with rounding to 8 bits, and then along y.
  std::vector<uint8_t> narrow((rows.end() - rows.first()) * row_length);
  for (int64_t y = rows.first(); y < rows.end(); ++y)
    resize_row<3>(input + y * image.size(1) * 3, columns.sums,
                  narrow.data() + (y - rows.first()) * row_length);
  std::vector<int32_t> sum(row_length);
  const auto blend = SEGSUITE_BEST_ISA(blend_rows);
  for (const WeightedSum& row : rows.sums) {
    blend(narrow.data() + (row.first - rows.first()) * row_length, row_length, row, sum.data(),
          output);
    output += row_length;
  }
  return out;
}

}  // namespace
}  // namespace segsuite

STABLE_TORCH_LIBRARY_IMPL(segsuite, CPU, m) {
  m.impl("resize_window", TORCH_BOX(&segsuite::resize_window));
}
