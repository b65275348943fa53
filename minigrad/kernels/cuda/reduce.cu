// Sums over rows and over everything, in two passes.
//
// In the first every block leaves a part. The second adds the parts up, in an order that depends on
// nothing but their number: the same sum, bit by bit, at every run. (atomicAdd would need no second
// pass, but adds in the order in which blocks happen to end.)
#include "table.cuh"

// First pass, plain: parts[block, column], threads as in table.cuh.
template <class T, int V>
__global__ void sum_columns(const T* x, Acc<T>* parts, int positions, int columns, int share,
                            int width) {
  const Strip s(positions, columns, share, width, V);
  Acc<T> sums[V] = {};
  for (int p = s.first; p < s.last; p += s.at.height) {
    Acc<T> a[V];
    read(a, x + s.start + (long long)p * columns);
#pragma unroll
    for (int i = 0; i < V; ++i) sums[i] += a[i];
  }
  write_parts<1, V>(sums, parts, s, columns);
}

// Second pass, also for other kernels: total[n, column] = sum over i of parts[n, i, column]
//
//                    thread:  column 0 .. 31
//     row 0 of the block:     part 0, 8, 16, ...       then the 8 sums of a column are added
//     row 1:                  part 1, 9, 17, ...
template <class P>
__global__ void sum_parts(const Acc<P>* parts, P* total, int count, int columns) {
  const Place at = place_in(32);
  const int column = blockIdx.x * 32 + at.x;
  parts += (long long)blockIdx.y * count * columns;
  Acc<P> sum[1] = {0};
  if (column < columns)
    for (int i = at.y; i < count; i += at.height)
      sum[0] += parts[(long long)i * columns + column];
  sum_over_rows(sum, at);
  if (at.y == 0 && column < columns)
    narrow(total[(long long)blockIdx.y * columns + column], sum[0]);
}

// Sum of the squares of all elements: a part per block, and then one block for the parts.
template <class T, int V>
__global__ void sum_squares(const T* x, Acc<T>* parts, long long size) {
  Acc<T> a[V], sum = 0;
  for (long long i = thread_number() * V; i < size; i += (long long)gridDim.x * THREADS * V) {
    read(a, x + i);
#pragma unroll
    for (int j = 0; j < V; ++j) sum = fma(a[j], a[j], sum);
  }
  sum = sum_over_block(sum);
  if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

template <class P>
__global__ void sum_all(const Acc<P>* parts, P* sum, int count) {
  Acc<P> mine = 0;
  for (int i = threadIdx.x; i < count; i += THREADS) mine += parts[i];
  mine = sum_over_block(mine);
  if (threadIdx.x == 0) narrow(*sum, mine);
}
