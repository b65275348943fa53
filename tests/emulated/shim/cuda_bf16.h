// Takes the place of NVIDIA's header when g++ compiles a .cu file: see cuda_cpu_shim.h.
#pragma once
#include <cstring>

struct __nv_bfloat16 {
  unsigned short bits;
};

inline float __bfloat162float(__nv_bfloat16 h) {
  const unsigned word = unsigned(h.bits) << 16;
  float value;
  std::memcpy(&value, &word, 4);
  return value;
}

inline __nv_bfloat16 __float2bfloat16(float value) {  // to the nearest, ties to even
  unsigned word;
  std::memcpy(&word, &value, 4);
  if ((word & 0x7fffffffu) > 0x7f800000u) return {0x7fff};
  word += 0x7fffu + (word >> 16 & 1u);
  return {(unsigned short)(word >> 16)};
}
