// What all kernels share: element types, vectors of 16 bytes, sums over threads.
//
// T is how numbers are stored: float, double, __half or __nv_bfloat16. They are widened when they
// are read and rounded when they are written; all arithmetic in between is in Acc<T>.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#define OPTIONAL  // marks pointers that may be null, for launcher.py

template <class T>
struct AccOf {
  using type = float;
};
template <>
struct AccOf<double> {
  using type = double;
};
template <class T>
using Acc = typename AccOf<T>::type;

__device__ inline float widen(float x) { return x; }
__device__ inline double widen(double x) { return x; }
__device__ inline float widen(__half x) { return __half2float(x); }
__device__ inline float widen(__nv_bfloat16 x) { return __bfloat162float(x); }

__device__ inline void narrow(float& to, float x) { to = x; }
__device__ inline void narrow(double& to, double x) { to = x; }
__device__ inline void narrow(__half& to, float x) { to = __float2half(x); }
__device__ inline void narrow(__nv_bfloat16& to, float x) { to = __float2bfloat16(x); }

// One over a number whose square is out of range, while all of its smaller ones are in.
template <class A>
__device__ inline A unit() {
  return sizeof(A) == 4 ? A(0x1p-70) : A(0x1p-540);
}

// W neighbours in memory, read and written in one go: W * sizeof(T) is 16 bytes at most, and the
// address a multiple of it.
template <class T, int W>
struct __align__(W * sizeof(T)) Pack {
  T items[W];
};

template <class T, int V>
__device__ constexpr int pack_size() {
  return V * sizeof(T) <= 16 ? V : 16 / sizeof(T);
}

// Read V neighbours, in packs.
template <int V, class T>
__device__ inline void read(Acc<T> (&to)[V], const T* from) {
  constexpr int W = pack_size<T, V>();
#pragma unroll
  for (int i = 0; i < V; i += W) {
    const Pack<T, W> pack = *reinterpret_cast<const Pack<T, W>*>(from + i);
#pragma unroll
    for (int j = 0; j < W; ++j) to[i + j] = widen(pack.items[j]);
  }
}

template <int V, class T>
__device__ inline void write(T* to, const Acc<T> (&from)[V]) {
  constexpr int W = pack_size<T, V>();
#pragma unroll
  for (int i = 0; i < V; i += W) {
    Pack<T, W> pack;
#pragma unroll
    for (int j = 0; j < W; ++j) narrow(pack.items[j], from[i + j]);
    *reinterpret_cast<Pack<T, W>*>(to + i) = pack;
  }
}

// Sum over `lanes` neighbouring lanes of a warp, a power of two; each gets the result. Every lane
// of the warp must call it.
template <class A>
__device__ inline A sum_over_lanes(A value, int lanes) {
  for (int bit = lanes / 2; bit > 0; bit /= 2) value += __shfl_xor_sync(0xffffffffu, value, bit);
  return value;
}

__device__ inline long long thread_number() {
  return (long long)blockIdx.x * blockDim.x + threadIdx.x;
}

constexpr int THREADS = 256;  // of a block, at most; arrays.py has it too

// Where a thread stands when the threads of a block form a table of `height` rows; those that are
// left over stand below it.
struct Place {
  int x, y, width, height;
};

__device__ inline Place place_in(int width) {
  const int thread = threadIdx.x;
  return {thread % width, thread / width, width, (int)blockDim.x / width};
}

// Sums down the columns of such a table, V at a time; the thread in row 0 gets the result. Every
// thread of the block must call it.
template <class A, int V>
__device__ inline void sum_over_rows(A (&values)[V], Place at) {
  __shared__ A all[V][THREADS];
#pragma unroll
  for (int i = 0; i < V; ++i) all[i][threadIdx.x] = values[i];
  __syncthreads();
  if (at.y == 0)
    for (int row = 1; row < at.height; ++row)
#pragma unroll
      for (int i = 0; i < V; ++i) values[i] += all[i][row * at.width + at.x];
  __syncthreads();  // the memory may be used again
}

// Sum over all THREADS of a block; each gets the result.
template <class A>
__device__ inline A sum_over_block(A value) {
  __shared__ A all[THREADS / 32];
  value = sum_over_lanes(value, 32);
  if (threadIdx.x % 32 == 0) all[threadIdx.x / 32] = value;
  __syncthreads();
  A total = 0;
  for (int warp = 0; warp < THREADS / 32; ++warp) total += all[warp];
  __syncthreads();
  return total;
}
