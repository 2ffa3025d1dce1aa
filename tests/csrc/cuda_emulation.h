// CUDA on the CPU, for tests: enough of the language to run the kernels of csrc/cuda as they are.
//
// Blocks run one after the other. The threads of a block are fibers that run until the next barrier
// (__syncthreads or a warp operation), and a warp runs until all of its threads wait for the block;
// every other block runs them in descending order. So a missing barrier shows as a wrong result
// rather than by luck. A barrier that not all threads of the block or warp reach ends the process
// with a message, as does a shared-memory request over 48 KiB that resident_blocks() did not allow.
//
// Loads, stores and atomics of global memory are counted on request as a GPU moves them: lanes of a
// warp that are at the same instruction, for the same time since the last barrier of the block, make
// one request, which moves the sectors of 32 bytes that its lanes touch. The sectors that a launch
// touches at all are counted, too: fewer cannot move. Atomics of dynamic shared memory are counted
// by themselves.
//
// Left out, because no kernel here uses it: streams that overlap, device-side memory spaces, warp
// masks other than the full one, block sizes that are no multiple of a warp in warp operations.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <source_location>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __grid_constant__
#define __shared__ static  // blocks run one at a time, so one copy serves

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

using cudaStream_t = void*;

namespace emulation {

constexpr int kWarp = 32;
constexpr size_t kStackBytes = 128 * 1024;
constexpr size_t kSharedBytes = 48 * 1024;            // of a launch
constexpr size_t kMostSharedBytes = 227 * 1024;       // of one that asked for it before
constexpr int64_t kResidentBlocks = 3;                // few, so that blocks take several turns

enum class Wait { none, warp, block, done };

enum Kind { kLoad, kStore, kAtomic, kSharedAtomic, kKinds };

struct Counts {
  int64_t requests, sectors, bytes, distinct_sectors;
};

// What the warps of a block ask of global memory, until its next barrier.
class Traffic {
 public:
  bool counting = false;
  Counts counts[kKinds] = {};

  void start() {
    *this = Traffic();
    counting = true;
  }
  void add(Kind kind, int thread, const void* address, size_t size, std::source_location at) {
    if (!counting) return;
    const uint64_t place = (reinterpret_cast<uintptr_t>(at.file_name()) << 24) ^
                           (uint64_t{at.line()} << 8) ^ at.column();
    const uint64_t time = times_[place * 1024 + thread]++;
    const auto first = reinterpret_cast<uintptr_t>(address) / kSector;
    const auto last = (reinterpret_cast<uintptr_t>(address) + size - 1) / kSector;
    for (auto sector = first; sector <= last; ++sector)
      touched_.push_back({kind, static_cast<uint64_t>(thread / 32), place, time, sector});
    counts[kind].bytes += static_cast<int64_t>(size);
  }
  void barrier() {
    std::sort(touched_.begin(), touched_.end());
    const Touch* before = nullptr;
    for (const Touch& touch : touched_) {
      const bool same_request = before && std::equal(touch.begin(), touch.end() - 1, before->begin());
      if (!same_request) ++counts[touch[0]].requests;
      if (!same_request || touch[4] != (*before)[4]) ++counts[touch[0]].sectors;
      if (distinct_[touch[0]].insert(touch[4]).second) ++counts[touch[0]].distinct_sectors;
      before = &touch;
    }
    touched_.clear();
    times_.clear();
  }

 private:
  static constexpr uintptr_t kSector = 32;
  using Touch = std::array<uint64_t, 5>;  // kind, warp, place in the source, time, sector
  std::unordered_map<uint64_t, uint64_t> times_;
  std::vector<Touch> touched_;
  std::unordered_set<uintptr_t> distinct_[kKinds];
};

inline Traffic& traffic() {
  static Traffic instance;
  return instance;
}

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  dim3 thread;
  Wait wait = Wait::none;
};

struct Machine {
  dim3 grid, block, block_index;
  std::vector<Fiber> fibers;
  int current = 0;
  int threads = 0;
  ucontext_t scheduler;
  std::function<void()> kernel;
  size_t allowed_shared = kSharedBytes;
  alignas(16) char shared[kMostSharedBytes];
  uint64_t exchange[1024];  // one slot a thread, for warp operations
};

inline Machine& machine() {
  static Machine instance;
  return instance;
}

[[noreturn]] inline void fail(const char* message) {
  std::fprintf(stderr, "CUDA emulation: %s\n", message);
  std::abort();
}

inline Fiber& current() { return machine().fibers[machine().current]; }

inline void wait_for(Wait what) {
  current().wait = what;
  swapcontext(&current().context, &machine().scheduler);
}

inline void fiber_main() {
  machine().kernel();
  current().wait = Wait::done;
  swapcontext(&current().context, &machine().scheduler);
}

// Wakes the fibers [first, last) if all of them wait for `what`; true if it did.
inline bool release(int first, int last, Wait what) {
  auto& fibers = machine().fibers;
  for (int i = first; i < last; ++i)
    if (fibers[i].wait != what) return false;
  for (int i = first; i < last; ++i) fibers[i].wait = Wait::none;
  return true;
}

inline void run_block(bool descending) {
  Machine& m = machine();
  for (int i = 0; i < m.threads; ++i) {
    Fiber& fiber = m.fibers[i];
    fiber.wait = Wait::none;
    fiber.thread = dim3(i % m.block.x, i / m.block.x % m.block.y, i / (m.block.x * m.block.y));
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, fiber_main, 0);
  }
  const int warps = (m.threads + kWarp - 1) / kWarp;
  while (true) {
    for (int i = 0; i < warps; ++i) {
      const int first = (descending ? warps - 1 - i : i) * kWarp;
      const int last = std::min(first + kWarp, m.threads);
      do {
        for (int k = first; k < last; ++k) {
          m.current = descending ? first + last - 1 - k : k;
          if (current().wait == Wait::none) swapcontext(&m.scheduler, &current().context);
        }
      } while (release(first, last, Wait::warp));
    }
    if (release(0, m.threads, Wait::block)) {
      traffic().barrier();
      continue;
    }
    for (int i = 0; i < m.threads; ++i)
      if (m.fibers[i].wait != Wait::done) fail("a barrier is not reached by every thread");
    traffic().barrier();
    return;
  }
}

inline void launch(dim3 grid, dim3 block, size_t shared_bytes, std::function<void()> kernel) {
  Machine& m = machine();
  const int threads = block.x * block.y * block.z;
  if (threads < 1 || threads > 1024) fail("a block has 1 to 1024 threads");
  if (grid.x < 1 || grid.y < 1 || grid.z < 1) fail("an empty grid");
  if (grid.y > 65535 || grid.z > 65535) fail("gridDim.y and .z end at 65535");
  if (shared_bytes > std::max(m.allowed_shared, kSharedBytes))
    fail("more than 48 KiB of shared memory");
  m.allowed_shared = 0;
  m.grid = grid;
  m.block = block;
  m.threads = threads;
  m.kernel = std::move(kernel);
  if (static_cast<int>(m.fibers.size()) < threads) m.fibers.resize(threads);
  unsigned number = 0;
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        m.block_index = dim3(x, y, z);
        std::memset(m.shared, 0xff, shared_bytes);  // NaN or -1: nothing may count on zeros
        run_block(number++ % 2 == 1);
      }
}

// The value of `source`'s slot once every thread of the warp has written its own.
template <typename T>
T exchange(T value, int source) {
  Machine& m = machine();
  static_assert(sizeof(T) <= sizeof(uint64_t));
  std::memcpy(&m.exchange[m.current], &value, sizeof value);
  wait_for(Wait::warp);
  T result;
  std::memcpy(&result, &m.exchange[m.current / kWarp * kWarp + source], sizeof result);
  wait_for(Wait::warp);
  return result;
}

inline int lane() { return machine().current % kWarp; }

// Atomics of dynamic shared memory are another thing than those of global memory.
inline Kind atomic_kind(const void* address) {
  const char* const shared = machine().shared;
  return address >= shared && address < shared + kMostSharedBytes ? kSharedAtomic : kAtomic;
}

}  // namespace emulation

#define threadIdx (emulation::current().thread)
#define blockIdx (emulation::machine().block_index)
#define blockDim (emulation::machine().block)
#define gridDim (emulation::machine().grid)

inline void __syncthreads() { emulation::wait_for(emulation::Wait::block); }
inline void __syncwarp(unsigned = ~0u) { emulation::wait_for(emulation::Wait::warp); }

template <typename T>
T __shfl_sync(unsigned, T value, int source) {
  return emulation::exchange(value, source % emulation::kWarp);
}
template <typename T>
T __shfl_down_sync(unsigned, T value, unsigned delta) {
  const int source = emulation::lane() + static_cast<int>(delta);
  return emulation::exchange(value, source < emulation::kWarp ? source : emulation::lane());
}
template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return emulation::exchange(value, emulation::lane() ^ mask);
}
inline unsigned __ballot_sync(unsigned, bool predicate) {
  emulation::Machine& m = emulation::machine();
  m.exchange[m.current] = predicate;
  emulation::wait_for(emulation::Wait::warp);
  const uint64_t* slots = &m.exchange[m.current / emulation::kWarp * emulation::kWarp];
  unsigned bits = 0;
  for (int i = 0; i < emulation::kWarp; ++i) bits |= static_cast<unsigned>(slots[i]) << i;
  emulation::wait_for(emulation::Wait::warp);
  return bits;
}
inline bool __all_sync(unsigned mask, bool predicate) {
  return __ballot_sync(mask, predicate) == ~0u;
}
inline bool __any_sync(unsigned mask, bool predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }

template <typename T>
T load_global(const T* from, std::source_location at = std::source_location::current()) {
  emulation::traffic().add(emulation::kLoad, emulation::machine().current, from, sizeof(T), at);
  return *from;
}
template <typename T>
void store_global(T* to, const T& value,
                  std::source_location at = std::source_location::current()) {
  emulation::traffic().add(emulation::kStore, emulation::machine().current, to, sizeof(T), at);
  *to = value;
}
template <typename T>
T __ldg(const T* address, std::source_location at = std::source_location::current()) {
  return load_global(address, at);
}

// Fibers switch at barriers only, so plain memory operations are atomic.
template <typename T>
T atomicAdd(T* address, T value, std::source_location at = std::source_location::current()) {
  emulation::traffic().add(emulation::atomic_kind(address), emulation::machine().current, address,
                           sizeof(T), at);
  const T old = *address;
  *address = old + value;
  return old;
}
template <typename T>
T atomicOr(T* address, T value, std::source_location at = std::source_location::current()) {
  emulation::traffic().add(emulation::atomic_kind(address), emulation::machine().current, address,
                           sizeof(T), at);
  const T old = *address;
  *address = old | value;
  return old;
}

// For calls from Python: counts of loads, stores and atomics since the start.
extern "C" inline __attribute__((used)) void start_counting() { emulation::traffic().start(); }
extern "C" inline __attribute__((used)) void stop_counting(emulation::Counts* counts) {
  emulation::traffic().counting = false;
  std::copy_n(emulation::traffic().counts, emulation::kKinds, counts);
}

using std::max;
using std::min;

// Products and sums that are not contracted into one operation.
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dadd_rn(double a, double b) { return a + b; }

template <typename... Arguments>
int most_shared_bytes(void (*)(Arguments...)) {
  return static_cast<int>(emulation::kMostSharedBytes);
}
template <typename... Arguments>
int64_t resident_blocks(void (*)(Arguments...), int, int shared_bytes) {
  emulation::machine().allowed_shared = static_cast<size_t>(shared_bytes);
  return emulation::kResidentBlocks;
}

#define SEGSUITE_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  emulation::launch(grid, block, shared_bytes, [=] { SEGSUITE_UNWRAP kernel(__VA_ARGS__); })
#define SEGSUITE_UNWRAP(...) __VA_ARGS__
#define SEGSUITE_DYNAMIC_SHARED(T, name) \
  T* name = reinterpret_cast<T*>(emulation::machine().shared)
