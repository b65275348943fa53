// Runs CUDA kernels on a CPU, for tests: the same source, compiled by g++.
//
// Every CUDA thread of a block is a fiber with a stack of its own. The scheduler lets one fiber run
// until it waits (at a barrier, in a shuffle) or ends, then the next one:
//
//     thread 0   ----run----| waits at __syncthreads()             ----run----| ends
//     thread 1               ----run----| waits            ----run----| ends
//     thread 2                           ----run----| waits ...
//                                                   ^ all are there: all may go on
//
// Blocks run one after the other. What a GPU leaves open is varied or made to hurt: the order of
// threads and blocks is shuffled, shared memory starts as NaN, and an index out of a shared array,
// a barrier that not every thread reaches and a shuffle with an absent lane are errors.
#pragma once
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

struct uint3 {
  unsigned x, y, z;
};
inline uint3 threadIdx, blockIdx, blockDim, gridDim;  // of the fiber that runs

namespace shim {

enum class State { ready, at_barrier, at_warp, ended };

struct Fiber {
  std::vector<char> stack = std::vector<char>(64 << 10);
  ucontext_t first;
  jmp_buf place;
  bool started = false;
  State state = State::ended;
  unsigned index, lane, mask;
  int site;  // line of the source where it waits
};

struct Machine {
  std::vector<std::unique_ptr<Fiber>> fibers;
  Fiber* running = nullptr;
  jmp_buf scheduler;
  void (*body)(void*) = nullptr;
  void* arguments = nullptr;
  std::string error;
  std::vector<std::pair<int, std::unique_ptr<char[]>>> shared;  // by number of the declaration
  uint64_t slots[1024];                                         // what lanes hand over in shuffles
};

inline Machine machine;

// ---- fibers ----------------------------------------------------------------------------------

inline void wait(State state, int site) {
  Fiber* me = machine.running;
  me->state = state;
  me->site = site;
  if (!_setjmp(me->place)) _longjmp(machine.scheduler, 1);
}

inline void live() {  // a fiber serves one CUDA thread after the other
  for (;;) {
    machine.body(machine.arguments);
    wait(State::ended, 0);
  }
}

inline void resume(Fiber* fiber) {
  machine.running = fiber;
  const unsigned i = fiber->index;
  threadIdx = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
  if (_setjmp(machine.scheduler)) return;
  if (fiber->started) _longjmp(fiber->place, 1);
  fiber->started = true;
  getcontext(&fiber->first);
  fiber->first.uc_stack.ss_sp = fiber->stack.data();
  fiber->first.uc_stack.ss_size = fiber->stack.size();
  fiber->first.uc_link = nullptr;
  makecontext(&fiber->first, live, 0);
  setcontext(&fiber->first);
}

inline void fail(const std::string& message) {
  if (machine.error.empty()) machine.error = message;
}

inline void out_of_bounds(int) {  // a signal handler: the fiber that did it is given up
  fail("a pointer leaves its array");
  if (machine.running) machine.running->state = State::ended;
  _longjmp(machine.scheduler, 1);
}

// ---- what waits for whom ---------------------------------------------------------------------

// Let the lanes of a warp go on that have all arrived in the same shuffle.
inline bool release_warps(unsigned threads) {
  bool any = false;
  for (unsigned i = 0; i < threads; ++i) {
    Fiber* f = machine.fibers[i].get();
    if (f->state != State::at_warp) continue;
    const unsigned warp = i & ~31u;
    bool complete = true;
    for (unsigned lane = 0; lane < 32; ++lane) {
      if (!(f->mask >> lane & 1)) continue;
      Fiber* other = warp + lane < threads ? machine.fibers[warp + lane].get() : nullptr;
      if (!other || other->state == State::ended) {
        fail("a shuffle waits for a lane that has ended or does not exist");
        return false;
      }
      complete &= other->state == State::at_warp && other->site == f->site && other->mask == f->mask;
    }
    if (!complete) continue;
    for (unsigned lane = 0; lane < 32; ++lane)
      if (f->mask >> lane & 1) machine.fibers[warp + lane]->state = State::ready;
    any = true;
  }
  return any;
}

inline bool release_barrier(unsigned threads) {
  unsigned waiting = 0, ended = 0;
  for (unsigned i = 0; i < threads; ++i) {
    waiting += machine.fibers[i]->state == State::at_barrier;
    ended += machine.fibers[i]->state == State::ended;
  }
  if (waiting && ended && waiting + ended == threads)
    fail("__syncthreads() is not reached by every thread of the block");
  if (waiting != threads) return false;
  for (unsigned i = 0; i < threads; ++i) {
    if (machine.fibers[i]->site != machine.fibers[0]->site)
      fail("threads of a block wait at different __syncthreads()");
    machine.fibers[i]->state = State::ready;
  }
  return true;
}

inline void run_block(unsigned threads, std::vector<unsigned>& order, std::mt19937* random) {
  machine.shared.clear();
  for (unsigned i = 0; i < threads; ++i) machine.fibers[i]->state = State::ready;
  for (unsigned alive = threads; alive && machine.error.empty();) {
    if (random) std::shuffle(order.begin(), order.end(), *random);
    bool any = false;
    for (unsigned i : order) {
      Fiber* f = machine.fibers[i].get();
      if (f->state != State::ready) continue;
      any = true;
      resume(f);
      alive -= f->state == State::ended;
      if (!machine.error.empty()) return;
    }
    any |= release_warps(threads);
    if (machine.error.empty()) any |= release_barrier(threads);
    if (!any && alive) fail("deadlock: threads wait for each other at barriers and in shuffles");
  }
}

// order: 0 ascending, 1 descending, otherwise the seed of a shuffle
inline const char* run(const unsigned* grid, const unsigned* block, unsigned order,
                       void (*body)(void*), void* arguments) {
  gridDim = {grid[0], grid[1], grid[2]};
  blockDim = {block[0], block[1], block[2]};
  const unsigned threads = block[0] * block[1] * block[2];
  machine.body = body;
  machine.arguments = arguments;
  machine.error.clear();
  for (unsigned i = machine.fibers.size(); i < threads; ++i) {
    machine.fibers.emplace_back(new Fiber);
    machine.fibers[i]->index = i;
    machine.fibers[i]->lane = i & 31;
  }
  std::vector<unsigned> blocks(grid[0] * grid[1] * grid[2]), turns(threads);
  for (unsigned i = 0; i < blocks.size(); ++i) blocks[i] = i;
  for (unsigned i = 0; i < threads; ++i) turns[i] = order == 1 ? threads - 1 - i : i;
  std::mt19937 random(order);
  if (order == 1) std::reverse(blocks.begin(), blocks.end());
  if (order > 1) std::shuffle(blocks.begin(), blocks.end(), random);

  struct sigaction caught = {}, before_segv, before_bus;
  caught.sa_handler = out_of_bounds;
  caught.sa_flags = SA_NODEFER;
  sigaction(SIGSEGV, &caught, &before_segv);
  sigaction(SIGBUS, &caught, &before_bus);
  for (unsigned b : blocks) {
    blockIdx = {b % grid[0], b / grid[0] % grid[1], b / (grid[0] * grid[1])};
    run_block(threads, turns, order > 1 ? &random : nullptr);
    if (!machine.error.empty()) break;
  }
  sigaction(SIGSEGV, &before_segv, nullptr);
  sigaction(SIGBUS, &before_bus, nullptr);
  machine.shared.clear();
  if (machine.error.empty()) return nullptr;
  machine.fibers.clear();  // some stopped half-way
  return machine.error.c_str();
}

// ---- shared memory ---------------------------------------------------------------------------

// One axis of a shared array; an index beyond it is an error, not the neighbour's element.
template <class T, size_t... N>
struct Shared {
  using Element = T;
};
template <class T, size_t N, size_t... M>
struct Shared<T, N, M...> {
  using Element = std::conditional_t<sizeof...(M) == 0, T, Shared<T, M...>>;
  Element items[N];
  Element& operator[](size_t i) {
    if (i >= N) {
      fail("an index leaves a shared array");
      wait(State::ended, 0);
    }
    return items[i];
  }
};

template <class A>
A& shared(int key) {
  for (auto& [known, memory] : machine.shared)
    if (known == key) return *reinterpret_cast<A*>(memory.get());
  machine.shared.emplace_back(key, new char[sizeof(A)]);
  char* memory = machine.shared.back().second.get();
  std::memset(memory, 0xff, sizeof(A));  // NaN, in every element type
  return *reinterpret_cast<A*>(memory);
}

// ---- shuffles --------------------------------------------------------------------------------

template <class T>
T exchange(unsigned mask, T value, unsigned source, int site) {
  static_assert(sizeof(T) <= 8, "a shuffle moves up to 8 bytes");
  Fiber* me = machine.running;
  if (!(mask >> me->lane & 1)) fail("a lane shuffles with a mask that leaves it out");
  me->mask = mask;
  std::memcpy(&machine.slots[me->index], &value, sizeof(T));
  wait(State::at_warp, site);
  if (source < 32) {
    if (!(mask >> source & 1)) fail("a shuffle reads a lane outside its mask");
    std::memcpy(&value, &machine.slots[(me->index & ~31u) + source], sizeof(T));
  }
  wait(State::at_warp, -site);
  return value;
}

// ---- arguments -------------------------------------------------------------------------------

template <class... P>
struct Call {
  void (*kernel)(P...);
  void** values;
  template <size_t... I>
  void unpack(std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_reference_t<P>*>(values[I])...);
  }
  static void body(void* call) {
    static_cast<Call*>(call)->unpack(std::index_sequence_for<P...>());
  }
};

template <class... P>
const char* launch(void (*kernel)(P...), const unsigned* grid, const unsigned* block,
                   unsigned order, void** values) {
  Call<P...> call{kernel, values};
  return run(grid, block, order, &Call<P...>::body, &call);
}

// One letter per parameter: pointer *, floating f or d, integer by its size.
template <class T>
constexpr char letter() {
  if (std::is_pointer_v<T>) return '*';
  if (std::is_floating_point_v<T>) return sizeof(T) == 4 ? 'f' : 'd';
  return char('0' + sizeof(T));
}
template <class... P>
const char* letters(void (*)(P...)) {
  static const char text[] = {letter<P>()..., 0};
  return text;
}

}  // namespace shim

#define __syncthreads() shim::wait(shim::State::at_barrier, __LINE__)
#define __shfl_xor_sync(mask, value, bits) \
  shim::exchange(mask, value, shim::machine.running->lane ^ (bits), __LINE__)
#define __shfl_down_sync(mask, value, by) \
  shim::exchange(mask, value, shim::machine.running->lane + (by), __LINE__)
#define __shfl_sync(mask, value, lane) shim::exchange(mask, value, (lane) & 31u, __LINE__)

using std::erf;
using std::exp;
using std::fma;
using std::log;
using std::max;
using std::min;
using std::sqrt;
using std::tanh;
inline float rsqrt(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
