// Plain C++ that compilers vectorise for whatever the target's baseline is (SSE2 on x86-64, NEON on ARM64).
#include <cmath>
#include <cstdlib>

#include "kernels_shared.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

namespace sealpoint {
namespace {

int32_t dot(const uint8_t* code, const int8_t* query, int32_t, size_t bytes) {
  int32_t sum = 0;
  for (size_t i = 0; i < bytes; ++i) {
    const int16_t plain = static_cast<int16_t>(code[i] - 128);
    sum += plain * static_cast<int16_t>(query[i]);
  }
  return sum;
}

void dot4(const uint8_t* const* codes, const int8_t* query, int32_t bias, size_t bytes, int32_t* out) {
  for (size_t i = 0; i < 4; ++i) out[i] = dot(codes[i], query, bias, bytes);
}

void nibbles4(const uint8_t* const* planes, const int8_t* query, size_t bytes, int32_t* out) {
  for (size_t r = 0; r < 4; ++r) {
    int32_t sum = 0;
    for (size_t i = 0; i < bytes; i += 32) {
      for (size_t j = 0; j < 32; ++j) {
        const uint8_t both = planes[r][i + j];
        sum += static_cast<int16_t>((both & 15) * query[2 * i + j] + (both >> 4) * query[2 * i + 32 + j]);
      }
    }
    out[r] = sum;
  }
}

int32_t dot_codes(const uint8_t* a, const uint8_t* b, int32_t, size_t bytes) {
  int32_t sum = 0;
  for (size_t i = 0; i < bytes; ++i) {
    sum += static_cast<int16_t>(a[i] - 128) * static_cast<int16_t>(b[i] - 128);
  }
  return sum;
}

int32_t sad(const uint8_t* a, const uint8_t* b, size_t bytes) {
  int32_t sum = 0;
  for (size_t i = 0; i < bytes; ++i) sum += std::abs(static_cast<int>(a[i]) - static_cast<int>(b[i]));
  return sum;
}

// Eight sums at a time: a fixed order that needs no licence to reorder floating point.
template <typename Term>
float accumulate(const float* a, const float* b, size_t dim, Term term) {
  float sums[8] = {};
  size_t i = 0;
  for (; i + 8 <= dim; i += 8) {
    for (size_t j = 0; j < 8; ++j) sums[j] += term(a[i + j], b[i + j]);
  }
  float rest = 0;
  for (; i < dim; ++i) rest += term(a[i], b[i]);
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7])) + rest;
}

float dot_f32(const float* a, const float* b, size_t dim) {
  return accumulate(a, b, dim, [](float x, float y) { return x * y; });
}
float l2_f32(const float* a, const float* b, size_t dim) {
  return accumulate(a, b, dim, [](float x, float y) { return (x - y) * (x - y); });
}
float l1_f32(const float* a, const float* b, size_t dim) {
  return accumulate(a, b, dim, [](float x, float y) { return std::fabs(x - y); });
}

void widen_f16(const uint8_t* from, float* out, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    _Float16 half;
    std::memcpy(&half, from + i * 2, 2);
    out[i] = static_cast<float>(half);
  }
}
void narrow_f16(const float* from, uint8_t* out, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const auto half = static_cast<_Float16>(from[i]);
    std::memcpy(out + i * 2, &half, 2);
  }
}
void widen_u8(const uint8_t* from, float* out, size_t count) { shared::widen_u8(from, out, count); }
size_t nearest_column(const float* point, const float* columns, size_t count, float* out) {
  return shared::nearest_column(point, columns, count, out);
}
void add_column(uint32_t distance, float value, const float* column, float* out) {
  shared::add_column(distance, value, column, out);
}
BitSums bit_sums(const uint8_t* code, const uint64_t* slices, size_t words, unsigned count) {
  return shared::bit_sums(code, slices, words, count);
}

template <typename Term>
void best_of_all(const float* queries, size_t blocks, size_t dim, const float* rows, size_t count, float* best, Term term) {
  for (size_t b = 0; b < blocks; ++b, queries += dim * kMaxSimLanes, best += kMaxSimLanes) {
    for (size_t r = 0; r < count; ++r) {
      float sums[kMaxSimLanes] = {};
      for (size_t d = 0; d < dim; ++d) {
        float value;
        std::memcpy(&value, rows + r * dim + d, sizeof value);
        for (size_t lane = 0; lane < kMaxSimLanes; ++lane) sums[lane] += term(queries[d * kMaxSimLanes + lane], value);
      }
      for (size_t lane = 0; lane < kMaxSimLanes; ++lane) best[lane] = sums[lane] > best[lane] ? sums[lane] : best[lane];
    }
  }
}

void best_rows(uint32_t distance, const float* queries, size_t blocks, size_t dim, const float* rows, size_t count, float* best) {
  if (distance == 2) {
    best_of_all(queries, blocks, dim, rows, count, best, [](float x, float y) { return -(x - y) * (x - y); });
  } else if (distance == 4) {
    best_of_all(queries, blocks, dim, rows, count, best, [](float x, float y) { return -std::fabs(x - y); });
  } else {
    best_of_all(queries, blocks, dim, rows, count, best, [](float x, float y) { return x * y; });
  }
}

}  // namespace

const Kernels kBaselineKernels = {
    "baseline", dot,        dot4, nibbles4, dot_codes,      sad,        dot_f32, l2_f32, l1_f32,
    widen_f16,  narrow_f16, widen_u8, nearest_column, add_column, bit_sums, best_rows};

}  // namespace sealpoint
