// Depthwise convolution, one filter per channel, of channels-last images.
//
// Neighbouring threads have neighbouring channels, so they read neighbouring numbers. A thread
// makes a strip of TILE outputs side by side and walks down the image with it. It reads an input
// row once, TILE + KW - 1 numbers, and adds it to the KH output rows that are in the making:
//
//     input row r                                         output rows, KH = 3
//     | x x x x x x x x x | --- * weight row 0 ---> sums[0]   r + top        has just begun
//                           --- * weight row 1 ---> sums[1]   r + top - 1
//                           --- * weight row 2 ---> sums[2]   r + top - 2    is complete: written
//
//     next row: sums[2] = sums[1], sums[1] = sums[0], sums[0] = bias
//
// Weights, sums and the input row stay in registers: no shared memory, no barrier, and for 7 x 7
// 343 multiply-adds to 13 reads. 49 + 49 + 13 registers hold numbers; with the addresses they are
// some 160, so that three blocks of ROW_THREADS fit on a core of the GPU. (In double they would
// not: it takes the plain kernels below.) TILE is 7 as ConvNeXt's images are 56, 28, 14, 7 wide.
#include "common.cuh"

constexpr int TILE = 7;           // depthwise_conv.py has both, too
constexpr int ROW_THREADS = 128;

// Read the strip from column `left` on; what lies outside the image is 0.
template <int N, class T>
__device__ inline void read_strip(float (&to)[N], const T* row, int left, int width, int channels) {
  row += (long long)left * channels;
#pragma unroll
  for (int j = 0; j < N; ++j, row += channels)
    to[j] = left + j >= 0 && left + j < width ? widen(*row) : 0.0f;
}

// Write the output row that is complete, if it belongs to this walk, and hand the sums on.
template <int KH, class T>
__device__ inline void finish_row(float (&sums)[KH][TILE], T* y, int done, int h0, int w0,
                                  int out_width, int channels, float first) {
  if (done >= h0)
#pragma unroll
    for (int t = 0; t < TILE; ++t)
      if (w0 + t < out_width)
        narrow(y[((long long)done * out_width + w0 + t) * channels], sums[KH - 1][t]);
#pragma unroll
  for (int t = 0; t < TILE; ++t) {
#pragma unroll
    for (int i = KH - 1; i > 0; --i) sums[i][t] = sums[i - 1][t];
    sums[0][t] = first;
  }
}

// y[n, h, w] = bias + sum over i, j of x[n, h + i - top, w + j - left] * weight[i, j], per channel.
// With `flip` the filter is turned by 180 degrees: so the gradient of x is a convolution of g.
template <class T, int KH, int KW>
__global__ void __launch_bounds__(ROW_THREADS, 3)
depthwise_rows(const T* x, const T* weight, OPTIONAL const T* bias, T* y, int height, int width,
               int out_height, int out_width, int channels, int strips, int share, int top,
               int left, bool flip) {
  const int c = thread_number() % channels;
  int strip = thread_number() / channels;
  if (strip >= strips) return;
  const int across = (out_width + TILE - 1) / TILE, down = (out_height + share - 1) / share;
  const int w0 = strip % across * TILE;
  const int h0 = strip / across % down * share, h1 = min(h0 + share, out_height);
  const long long n = strip / (across * down);
  x += n * height * width * channels + c;
  y += n * out_height * out_width * channels + c;

  float filter[KH][KW], sums[KH][TILE];
  const float first = bias ? widen(bias[c]) : 0.0f;
#pragma unroll
  for (int i = 0; i < KH; ++i) {
#pragma unroll
    for (int j = 0; j < KW; ++j) {
      const int tap = i * KW + j;
      filter[i][j] = widen(weight[c * (KH * KW) + (flip ? KH * KW - 1 - tap : tap)]);
    }
#pragma unroll
    for (int t = 0; t < TILE; ++t) sums[i][t] = first;
  }

  for (int r = h0 - top; r < h1 - top + KH - 1; ++r) {
    if (r >= 0 && r < height) {
      float in[TILE + KW - 1];
      read_strip(in, x + (long long)r * width * channels, w0 - left, width, channels);
#pragma unroll
      for (int i = 0; i < KH; ++i)
#pragma unroll
        for (int j = 0; j < KW; ++j)
#pragma unroll
          for (int t = 0; t < TILE; ++t) sums[i][t] = fma(in[t + j], filter[i][j], sums[i][t]);
    }
    finish_row(sums, y, r + top - (KH - 1), h0, w0, out_width, channels, first);
  }
}

// The walk through a volume: every output row collects from K planes. A filter of K^3 weights is too
// much for registers, so a block has 32 channels, with their weights in shared memory, and
// ROW_THREADS / 32 strips at a time.
template <class T, int K>
__global__ void __launch_bounds__(ROW_THREADS, 3)
depthwise_volume(const T* x, const T* weight, OPTIONAL const T* bias, T* y, int depth, int height,
                 int width, int out_depth, int out_height, int out_width, int channels, int strips,
                 int share, int front, int top, int left, bool flip) {
  __shared__ float filter[K * K * K][32];
  const Place at = place_in(32);
  const int c = blockIdx.y * 32 + at.x;
  for (int tap = at.y; tap < K * K * K; tap += at.height)
    if (c < channels)
      filter[tap][at.x] = widen(weight[c * (K * K * K) + (flip ? K * K * K - 1 - tap : tap)]);
  __syncthreads();
  const int across = (out_width + TILE - 1) / TILE, down = (out_height + share - 1) / share;
  const int strip = blockIdx.x * at.height + at.y;
  if (c >= channels || strip >= strips) return;
  const int w0 = strip % across * TILE;
  const int h0 = strip / across % down * share, h1 = min(h0 + share, out_height);
  const long long plane = strip / (across * down);  // of all images of y
  x += plane / out_depth * depth * height * width * channels + c;
  y += plane * out_height * out_width * channels + c;

  float sums[K][TILE];
  const float first = bias ? widen(bias[c]) : 0.0f;
#pragma unroll
  for (int i = 0; i < K; ++i)
#pragma unroll
    for (int t = 0; t < TILE; ++t) sums[i][t] = first;

  for (int r = h0 - top; r < h1 - top + K - 1; ++r) {
    for (int a = 0; a < K; ++a) {
      const int d = plane % out_depth + a - front;
      if (d < 0 || d >= depth || r < 0 || r >= height) continue;
      float in[TILE + K - 1];
      read_strip(in, x + ((long long)d * height + r) * width * channels, w0 - left, width, channels);
#pragma unroll
      for (int i = 0; i < K; ++i)
#pragma unroll
        for (int j = 0; j < K; ++j) {
          const float w = filter[(a * K + i) * K + j][at.x];
#pragma unroll
          for (int t = 0; t < TILE; ++t) sums[i][t] = fma(in[t + j], w, sums[i][t]);
        }
    }
    finish_row(sums, y, r + top - (K - 1), h0, w0, out_width, channels, first);
  }
}

// The gradient of the weight: gw[i, j] = sum over n, h, w of g[n, h, w] * x[n, h + i - top, ...].
//
// The same walk the other way round. Now KH rows of g are kept, and the sums stay:
//
//     input row r                                         rows of g, KH = 3
//     | x x x x x x x x x | --- * grads[0] ---> sums[0]       r + top        has just been read
//                           --- * grads[1] ---> sums[1]       r + top - 1
//                           --- * grads[2] ---> sums[2]       r + top - 2    is not needed again
//
// A block takes 32 channels and ROW_THREADS / 32 strips at a time, and strips as far apart as all
// blocks reach. Then its threads add up: parts[block, channel, tap]. In a volume blockIdx.z says
// which plane of the filter it is; it pairs plane d of g with plane d + blockIdx.z - front of x.
template <class T, int KH, int KW>
__global__ void __launch_bounds__(ROW_THREADS, 3)
depthwise_rows_weight(const T* g, const T* x, float* parts, int depth, int height, int width,
                      int out_depth, int out_height, int out_width, int channels, int strips,
                      int share, int front, int top, int left) {
  const Place at = place_in(32);
  const int c = blockIdx.x * 32 + at.x;
  const int across = (out_width + TILE - 1) / TILE, down = (out_height + share - 1) / share;
  float sums[KH][KW] = {};
  int strip = blockIdx.y * at.height + at.y;
  if (c >= channels) strip = strips;  // only the barriers are left for this thread
  for (; strip < strips; strip += gridDim.y * at.height) {
    const int w0 = strip % across * TILE;
    const int h0 = strip / across % down * share, h1 = min(h0 + share, out_height);
    const long long plane = strip / (across * down);  // of all images of g
    const int d = plane % out_depth + blockIdx.z - front;
    if (d < 0 || d >= depth) continue;
    const T* xs = x + (plane / out_depth * depth + d) * height * width * channels + c;
    const T* gs = g + plane * out_height * out_width * channels + c;
    float grads[KH][TILE] = {};
    for (int r = h0 - top; r < h1 - top + KH - 1; ++r) {
      const int h = r + top;
      if (h < h1)
        read_strip(grads[0], gs + (long long)h * out_width * channels, w0, out_width, channels);
      if (r >= 0 && r < height) {
        float in[TILE + KW - 1];
        read_strip(in, xs + (long long)r * width * channels, w0 - left, width, channels);
#pragma unroll
        for (int i = 0; i < KH; ++i)
#pragma unroll
          for (int j = 0; j < KW; ++j)
#pragma unroll
            for (int t = 0; t < TILE; ++t) sums[i][j] = fma(in[t + j], grads[i][t], sums[i][j]);
      }
#pragma unroll
      for (int t = 0; t < TILE; ++t) {
#pragma unroll
        for (int i = KH - 1; i > 0; --i) grads[i][t] = grads[i - 1][t];
        grads[0][t] = 0.0f;
      }
    }
  }
#pragma unroll
  for (int i = 0; i < KH; ++i) {
    sum_over_rows(sums[i], at);
    if (at.y == 0 && c < channels)
#pragma unroll
      for (int j = 0; j < KW; ++j)
        parts[((((long long)blockIdx.y * channels + c) * gridDim.z + blockIdx.z) * KH + i) * KW + j] =
            sums[i][j];
  }
}

// ---- any geometry ----------------------------------------------------------------------------
//
// One to three spatial axes (missing ones have length 1), any stride, padding and dilation: the
// plain loops, an output to a thread. `taps` is the number of weights of a filter.

// The place in the image, along one axis, that tap k of output o reads.
__device__ inline int place(int o, int stride, int k, int dilation, int before) {
  return o * stride + k * dilation - before;
}

__device__ inline bool inside(int d, int h, int w, int depth, int height, int width) {
  return d >= 0 && d < depth && h >= 0 && h < height && w >= 0 && w < width;
}

template <class T>
__global__ void depthwise_plain(const T* x, const T* weight, OPTIONAL const T* bias, T* y,
                                long long size, int channels, int depth, int height, int width,
                                int out_depth, int out_height, int out_width, int kd, int kh, int kw,
                                int sd, int sh, int sw, int front, int top, int left, int dd, int dh,
                                int dw) {
  long long rest = thread_number();
  if (rest >= size) return;
  y += rest;
  const int c = rest % channels;
  const int ow = (rest /= channels) % out_width;
  const int oh = (rest /= out_width) % out_height;
  const int od = (rest /= out_height) % out_depth;
  x += rest / out_depth * depth * height * width * channels + c;
  weight += (long long)c * kd * kh * kw;
  Acc<T> sum = bias ? widen(bias[c]) : Acc<T>(0);
  for (int a = 0; a < kd; ++a)
    for (int b = 0; b < kh; ++b)
      for (int e = 0; e < kw; ++e, ++weight) {
        const int d = place(od, sd, a, dd, front), h = place(oh, sh, b, dh, top);
        const int w = place(ow, sw, e, dw, left);
        if (inside(d, h, w, depth, height, width))
          sum = fma(widen(x[(((long long)d * height + h) * width + w) * channels]), widen(*weight),
                    sum);
      }
  narrow(*y, sum);
}

// The gradient of x: every pixel collects from the outputs that have read it. Tap k of output
// (p + before - k * dilation) / stride has, if that is a whole number.
template <class T>
__global__ void depthwise_plain_input(const T* g, const T* weight, T* gx, long long size,
                                      int channels, int depth, int height, int width, int out_depth,
                                      int out_height, int out_width, int kd, int kh, int kw, int sd,
                                      int sh, int sw, int front, int top, int left, int dd, int dh,
                                      int dw) {
  long long rest = thread_number();
  if (rest >= size) return;
  gx += rest;
  const int c = rest % channels;
  const int w = (rest /= channels) % width;
  const int h = (rest /= width) % height;
  const int d = (rest /= height) % depth;
  g += rest / depth * out_depth * out_height * out_width * channels + c;
  weight += (long long)c * kd * kh * kw;
  Acc<T> sum = 0;
  for (int a = 0; a < kd; ++a)
    for (int b = 0; b < kh; ++b)
      for (int e = 0; e < kw; ++e, ++weight) {
        const int od = d + front - a * dd, oh = h + top - b * dh, ow = w + left - e * dw;
        if (od % sd || oh % sh || ow % sw) continue;
        if (inside(od / sd, oh / sh, ow / sw, out_depth, out_height, out_width) && od >= 0 &&
            oh >= 0 && ow >= 0)
          sum = fma(widen(g[(((long long)(od / sd) * out_height + oh / sh) * out_width + ow / sw) *
                            channels]),
                    widen(*weight), sum);
      }
  narrow(*gx, sum);
}

// The gradient of the weight: a block has one tap of 32 channels and adds up a share of the
// positions: parts[part, channel, tap].
template <class T>
__global__ void depthwise_plain_weight(const T* g, const T* x, Acc<T>* parts, long long positions,
                                       int channels, int depth, int height, int width, int out_depth,
                                       int out_height, int out_width, int kd, int kh, int kw, int sd,
                                       int sh, int sw, int front, int top, int left, int dd, int dh,
                                       int dw) {
  const Place at = place_in(32);
  const int c = blockIdx.x * 32 + at.x, tap = blockIdx.y;
  const int a = tap / (kh * kw), b = tap / kw % kh, e = tap % kw;
  Acc<T> sum[1] = {0};
  if (c < channels)
    for (long long p = (long long)blockIdx.z * at.height + at.y; p < positions;
         p += (long long)gridDim.z * at.height) {
      long long rest = p;
      const int w = place(rest % out_width, sw, e, dw, left);
      const int h = place((rest /= out_width) % out_height, sh, b, dh, top);
      const int d = place((rest /= out_height) % out_depth, sd, a, dd, front);
      const long long n = rest / out_depth;
      if (inside(d, h, w, depth, height, width))
        sum[0] = fma(widen(g[p * channels + c]),
                     widen(x[(((n * depth + d) * height + h) * width + w) * channels + c]), sum[0]);
    }
  sum_over_rows(sum, at);
  if (at.y == 0 && c < channels)
    parts[((long long)blockIdx.z * channels + c) * gridDim.y + tap] = sum[0];
}
