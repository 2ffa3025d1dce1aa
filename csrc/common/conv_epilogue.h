// What follows a convolution, elementwise: bias, residual, ReLU.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

namespace segsuite {

// x = relu?(x + bias? + residual?), of (N, C, H, W) without gaps.
template <typename S>
struct ConvEpilogue {
  using Sum = std::conditional_t<std::is_same_v<S, double>, double, float>;

  S* x;
  const Sum* bias;    // (C,), or null
  const S* residual;  // laid out as x, or null
  int64_t images, channels, height, width;
  bool channels_last;
  bool upsample;  // the residual is (N, C, H / 2, W / 2), each pixel of which counts for four
  bool relu;

#if defined(__CUDACC__)
  __host__ __device__
#endif
  Sum least() const { return relu ? Sum(0) : -static_cast<Sum>(INFINITY); }
};

}  // namespace segsuite
