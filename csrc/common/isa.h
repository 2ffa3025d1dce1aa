// Which instruction set of this machine the CPU kernels use.
//
// The shipped binary is portable: a kernel is compiled for several instruction sets (foreach_isa.h)
// and the best one is taken at run time. SEGSUITE_CPU_ISA=baseline|avx2|avx512 lowers the choice.
#pragma once

#include <cstdlib>
#include <cstring>

// setup.py defines SEGSUITE_BASELINE_ONLY where the compiler fails otherwise.
#if defined(__x86_64__) && !defined(SEGSUITE_BASELINE_ONLY)
#define SEGSUITE_SEVERAL_ISAS
#include <cpuid.h>
#endif

namespace segsuite {

enum class Isa { baseline, avx2, avx512 };

#if defined(SEGSUITE_SEVERAL_ISAS)
// Not all compilers know these names in __builtin_cpu_supports.
inline bool has_f16c_and_lzcnt() {
  unsigned a, b, c, d;
  constexpr unsigned f16c = 1u << 29, lzcnt = 1u << 5;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & f16c) && __get_cpuid(0x80000001, &a, &b, &c, &d) &&
         (c & lzcnt);
}
#endif

// The instructions that the kernels are compiled with in foreach_isa.h, all of them.
inline Isa best_isa() {
  static const Isa isa = [] {
    Isa best = Isa::baseline;
#if defined(SEGSUITE_SEVERAL_ISAS)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
        __builtin_cpu_supports("popcnt") && has_f16c_and_lzcnt())
      best = Isa::avx2;
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
