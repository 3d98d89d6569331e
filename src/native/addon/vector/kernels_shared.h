// Kernels that every SIMD level takes from the same source: inlined into a function of a level, they are vectorised for it.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels.h"

#define SEALPOINT_SHARED inline __attribute__((always_inline))

namespace sealpoint::shared {

constexpr size_t kColumns = 256;

SEALPOINT_SHARED size_t nearest_column(const float* __restrict point, const float* __restrict columns, size_t count, float* __restrict out) {
  for (size_t c = 0; c < kColumns; ++c) out[c] = 0;
  for (size_t j = 0; j < count; ++j) {
    const float value = point[j];
    const float* __restrict column = columns + j * kColumns;
    for (size_t c = 0; c < kColumns; ++c) {
      const float difference = value - column[c];
      out[c] += difference * difference;
    }
  }
  float lanes[16];
  for (size_t l = 0; l < 16; ++l) lanes[l] = out[l];
  for (size_t c = 16; c < kColumns; c += 16) {
    for (size_t l = 0; l < 16; ++l) lanes[l] = out[c + l] < lanes[l] ? out[c + l] : lanes[l];
  }
  float least = lanes[0];
  for (size_t l = 1; l < 16; ++l) least = lanes[l] < least ? lanes[l] : least;
  for (size_t c = 0; c < kColumns; ++c) {
    if (out[c] == least) return c;
  }
  return 0;
}

// The numbers of `distance` are Distance's.
SEALPOINT_SHARED void add_column(uint32_t distance, float value, const float* __restrict column, float* __restrict out) {
  if (distance == 2) {
    for (size_t c = 0; c < kColumns; ++c) out[c] += (value - column[c]) * (value - column[c]);
  } else if (distance == 4) {
    for (size_t c = 0; c < kColumns; ++c) out[c] += std::fabs(value - column[c]);
  } else {
    for (size_t c = 0; c < kColumns; ++c) out[c] -= value * column[c];
  }
}

SEALPOINT_SHARED BitSums bit_sums(const uint8_t* code, const uint64_t* slices, size_t words, unsigned count) {
  BitSums sums{};
  for (size_t i = 0; i < words; ++i) {
    uint64_t word;
    std::memcpy(&word, code + i * 8, 8);
    sums.ones += static_cast<uint32_t>(__builtin_popcountll(word));
    for (unsigned slice = 0; slice < count; ++slice) {
      sums.weighted += static_cast<uint32_t>(__builtin_popcountll(word & slices[slice * words + i])) << slice;
    }
  }
  return sums;
}

SEALPOINT_SHARED void widen_u8(const uint8_t* __restrict from, float* __restrict out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<float>(from[i]);
}

}  // namespace sealpoint::shared
