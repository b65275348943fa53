// Cross entropy of rows: loss = -sum(q * log(softmax(x))).
//
// `lanes` neighbouring lanes share a row and go over it three times: for its maximum, for the sum
// of exponentials, and for the result. The row is in the cache after the first time.
#include "common.cuh"

template <class A>
struct Shift {
  A highest, total;  // total = sum of exp(x - highest)
};

template <class A>
__device__ inline A max_over_lanes(A value, int lanes) {
  for (int bit = lanes / 2; bit > 0; bit /= 2)
    value = max(value, __shfl_xor_sync(0xffffffffu, value, bit));
  return value;
}

template <class T>
__device__ inline Shift<Acc<T>> shift(const T* row, int lanes, int lane, int classes) {
  using A = Acc<T>;
  A highest = widen(row[0]), total = 0;
  for (int c = lane; c < classes; c += lanes) highest = max(highest, widen(row[c]));
  highest = max_over_lanes(highest, lanes);
  for (int c = lane; c < classes; c += lanes) total += exp(widen(row[c]) - highest);
  return {highest, sum_over_lanes(total, lanes)};
}

template <class T>
__global__ void cross_entropy(const T* x, const T* q, T* loss, int rows, int classes, int lanes) {
  using A = Acc<T>;
  const long long row = thread_number() / lanes;
  const long long at = min(row, (long long)rows - 1) * classes;  // all lanes take part in shuffles
  const int lane = threadIdx.x & (lanes - 1);
  const Shift<A> s = shift(x + at, lanes, lane, classes);
  const A log_total = log(s.total);
  A sum = 0;
  for (int c = lane; c < classes; c += lanes) {
    const A weight = widen(q[at + c]);
    // A class of weight 0 counts 0 even where its logit is -inf.
    if (weight != A(0)) sum -= weight * (widen(x[at + c]) - s.highest - log_total);
  }
  sum = sum_over_lanes(sum, lanes);
  if (row < rows && lane == 0) narrow(loss[row], sum);
}

// gx = g * (softmax(x) * sum(q) - q); a row of weight 0 gets 0 even where its logits are NaN.
template <class T>
__global__ void cross_entropy_vjp(const T* g, const T* x, const T* q, T* gx, int rows, int classes,
                                  int lanes) {
  using A = Acc<T>;
  const long long row = thread_number() / lanes;
  const long long at = min(row, (long long)rows - 1) * classes;
  const int lane = threadIdx.x & (lanes - 1);
  const Shift<A> s = shift(x + at, lanes, lane, classes);
  A sum = 0;
  for (int c = lane; c < classes; c += lanes) sum += widen(q[at + c]);
  const A mass = sum_over_lanes(sum, lanes), share = mass / s.total;
  if (row >= rows) return;
  const A own = widen(g[row]);
  for (int c = lane; c < classes; c += lanes) {
    const A p = mass == A(0) ? A(0) : exp(widen(x[at + c]) - s.highest) * share;
    narrow(gx[at + c], own * (p - widen(q[at + c])));
  }
}
