// What happens to the hidden values of a ConvNeXt block between its two matrix products:
//
//     a = gelu(x + bias)                                    GELU = 1; with GELU = 0, a = x
//     y = a * gain + shift                                  global response normalisation
//
// x is (samples, positions, columns); the gain is one number per sample and column, made from the
// sums over positions of a^2. So GRN has to go over x twice. It reads x both times and computes a
// anew: that is cheaper than to write a and to read it again.
//
// table.cuh has the picture of which thread does what.
#include "gelu.cuh"
#include "table.cuh"

template <int GELU>
struct ActivationOf {
  using type = Identity;
};
template <>
struct ActivationOf<1> {
  using type = Exact;
};
template <int GELU>
using Activation = typename ActivationOf<GELU>::type;

// parts = sums of a^2, and once more in the unit for numbers too large to be squared
template <class T, class P, int V, int GELU>
__global__ void hidden_squares(const T* x, OPTIONAL const P* bias, Acc<T>* parts, int positions,
                               int columns, int share, int width) {
  using A = Acc<T>;
  const Strip s(positions, columns, share, width, V);
  A b[V], sums[2 * V] = {};
  column_values(b, bias, s.column, s.exists, A(0));
  for (int p = s.first; p < s.last; p += s.at.height) {
    A a[V];
    read(a, x + s.start + (long long)p * columns);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const A value = Activation<GELU>::value(a[i] + b[i]), small = value * unit<A>();
      sums[i] = fma(value, value, sums[i]);
      sums[V + i] = fma(small, small, sums[V + i]);
    }
  }
  write_parts<2, V>(sums, parts, s, columns);
}

// y = a * gain + shift; without them y = a
template <class T, class P, int V, int GELU>
__global__ void hidden(const T* x, OPTIONAL const P* bias, OPTIONAL const Acc<T>* gain,
                       OPTIONAL const P* shift, T* y, int positions, int columns, int share,
                       int width) {
  using A = Acc<T>;
  const Strip s(positions, columns, share, width, V);
  A b[V], up[V], add[V];
  column_values(b, bias, s.column, s.exists, A(0));
  column_values(up, gain, s.sample * columns + s.column, s.exists, A(1));
  column_values(add, shift, s.column, s.exists, A(0));
  for (int p = s.first; p < s.last; p += s.at.height) {
    const long long at = s.start + (long long)p * columns;
    A a[V];
    read(a, x + at);
#pragma unroll
    for (int i = 0; i < V; ++i) a[i] = fma(Activation<GELU>::value(a[i] + b[i]), up[i], add[i]);
    write(y + at, a);
  }
}

// parts = sums of g * a, and sums of g
template <class T, class P, int V, int GELU>
__global__ void hidden_products(const T* g, const T* x, OPTIONAL const P* bias, Acc<T>* parts,
                                int positions, int columns, int share, int width) {
  using A = Acc<T>;
  const Strip s(positions, columns, share, width, V);
  A b[V], sums[2 * V] = {};
  column_values(b, bias, s.column, s.exists, A(0));
  for (int p = s.first; p < s.last; p += s.at.height) {
    const long long at = s.start + (long long)p * columns;
    A a[V], u[V];
    read(a, x + at);
    read(u, g + at);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      sums[i] = fma(u[i], Activation<GELU>::value(a[i] + b[i]), sums[i]);
      sums[V + i] += u[i];
    }
  }
  write_parts<2, V>(sums, parts, s, columns);
}

// gx = (g * gain + a * slope) * a', the slope being what the gain hands back; parts = sums of gx.
// On the way y = a * gain + shift is made again, for the gradient of the second product's weight.
template <class T, class P, int V, int GELU>
__global__ void hidden_vjp(const T* g, const T* x, OPTIONAL const P* bias,
                           OPTIONAL const Acc<T>* gain, OPTIONAL const Acc<T>* slope,
                           OPTIONAL const P* shift, T* gx, OPTIONAL T* y, Acc<T>* parts,
                           int positions, int columns, int share, int width) {
  using A = Acc<T>;
  const Strip s(positions, columns, share, width, V);
  A b[V], up[V], back[V], add[V], sums[V] = {};
  column_values(b, bias, s.column, s.exists, A(0));
  column_values(up, gain, s.sample * columns + s.column, s.exists, A(1));
  column_values(back, slope, s.sample * columns + s.column, s.exists, A(0));
  column_values(add, shift, s.column, s.exists, A(0));
  for (int p = s.first; p < s.last; p += s.at.height) {
    const long long at = s.start + (long long)p * columns;
    A a[V], u[V];
    read(a, x + at);
    read(u, g + at);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const A before = a[i] + b[i], value = Activation<GELU>::value(before);
      u[i] = fma(u[i], up[i], value * back[i]) * Activation<GELU>::slope(before);
      a[i] = fma(value, up[i], add[i]);
      sums[i] += u[i];
    }
    write(gx + at, u);
    if (y) write(y + at, a);
  }
  write_parts<1, V>(sums, parts, s, columns);
}

// ---- the response: a block per sample ----------------------------------------------------------

// The root of the sum of squares of a column, from the sum that is in range.
template <class A>
__device__ inline A norm_of(const A* squares, int c, int columns) {
  const A near = squares[c];
  return near - near == A(0) ? sqrt(near) : sqrt(squares[columns + c]) / unit<A>();
}

// norm = sqrt(squares), share = 1 / (mean over columns of norm + eps),
// gain = 1 + gamma * norm * share
template <class P>
__global__ void response(const Acc<P>* squares, const P* gamma, Acc<P>* gain, int columns,
                         Acc<P> eps) {
  using A = Acc<P>;
  squares += (long long)blockIdx.x * 2 * columns;
  gain += (long long)blockIdx.x * columns;
  A sum = 0;
  for (int c = threadIdx.x; c < columns; c += THREADS) sum += norm_of(squares, c, columns);
  const A share = A(1) / (sum_over_block(sum) / columns + eps);
  for (int c = threadIdx.x; c < columns; c += THREADS)
    gain[c] = A(1) + widen(gamma[c]) * (norm_of(squares, c, columns) * share);
}

// sums = (sums of g * a, sums of g). With r = norm * share and u = gamma * sum of g * a, the norm
// receives share * (u - mean(u * r)); a gets a / norm times that, nothing where the norm is 0.
// Gradients of gamma and beta are left per sample: (sum of g * a) * r in place of the sum of g * a.
template <class P>
__global__ void response_vjp(const Acc<P>* squares, const P* gamma, Acc<P>* sums, Acc<P>* gain,
                             Acc<P>* slope, int columns, Acc<P> eps) {
  using A = Acc<P>;
  squares += (long long)blockIdx.x * 2 * columns;
  sums += (long long)blockIdx.x * 2 * columns;
  gain += (long long)blockIdx.x * columns;
  slope += (long long)blockIdx.x * columns;
  A sum = 0, product = 0;
  for (int c = threadIdx.x; c < columns; c += THREADS) sum += norm_of(squares, c, columns);
  const A share = A(1) / (sum_over_block(sum) / columns + eps);
  for (int c = threadIdx.x; c < columns; c += THREADS)
    product = fma(widen(gamma[c]) * sums[c], norm_of(squares, c, columns) * share, product);
  const A mean = sum_over_block(product) / columns;
  for (int c = threadIdx.x; c < columns; c += THREADS) {
    const A norm = norm_of(squares, c, columns), r = norm * share, weight = widen(gamma[c]);
    gain[c] = A(1) + weight * r;
    slope[c] = norm > 0 ? share * (weight * sums[c] - mean) / norm : A(0);
    sums[c] *= r;
  }
}
