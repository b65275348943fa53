// One step of Adam or AdamW, in place, in one pass: five numbers read and three written.
#include "common.cuh"

template <class A>
struct Step {
  A step_size, v_scale;
  double beta1, beta2;  // in float 1 - 0.999 has five digits
  A eps, shrink, penalty;
};

// g is in G, which may be narrower than the parameters and their running means.
template <int V, class T, class G>
__device__ inline void take(T* p, const G* g, T* m, T* v, long long size, const Step<Acc<T>>& by) {
  using A = Acc<T>;
  const long long i = thread_number() * V;
  if (i >= size) return;
  const A fresh1 = A(1.0 - by.beta1), kept2 = A(by.beta2), fresh2 = A(1.0 - by.beta2);
  A param[V], grad[V], mean[V], square[V];
  read(param, p + i);
  read(grad, g + i);
  read(mean, m + i);
  read(square, v + i);
#pragma unroll
  for (int j = 0; j < V; ++j) {
    const A d = fma(by.penalty, param[j], grad[j]);
    mean[j] += fresh1 * (d - mean[j]);
    square[j] = kept2 * square[j] + fresh2 * (d * d);
    const A root = sqrt(square[j]) / by.v_scale + by.eps;
    param[j] = by.shrink * param[j] - by.step_size * (mean[j] / root);
  }
  write(p + i, param);
  write(m + i, mean);
  write(v + i, square);
}

template <class T, int V>
__global__ void adam(T* p, const T* g, T* m, T* v, long long size, Acc<T> step_size, Acc<T> v_scale,
                     double beta1, double beta2, Acc<T> eps, Acc<T> shrink, Acc<T> penalty) {
  take<V>(p, g, m, v, size, {step_size, v_scale, beta1, beta2, eps, shrink, penalty});
}

// The same with the numbers in memory, where a CUDA graph finds those of the day.
template <class T, int V>
__global__ void adam_flat(T* p, const T* g, T* m, T* v, const double* numbers, long long size) {
  using A = Acc<T>;
  take<V>(p, g, m, v, size,
          {A(numbers[0]), A(numbers[1]), numbers[2], numbers[3], A(numbers[4]), A(numbers[5]),
           A(numbers[6])});
}
