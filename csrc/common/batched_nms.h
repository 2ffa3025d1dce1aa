// The arithmetic of non-maximum suppression, shared by the CPU and the CUDA kernels, which agree to
// the last bit.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__) || defined(SEGSUITE_CUDA_EMULATION)
#define SEGSUITE_DEVICE __host__ __device__ __forceinline__
#else
#define SEGSUITE_DEVICE inline
#endif

namespace segsuite {

struct alignas(16) NmsBox {
  float x1, y1, x2, y2;

  // Zero times a finite number is zero, times another it is NaN.
  SEGSUITE_DEVICE bool is_finite() const {
    return (x1 * 0.f + y1 * 0.f) + (x2 * 0.f + y2 * 0.f) == 0.f;
  }
};

// a * b rounded to float32, whatever is done with it: never part of a fused multiply-add.
SEGSUITE_DEVICE float rounded_product(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fmul_rn(a, b);
#else
  const volatile float product = a * b;
  return product;
#endif
}

// Of numbers, none of them NaN.
SEGSUITE_DEVICE float larger(float a, float b) {
#ifdef __CUDA_ARCH__
  return fmaxf(a, b);
#else
  return a > b ? a : b;
#endif
}
SEGSUITE_DEVICE float smaller(float a, float b) {
#ifdef __CUDA_ARCH__
  return fminf(a, b);
#else
  return a < b ? a : b;
#endif
}

// Width times height of what two boxes share.
SEGSUITE_DEVICE float intersection(const NmsBox& a, const NmsBox& b) {
  const float width = smaller(a.x2, b.x2) - larger(a.x1, b.x1);
  const float height = smaller(a.y2, b.y2) - larger(a.y1, b.y1);
  return rounded_product(larger(width, 0.f), larger(height, 0.f));
}

SEGSUITE_DEVICE float area(const NmsBox& box) {
  return rounded_product(box.x2 - box.x1, box.y2 - box.y1);
}

// When one box suppresses another: intersection / union > threshold.
//
// `possible` answers the same question without a division, and now and then with "yes" instead of
// "no": intersection > scale * (the sum of both areas) - slack. `scale` is 1 % below what it would be
// in exact arithmetic, which covers the rounding of normal numbers; `slack` covers that of subnormal
// ones.
struct NmsThreshold {
  float value;  // what a float is greater than if it is greater than the number asked for
  float scale, slack;

  explicit NmsThreshold(double threshold) {
    value = static_cast<float>(threshold < 1 ? threshold : 1);
    if (value > threshold) value = std::nextafter(value, 0.f);
    const bool is_tiny = value < 1e-30f;
    scale = is_tiny ? 0.f : 0.99f * value / (1.f + value);
    slack = is_tiny ? 0.f : 1e-36f;
  }

  // What `possible` takes of the one box; of the other it takes the area.
  SEGSUITE_DEVICE float offset(const NmsBox& box) const { return scale * area(box) - slack; }
  SEGSUITE_DEVICE bool possible(const NmsBox& a, float a_offset, const NmsBox& b,
                                float b_area) const {
    const float width = smaller(a.x2, b.x2) - larger(a.x1, b.x1);
    const float height = smaller(a.y2, b.y2) - larger(a.y1, b.y1);  // negative is as good as 0
    return larger(width, 0.f) * height > scale * b_area + a_offset;
  }

  SEGSUITE_DEVICE bool exceeded_by(const NmsBox& a, const NmsBox& b) const {
    const float shared = intersection(a, b);
    return shared / (area(a) + area(b) - shared) > value;
  }
};

// Places the entries of an image in their order: by score, descending, then by index, ascending.
SEGSUITE_DEVICE uint64_t nms_key(float score, uint32_t index) {
  const float positive_zero = score + 0.f;
  uint32_t bits;
  memcpy(&bits, &positive_zero, sizeof bits);
  const uint32_t ascending = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return static_cast<uint64_t>(~ascending) << 32 | index;
}

SEGSUITE_DEVICE uint32_t nms_index(uint64_t key) { return static_cast<uint32_t>(key); }

// -inf and NaN mark what is not there.
SEGSUITE_DEVICE bool is_valid_score(float score) { return score > -INFINITY; }

}  // namespace segsuite
