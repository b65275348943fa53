// Threads form a table, for values (samples, positions, columns). A thread keeps to V columns of
// one sample and walks down `share` positions; what belongs to a column (bias, gain, sums) stays in
// registers all the way:
//
//                  blockIdx.x, at.x: columns -->
//     blockIdx.y, at.y:   | V V V V | V V V V | V V V V |
//     positions, down     | V V V V | V V V V | V V V V |
//                         | V V V V | V V V V | V V V V |      blockIdx.z: sample
#pragma once
#include "common.cuh"

// The part of the table that a thread has.
struct Strip {
  Place at;
  int column, first, last;  // positions first, first + at.height, ... below last
  bool exists;
  long long sample, start;  // where the column starts at position 0

  __device__ Strip(int positions, int columns, int share, int width, int vector) {
    at = place_in(width);
    column = (blockIdx.x * width + at.x) * vector;
    exists = column < columns && at.y < at.height;
    first = blockIdx.y * share + at.y;
    last = exists ? min((int)(blockIdx.y + 1) * share, positions) : 0;
    sample = blockIdx.z;
    start = sample * positions * columns + column;
  }
};

// Read V numbers that belong to columns; those of a missing array are `missing`.
template <int V, class P, class A>
__device__ inline void column_values(A (&to)[V], const P* from, long long at, bool exists,
                                     A missing) {
#pragma unroll
  for (int i = 0; i < V; ++i) to[i] = from && exists ? A(widen(from[at + i])) : missing;
}

// parts[sample, block, column] gets the sum over a share of the positions, for K sums each.
template <int K, int V, class A>
__device__ inline void write_parts(A (&sums)[K * V], A* parts, const Strip& s, int columns) {
  sum_over_rows(sums, s.at);
  if (!s.exists || s.at.y) return;
  parts += (s.sample * gridDim.y + blockIdx.y) * K * columns + s.column;
#pragma unroll
  for (int k = 0; k < K; ++k)
#pragma unroll
    for (int i = 0; i < V; ++i) parts[k * columns + i] = sums[k * V + i];
}
