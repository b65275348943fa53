// The functions GELU, exact and with tanh, and their slopes.
#pragma once
#include "common.cuh"

template <class A>
__device__ inline A clamp(A x, A limit) {
  return x > limit ? limit : x < -limit ? -limit : x;  // NaN stays NaN
}

// The normal distribution function and its density.
template <class A>
__device__ inline A normal(A x) {
  return A(0.5) + A(0.5) * erf(x * A(0.70710678118654752));
}

template <class A>
__device__ inline A density(A x) {
  const A near = clamp(x, A(40));  // beyond, it is 0; the square must not overflow
  return exp(near * near * A(-0.5)) * A(0.3989422804014327);
}

struct Exact {
  template <class A>
  static __device__ A value(A x) {
    return x * normal(x);
  }
  template <class A>
  static __device__ A slope(A x) {
    return normal(x) + clamp(x, A(40)) * density(x);
  }
};

struct Tanh {
  template <class A>
  static __device__ A value(A x) {
    const A near = clamp(x, A(10));  // beyond, tanh is 1
    return x * (A(0.5) + A(0.5) * tanh(near * (A(A1) + A(A3) * (near * near))));
  }
  template <class A>
  static __device__ A slope(A x) {
    const A near = clamp(x, A(10)), square = near * near;
    const A t = tanh(near * (A(A1) + A(A3) * square));
    return A(0.5) * (A(1) + t) + A(0.5) * near * (A(1) - t * t) * (A(A1) + A(3 * A3) * square);
  }
  static constexpr double A1 = 0.7978845608028654, A3 = A1 * 0.044715;  // sqrt(2 / pi)
};

struct Identity {
  template <class A>
  static __device__ A value(A x) {
    return x;
  }
  template <class A>
  static __device__ A slope(A) {
    return A(1);
  }
};
