// Compiles the kernel source named by SEGSUITE_KERNEL once for each instruction set, in the
// namespaces segsuite::baseline, ::avx2 and ::avx512 (x86-64; elsewhere, and with
// SEGSUITE_BASELINE_ONLY, the baseline alone).
//
//   #define SEGSUITE_KERNEL "cpu/my_op_kernel.inc"
//   #include "common/foreach_isa.h"
//   ... SEGSUITE_BEST_ISA(my_op)(arguments)
//
// The kernel source has no #include of its own and sees SEGSUITE_LANES: how many floats the widest
// registers hold. What it includes must have been included before, outside of any target region, so
// that no inline function of the standard library is compiled for an instruction set that the
// machine may lack.
#include "common/isa.h"

#define SEGSUITE_LANES 4
namespace segsuite::baseline {
#include SEGSUITE_KERNEL
}
#undef SEGSUITE_LANES

#if defined(SEGSUITE_SEVERAL_ISAS)

// GCC splits vectors of 64 bytes in two unless it is told. Clang does not, and it ignores a target
// that names what it does not know, as a whole.
#if defined(__clang__)
#define SEGSUITE_TARGET_BEGIN(isa) \
  _Pragma(SEGSUITE_STRING(clang attribute push(__attribute__((target(isa))), apply_to = function)))
#define SEGSUITE_TARGET_END _Pragma("clang attribute pop")
#define SEGSUITE_WHOLE_VECTORS
#else
#define SEGSUITE_TARGET_BEGIN(isa) \
  _Pragma("GCC push_options") _Pragma(SEGSUITE_STRING(GCC target(isa)))
#define SEGSUITE_TARGET_END _Pragma("GCC pop_options")
#define SEGSUITE_WHOLE_VECTORS ",prefer-vector-width=512"
#endif
#define SEGSUITE_STRING(...) #__VA_ARGS__

SEGSUITE_TARGET_BEGIN("avx2,fma,f16c,bmi,bmi2,lzcnt,popcnt")
#define SEGSUITE_LANES 8
namespace segsuite::avx2 {
#include SEGSUITE_KERNEL
}
#undef SEGSUITE_LANES
SEGSUITE_TARGET_END

SEGSUITE_TARGET_BEGIN("avx2,fma,f16c,bmi,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512dq,avx512vl" SEGSUITE_WHOLE_VECTORS)
#define SEGSUITE_LANES 16
namespace segsuite::avx512 {
#include SEGSUITE_KERNEL
}
#undef SEGSUITE_LANES
SEGSUITE_TARGET_END

#define SEGSUITE_BEST_ISA(function)                                  \
  (segsuite::best_isa() == segsuite::Isa::avx512 ? segsuite::avx512::function   \
   : segsuite::best_isa() == segsuite::Isa::avx2 ? segsuite::avx2::function     \
                                                 : segsuite::baseline::function)
#else
#define SEGSUITE_BEST_ISA(function) segsuite::baseline::function
#endif
