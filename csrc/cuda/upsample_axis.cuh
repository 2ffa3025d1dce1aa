// One axis of the upsampling: where output coordinates fall between source coordinates, and the
// pieces of at most four outputs that the cells between source coordinates are cut into.
#pragma once

#include <cmath>

#include "common/cuda_kernel.cuh"

namespace segsuite {

// The most outputs of a piece, by each axis.
constexpr int kPieceSide = 4;

// Output i is at (i + 0.5) * scale - 0.5 of the source: align_corners=False. Before it is clamped to
// the source, piece k has the positions [(first + k) / parts, (first + k + 1) / parts), so all that is
// in a piece is between the same two source coordinates. Pieces may be empty.
class PieceAxis {
 public:
  // `scale`: source pixels in an output pixel.
  __host__ PieceAxis(int source, int output, double scale)
      : source_(source), output_(output), scale_(scale), parts_(parts(scale)) {
    first_ = static_cast<int>(std::floor(position(0) * parts_));
    count_ = static_cast<int>(std::floor(position(output - 1) * parts_)) - first_ + 1;
  }

  __host__ __device__ int source() const { return source_; }
  __host__ __device__ int output() const { return output_; }
  __host__ __device__ int count() const { return count_; }

  // The first output of piece k; that of the piece after the last is the number of outputs.
  __device__ int begin(int k) const {
    if (k <= 0) return 0;
    if (k >= count_) return output_;
    const double edge = static_cast<double>(first_ + k) / parts_;
    const double guess = ceil((edge + 0.5) / scale_ - 0.5);
    int i = static_cast<int>(fmin(fmax(guess, 0.0), static_cast<double>(output_)));
    while (i > 0 && position(i - 1) >= edge) --i;
    while (i < output_ && position(i) < edge) ++i;
    return i;
  }

  // The source coordinate below the outputs of piece k; the one above is the next, if there is one.
  __device__ int low(int k) const {
    const int at = first_ + k;
    return min(max(at < 0 ? 0 : at / parts_, 0), source_ - 1);
  }

  // The weight of the source coordinate above output i.
  __device__ float weight(int i) const {
    const double clamped = fmin(fmax(position(i), 0.0), static_cast<double>(source_ - 1));
    return static_cast<float>(__dsub_rn(clamped, static_cast<int>(clamped)));
  }

 private:
  // The fewest parts of a cell that have four outputs at most. Rounding of positions could put a fifth
  // into a part of exactly four, save where nothing is rounded: powers of two.
  static __host__ int parts(double scale) {
    const double exact = 1 / (kPieceSide * scale);
    const int parts = exact > 1 ? static_cast<int>(std::ceil(exact)) : 1;
    const bool close = kPieceSide * scale * parts < 1 + 1e-6;
    const bool power = (parts & (parts - 1)) == 0 && kPieceSide * scale * parts == 1;
    return close && !power ? parts + 1 : parts;
  }

  // As the CPU computes it: no product is fused with the sum after it.
  __host__ __device__ double position(int i) const {
#if defined(__CUDA_ARCH__) || defined(SEGSUITE_CUDA_EMULATION)
    return __dsub_rn(__dmul_rn(i + 0.5, scale_), 0.5);
#else
    const volatile double product = (i + 0.5) * scale_;
    return product - 0.5;
#endif
  }

  int source_, output_;
  double scale_;
  int parts_, first_, count_;
};

}  // namespace segsuite
