// Exponential moving average, in place: average = decay * average + (1 - decay) * value.
#include "common.cuh"

template <class T, int V>
__global__ void ema(T* average, const T* value, long long size, Acc<T> decay) {
  const long long i = thread_number() * V;
  if (i >= size) return;
  Acc<T> a[V], b[V];
  read(a, average + i);
  read(b, value + i);
#pragma unroll
  for (int j = 0; j < V; ++j) a[j] = decay * a[j] + (Acc<T>(1) - decay) * b[j];
  write(average + i, a);
}
