// Layer normalisation over rows of `columns` numbers.
//
// A row belongs to `lanes` neighbouring lanes of a warp. They read it V numbers at a time, side by
// side, and go over it more than once; after the first time it is in the cache of the core:
//
//     lane         0     1     2     3     0     1     2     3
//     lanes = 4 | V V | V V | V V | V V | V V | V V | V V | V V |  one row
#include "common.cuh"

template <class A>
struct Statistics {
  A mean, scale;  // scale = 1 / standard deviation
};

// Return 1 / standard deviation of numbers too large to be squared, in a smaller unit. Every lane
// goes over its whole row by itself: rows of a warp need not have such numbers together.
template <class T>
__device__ inline Acc<T> far_scale(const T* row, Acc<T> mean, int columns) {
  using A = Acc<T>;
  A squares = 0;
  for (int c = 0; c < columns; ++c) {
    const A small = (widen(row[c]) - mean) * unit<A>();
    squares = fma(small, small, squares);
  }
  return unit<A>() * rsqrt(squares / columns);
}

// `first` is the first column of this lane.
template <int V, class T>
__device__ inline Statistics<Acc<T>> statistics(const T* row, int lanes, int first, int columns,
                                            Acc<T> eps) {
  using A = Acc<T>;
  A sum = 0, squares = 0, x[V];
  for (int c = first; c < columns; c += lanes * V) {
    read(x, row + c);
#pragma unroll
    for (int i = 0; i < V; ++i) sum += x[i];
  }
  const A mean = sum_over_lanes(sum, lanes) / columns;
  for (int c = first; c < columns; c += lanes * V) {
    read(x, row + c);
#pragma unroll
    for (int i = 0; i < V; ++i) squares = fma(x[i] - mean, x[i] - mean, squares);
  }
  const A var = sum_over_lanes(squares, lanes) / columns;
  const bool finite = var - var == A(0);
  return {mean, finite ? rsqrt(var + eps) : far_scale(row, mean, columns)};
}

// Read V parameters; a missing weight is 1 and a missing bias is 0.
template <int V, class P, class A>
__device__ inline void parameters(A (&to)[V], const P* from, int c, A missing) {
  if (from) return read(to, from + c);
#pragma unroll
  for (int i = 0; i < V; ++i) to[i] = missing;
}

// y = (x - mean) * scale * weight + bias
template <class T, class P, int V>
__global__ void layer_norm(const T* x, OPTIONAL const P* weight, OPTIONAL const P* bias, T* y,
                           int rows, int columns, int lanes, Acc<T> eps) {
  using A = Acc<T>;
  const long long row = thread_number() / lanes;
  const int lane = (threadIdx.x & (lanes - 1)) * V;
  // Shuffles need the whole warp, so lanes that have no row left take part with the last one.
  const T* from = x + min(row, (long long)rows - 1) * columns;
  const Statistics<A> s = statistics<V>(from, lanes, lane, columns, eps);
  if (row >= rows) return;
  for (int c = lane; c < columns; c += lanes * V) {
    A a[V], w[V], b[V];
    read(a, from + c);
    parameters(w, weight, c, A(1));
    parameters(b, bias, c, A(0));
#pragma unroll
    for (int i = 0; i < V; ++i) a[i] = (a[i] - s.mean) * s.scale * w[i] + b[i];
    write(y + row * columns + c, a);
  }
}

constexpr int MOST_ROWS = 64;  // of a block; layer_norm.py has it too

// With h = (x - mean) * scale and u = g * weight:
//
//     gx = scale * (u - mean(u) - h * mean(u * h))                                      row by row
//     weight gets the sum over rows of g * h, bias that of g                      column by column
//
// A block takes `share` rows twice. First its threads stand along rows, as above; then, while the
// rows are still in the cache, every thread has V columns for itself and walks down the rows:
//
//     parts[block] = (sums of g * h, sums of g)
template <class T, class P, int V>
__global__ void layer_norm_vjp(const T* g, const T* x, OPTIONAL const P* weight, T* gx,
                               Acc<T>* parts, int rows, int columns, int lanes, int share,
                               int width, Acc<T> eps) {
  using A = Acc<T>;
  __shared__ A means[MOST_ROWS];
  __shared__ A scales[MOST_ROWS];
  const long long first = (long long)blockIdx.x * share;
  const int mine = min((long long)share, rows - first);
  x += first * columns;
  g += first * columns;
  gx += first * columns;

  // 1. Along rows; every lane does as many rounds.
  for (int start = 0; start < mine; start += THREADS / lanes) {
    const int row = start + (int)threadIdx.x / lanes, here = min(row, mine - 1);
    const T *xs = x + (long long)here * columns, *gs = g + (long long)here * columns;
    const int lane = (threadIdx.x & (lanes - 1)) * V;
    const Statistics<A> s = statistics<V>(xs, lanes, lane, columns, eps);
    A a[V], b[V], w[V], sum = 0, product = 0;
    for (int c = lane; c < columns; c += lanes * V) {
      read(a, xs + c);
      read(b, gs + c);
      parameters(w, weight, c, A(1));
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const A u = b[i] * w[i];
        sum += u;
        product = fma(u, (a[i] - s.mean) * s.scale, product);
      }
    }
    const A mean_u = sum_over_lanes(sum, lanes) / columns;
    const A mean_uh = sum_over_lanes(product, lanes) / columns;
    if (row >= mine) continue;
    for (int c = lane; c < columns; c += lanes * V) {
      read(a, xs + c);
      read(b, gs + c);
      parameters(w, weight, c, A(1));
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const A h = (a[i] - s.mean) * s.scale;
        a[i] = s.scale * (b[i] * w[i] - mean_u - h * mean_uh);
      }
      write(gx + (long long)row * columns + c, a);
    }
    if (lane == 0) {
      means[row] = s.mean;
      scales[row] = s.scale;
    }
  }
  __syncthreads();

  // 2. Down columns.
  const Place at = place_in(width);
  parts += (long long)blockIdx.x * 2 * columns;
  for (int start = 0; start < columns; start += width * V) {
    const int c = start + at.x * V;
    const bool here = c < columns && at.y < at.height;
    A sums[2 * V] = {};
    if (here)
      for (int row = at.y; row < mine; row += at.height) {
        A a[V], b[V];
        read(a, x + (long long)row * columns + c);
        read(b, g + (long long)row * columns + c);
#pragma unroll
        for (int i = 0; i < V; ++i) {
          sums[i] = fma(b[i], (a[i] - means[row]) * scales[row], sums[i]);
          sums[V + i] += b[i];
        }
      }
    sum_over_rows(sums, at);
    if (here && at.y == 0)
#pragma unroll
      for (int i = 0; i < V; ++i) {
        parts[c + i] = sums[i];
        parts[columns + c + i] = sums[V + i];
      }
  }
}
