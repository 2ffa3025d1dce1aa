// A piece whose corners have different labels: its candidates, and the labels of its pixels.
#pragma once

#include "cuda/source_tile.cuh"
#include "cuda/upsample_axis.cuh"

namespace segsuite {

constexpr int kPiecePixels = kPieceSide * kPieceSide;

// What a class must not be below, at all four corners of a cell, to be largest somewhere in it: the
// largest class of each corner, and the mean of these.
struct CornerBounds {
  static constexpr int kBounds = 5;
  float values[kBounds][4];

  __device__ void add_mean() {
#pragma unroll
    for (int corner = 0; corner < 4; ++corner)
      values[4][corner] = ((values[0][corner] + values[1][corner]) +
                           (values[2][corner] + values[3][corner])) *
                          0.25f;
  }
  __device__ bool excludes(const float (&value)[4]) const {
    bool below_one = false;
#pragma unroll
    for (int i = 0; i < kBounds; ++i) {
      bool below = true;
#pragma unroll
      for (int corner = 0; corner < 4; ++corner) below &= value[corner] < values[i][corner];
      below_one |= below;
    }
    return below_one;
  }
};

// The labels of a piece among the candidates so far, which ascend.
class PieceLabels {
 public:
  __device__ PieceLabels() {
#pragma unroll
    for (int i = 0; i < kPiecePixels; ++i) {
      best_[i] = -INFINITY;
      label_[i] = -1;
    }
  }

  // The staged classes of the bits, of which the first is class `first`, in the cell at `at`.
  __device__ void add_candidates(const StagedClasses& staged, int first, unsigned bits, int at,
                                 const float* weights_y, const float* weights_x) {
    float weight_y[kPieceSide], weight_x[kPieceSide];
#pragma unroll
    for (int i = 0; i < kPieceSide; ++i) {
      weight_y[i] = weights_y[i];
      weight_x[i] = weights_x[i];
    }
#pragma unroll 1
    for (; bits != 0; bits &= bits - 1) {
      const int c = __ffs(static_cast<int>(bits)) - 1;
      float value[4];
      staged.corners(c, at, value);
      add(first + c, value, weight_y, weight_x);
    }
  }

  // Where every candidate is -inf or NaN, the lowest.
  __device__ int operator()(int y, int x) const {
    const int label = label_[y * kPieceSide + x];
    return label >= 0 ? label : max(lowest_, 0);
  }

 private:
  // A class by its values at the corners: top left, top right, bottom left, bottom right. The sums are
  // rounded as the CPU rounds them, where it has fused products.
  __device__ void add(int c, const float (&value)[4], const float (&weight_y)[kPieceSide],
                      const float (&weight_x)[kPieceSide]) {
    const float dx = value[1] - value[0], dy = value[2] - value[0];
    const float dxdy = (value[3] - value[2]) - dx;
    if (lowest_ < 0) lowest_ = c;
#pragma unroll
    for (int y = 0; y < kPieceSide; ++y) {
      const float left = fmaf(weight_y[y], dy, value[0]);
      const float slope = fmaf(weight_y[y], dxdy, dx);
#pragma unroll
      for (int x = 0; x < kPieceSide; ++x) {
        const int i = y * kPieceSide + x;
        const float sum = fmaf(weight_x[x], slope, left);
        if (sum > best_[i]) {
          best_[i] = sum;
          label_[i] = c;
        }
      }
    }
  }

  float best_[kPiecePixels];
  int label_[kPiecePixels];
  int lowest_ = -1;
};

}  // namespace segsuite
