// Where a residual branch meets the skip connection, and masks: layer scale, drop path, dropout.
//
// Values are (samples, positions, columns); table.cuh has the picture of which thread does what.
#include "table.cuh"

// y = skip + (x + bias) * scale * factor, with a factor per sample. S, the type of the skip
// connection, is float in mixed precision, where the values of the branch have two bytes.
template <class T, class P, class S, int V>
__global__ void residual(const T* x, const S* skip, const P* bias, OPTIONAL const P* scale,
                         OPTIONAL const S* factor, S* y, int positions, int columns, int share,
                         int width) {
  using A = Acc<T>;
  const Strip s(positions, columns, share, width, V);
  const A own = factor ? widen(factor[s.sample]) : A(1);
  A b[V], k[V];
  column_values(b, bias, s.column, s.exists, A(0));
  column_values(k, scale, s.column, s.exists, A(1));
  for (int p = s.first; p < s.last; p += s.at.height) {
    const long long at = s.start + (long long)p * columns;
    A a[V], r[V];
    read(a, x + at);
    read(r, skip + at);
#pragma unroll
    for (int i = 0; i < V; ++i) a[i] = fma(a[i] + b[i], k[i] * own, r[i]);
    write(y + at, a);
  }
}

// The gradient of the branch: scaled = g * factor * scale, kept = g * factor; parts = sums of kept.
template <class T, class P, class S, int V>
__global__ void residual_vjp(const S* g, OPTIONAL const P* scale, OPTIONAL const S* factor,
                             OPTIONAL T* scaled, OPTIONAL T* kept, Acc<T>* parts, int positions,
                             int columns, int share, int width) {
  using A = Acc<T>;
  const Strip s(positions, columns, share, width, V);
  const A own = factor ? widen(factor[s.sample]) : A(1);
  A k[V], sums[V] = {};
  column_values(k, scale, s.column, s.exists, A(1));
  for (int p = s.first; p < s.last; p += s.at.height) {
    const long long at = s.start + (long long)p * columns;
    A a[V];
    read(a, g + at);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      a[i] *= own;
      sums[i] += a[i];
    }
    if (kept) write(kept + at, a);
#pragma unroll
    for (int i = 0; i < V; ++i) a[i] *= k[i];
    if (scaled) write(scaled + at, a);
  }
  write_parts<1, V>(sums, parts, s, columns);
}

// ---- masks -------------------------------------------------------------------------------------

// y = x * mask * scale; an entry of the mask holds for `run` neighbours: 1 in dropout, a whole
// sample, of whole vectors, in drop path.
template <class T, int V>
__global__ void scale_by_mask(const T* x, const bool* mask, T* y, long long size, long long run,
                              Acc<T> scale) {
  const long long i = thread_number() * V;
  if (i >= size) return;
  const long long sample = run == 1 ? 0 : i / run;
  Acc<T> a[V];
  read(a, x + i);
#pragma unroll
  for (int j = 0; j < V; ++j) a[j] *= mask[run == 1 ? i + j : sample] ? scale : Acc<T>(0);
  write(y + i, a);
}
