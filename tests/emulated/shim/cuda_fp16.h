// Takes the place of NVIDIA's header when g++ compiles a .cu file: see cuda_cpu_shim.h.
#pragma once
#include <cstring>

struct __half {
  unsigned short bits;
};

inline float __half2float(__half h) {
  const unsigned sign = (h.bits & 0x8000u) << 16, rest = h.bits & 0x7fffu;
  unsigned word;
  float value;
  if (rest >= 0x7c00u) {  // infinity, NaN
    word = 0x7f800000u | (rest & 0x3ffu) << 13;
  } else if (rest >= 0x0400u) {
    word = (rest << 13) + (112u << 23);
  } else {  // subnormal: a multiple of 2^-24
    value = float(rest) * 0x1p-24f;
    std::memcpy(&word, &value, 4);
  }
  word |= sign;
  std::memcpy(&value, &word, 4);
  return value;
}

inline __half __float2half(float value) {  // to the nearest, ties to even
  unsigned word;
  std::memcpy(&word, &value, 4);
  const unsigned short sign = word >> 16 & 0x8000u;
  word &= 0x7fffffffu;
  if (word > 0x7f800000u) return {(unsigned short)(sign | 0x7e00u)};
  if (word >= 0x477ff000u) return {(unsigned short)(sign | 0x7c00u)};  // from 65520 on: infinity
  if (word < 0x38800000u) {  // subnormal: adding 0.5 leaves a multiple of 2^-24 in the last bits
    float small;
    std::memcpy(&small, &word, 4);
    small += 0.5f;
    std::memcpy(&word, &small, 4);
    return {(unsigned short)(sign | (word - 0x3f000000u))};
  }
  word += 0xfffu + (word >> 13 & 1u) - (112u << 23);
  return {(unsigned short)(sign | word >> 13)};
}
