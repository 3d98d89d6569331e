// Plain C++ that compilers vectorise for whatever the target's baseline is (SSE2 on x86-64, NEON on ARM64).
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "kernels_shared.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

// The baseline of x86-64 has no fused steps; those of other machines may.
#if defined(__GNUC__) && !defined(__clang__) && !defined(__x86_64__)
#define SEALPOINT_UNFUSED __attribute__((optimize("fp-contract=off")))
#else
#define SEALPOINT_UNFUSED
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
  return dim < kFewDimensions ? few_dot(a, b, dim) : accumulate(a, b, dim, [](float x, float y) { return x * y; });
}
float l2_f32(const float* a, const float* b, size_t dim) {
  return dim < kFewDimensions ? few_l2(a, b, dim) : accumulate(a, b, dim, [](float x, float y) { return (x - y) * (x - y); });
}
float l1_f32(const float* a, const float* b, size_t dim) {
  return dim < kFewDimensions ? few_l1(a, b, dim) : accumulate(a, b, dim, [](float x, float y) { return std::fabs(x - y); });
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

// Four lanes are a register of every baseline. Half of the lanes against two rows: the sums have names, so that compilers keep them in registers.
using Four = float __attribute__((vector_size(16)));
using FourBits = uint32_t __attribute__((vector_size(16)));

inline Four load_four(const float* at) {
  Four four;
  std::memcpy(&four, at, sizeof four);
  return four;
}
inline Four broadcast(const float* at) {
  float one;
  std::memcpy(&one, at, sizeof one);
  return Four{one, one, one, one};
}
inline void raise(float* best, Four a, Four b) {
  Four greatest = load_four(best);
  greatest = a > greatest ? a : greatest;
  greatest = b > greatest ? b : greatest;
  std::memcpy(best, &greatest, sizeof greatest);
}

// `other` may be `row`.
template <typename Term>
inline void best_of(const float* queries, size_t dim, const float* row, const float* other, float* best, Term term) {
  for (size_t lane = 0; lane < kMaxSimLanes; lane += 8) {
    Four a0{}, a1{}, b0{}, b1{};
    const float* query = queries + lane;
    for (size_t d = 0; d < dim; ++d, query += kMaxSimLanes) {
      const Four q0 = load_four(query), q1 = load_four(query + 4);
      const Four a = broadcast(row + d), b = broadcast(other + d);
      a0 += term(q0, a);
      a1 += term(q1, a);
      b0 += term(q0, b);
      b1 += term(q1, b);
    }
    raise(best + lane, a0, b0);
    raise(best + lane + 4, a1, b1);
  }
}

template <typename Term>
void best_of_all(const float* queries, size_t blocks, size_t dim, const float* rows, size_t count, float* best, Term term) {
  for (size_t b = 0; b < blocks; ++b, queries += dim * kMaxSimLanes, best += kMaxSimLanes) {
    for (size_t r = 0; r < count; r += 2) best_of(queries, dim, rows + r * dim, rows + std::min(r + 1, count - 1) * dim, best, term);
  }
}

void best_rows(uint32_t distance, const float* queries, size_t blocks, size_t dim, const float* rows, size_t count, float* best) {
  if (distance == 2) {
    best_of_all(queries, blocks, dim, rows, count, best, [](Four x, Four y) { return -((x - y) * (x - y)); });
  } else if (distance == 4) {
    best_of_all(queries, blocks, dim, rows, count, best, [](Four x, Four y) { return reinterpret_cast<Four>(reinterpret_cast<FourBits>(x - y) | 0x80000000u); });
  } else {
    best_of_all(queries, blocks, dim, rows, count, best, [](Four x, Four y) { return x * y; });
  }
}

template <typename Term>
SEALPOINT_UNFUSED float sum_in_order(const float* a, const float* b, size_t dim, Term term) {
  float sum = 0;
  for (size_t i = 0; i < dim; ++i) sum += term(a[i], b[i]);
  return sum;
}

}  // namespace

float few_dot(const float* a, const float* b, size_t dim) {
  return sum_in_order(a, b, dim, [](float x, float y) SEALPOINT_UNFUSED { return x * y; });
}
float few_l2(const float* a, const float* b, size_t dim) {
  return sum_in_order(a, b, dim, [](float x, float y) SEALPOINT_UNFUSED { return (x - y) * (x - y); });
}
float few_l1(const float* a, const float* b, size_t dim) {
  return sum_in_order(a, b, dim, [](float x, float y) SEALPOINT_UNFUSED { return std::fabs(x - y); });
}

const Kernels kBaselineKernels = {
    "baseline", dot,        dot4, nibbles4, dot_codes,      sad,        dot_f32, l2_f32, l1_f32,
    widen_f16,  narrow_f16, widen_u8, nearest_column, add_column, bit_sums, best_rows};

}  // namespace sealpoint
