// GELU, x * Phi(x), exact (erf) and with tanh, and its gradient: one pass over the memory.
#include "gelu.cuh"

struct Erf {
  template <class A>
  static __device__ A value(A x) {
    return erf(x);
  }
};

template <class F, int V, class T>
__device__ inline void map(const T* x, T* y, long long n) {
  const long long i = thread_number() * V;
  if (i >= n) return;
  Acc<T> a[V];
  read(a, x + i);
#pragma unroll
  for (int j = 0; j < V; ++j) a[j] = F::value(a[j]);
  write(y + i, a);
}

template <class F, int V, class T>
__device__ inline void map_vjp(const T* g, const T* x, T* gx, long long n) {
  const long long i = thread_number() * V;
  if (i >= n) return;
  Acc<T> a[V], b[V];
  read(a, x + i);
  read(b, g + i);
#pragma unroll
  for (int j = 0; j < V; ++j) a[j] = b[j] * F::slope(a[j]);
  write(gx + i, a);
}

template <class T, int V>
__global__ void erf_values(const T* x, T* y, long long n) {
  map<Erf, V>(x, y, n);
}

template <class T, int V>
__global__ void gelu(const T* x, T* y, long long n) {
  map<Exact, V>(x, y, n);
}

template <class T, int V>
__global__ void gelu_tanh(const T* x, T* y, long long n) {
  map<Tanh, V>(x, y, n);
}

template <class T, int V>
__global__ void gelu_vjp(const T* g, const T* x, T* gx, long long n) {
  map_vjp<Exact, V>(g, x, gx, n);
}

template <class T, int V>
__global__ void gelu_tanh_vjp(const T* g, const T* x, T* gx, long long n) {
  map_vjp<Tanh, V>(g, x, gx, n);
}
