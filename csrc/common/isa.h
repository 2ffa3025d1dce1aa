// Which instruction set of this machine the CPU kernels use.
//
// The shipped binary is portable: a kernel is compiled for several instruction sets (foreach_isa.h)
// and the best one is taken at run time. SEGSUITE_CPU_ISA=baseline|avx2|avx512 lowers the choice.
#pragma once

#include <cstdlib>
#include <cstring>

namespace segsuite {

enum class Isa { baseline, avx2, avx512 };

inline Isa best_isa() {
  static const Isa isa = [] {
    Isa best = Isa::baseline;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) best = Isa::avx2;
    if (best == Isa::avx2 && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
      best = Isa::avx512;
    if (const char* wanted = std::getenv("SEGSUITE_CPU_ISA")) {
      if (best == Isa::avx512 && std::strcmp(wanted, "avx2") == 0) best = Isa::avx2;
      if (std::strcmp(wanted, "baseline") == 0) best = Isa::baseline;
    }
#endif
    return best;
  }();
  return isa;
}

}  // namespace segsuite
