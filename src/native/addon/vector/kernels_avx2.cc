#if defined(__x86_64__)
#include <immintrin.h>

#include "kernels_shared.h"

#define SEALPOINT_AVX2 __attribute__((target("avx2,fma,f16c,popcnt")))

namespace sealpoint {
namespace {

SEALPOINT_AVX2 inline int32_t sum_i32(__m256i v) {
  __m128i x = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4e));
  x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0xb1));
  return _mm_cvtsi128_si32(x);
}

SEALPOINT_AVX2 inline float sum_f32(__m256 v) {
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  x = _mm_add_ss(x, _mm_shuffle_ps(x, x, 1));
  return _mm_cvtss_f32(x);
}

// maddubs saturates at 32767; with both sides in [-127, 127] a pair is at most 32258, so |a| * sign(b, a) is exact.
SEALPOINT_AVX2 inline __m256i add_products(__m256i sum, __m256i a, __m256i b) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

SEALPOINT_AVX2 inline __m256i load(const void* at) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(at));
}

SEALPOINT_AVX2 int32_t dot(const uint8_t* code, const int8_t* query, int32_t, size_t bytes) {
  const __m256i bias = _mm256_set1_epi8(static_cast<char>(0x80));
  __m256i s0 = _mm256_setzero_si256(), s1 = s0;
  for (size_t i = 0; i < bytes; i += 64) {
    s0 = add_products(s0, _mm256_xor_si256(load(code + i), bias), load(query + i));
    s1 = add_products(s1, _mm256_xor_si256(load(code + i + 32), bias), load(query + i + 32));
  }
  return sum_i32(_mm256_add_epi32(s0, s1));
}

SEALPOINT_AVX2 void dot4(const uint8_t* const* codes, const int8_t* query, int32_t bias, size_t bytes, int32_t* out) {
  for (size_t i = 0; i < 4; ++i) out[i] = dot(codes[i], query, bias, bytes);
}

// Two products are at most 3,810, so four fit into 16 bits.
SEALPOINT_AVX2 inline __m256i add_nibbles(__m256i sum, const uint8_t* plane, __m256i low, __m256i high) {
  const __m256i bits = _mm256_set1_epi8(15);
  const __m256i both = load(plane);
  const __m256i a = _mm256_maddubs_epi16(_mm256_and_si256(both, bits), low);
  const __m256i b = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(both, 4), bits), high);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_add_epi16(a, b), _mm256_set1_epi16(1)));
}

SEALPOINT_AVX2 void nibbles4(const uint8_t* const* planes, const int8_t* query, size_t bytes, int32_t* out) {
  const uint8_t *p0 = planes[0], *p1 = planes[1], *p2 = planes[2], *p3 = planes[3];
  __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;
  for (size_t i = 0; i < bytes; i += 32) {
    const __m256i low = load(query + 2 * i), high = load(query + 2 * i + 32);
    s0 = add_nibbles(s0, p0 + i, low, high);
    s1 = add_nibbles(s1, p1 + i, low, high);
    s2 = add_nibbles(s2, p2 + i, low, high);
    s3 = add_nibbles(s3, p3 + i, low, high);
  }
  out[0] = sum_i32(s0);
  out[1] = sum_i32(s1);
  out[2] = sum_i32(s2);
  out[3] = sum_i32(s3);
}

SEALPOINT_AVX2 int32_t dot_codes(const uint8_t* a, const uint8_t* b, int32_t, size_t bytes) {
  const __m256i bias = _mm256_set1_epi8(static_cast<char>(0x80));
  __m256i s0 = _mm256_setzero_si256(), s1 = s0;
  for (size_t i = 0; i < bytes; i += 64) {
    s0 = add_products(s0, _mm256_xor_si256(load(a + i), bias), _mm256_xor_si256(load(b + i), bias));
    s1 = add_products(s1, _mm256_xor_si256(load(a + i + 32), bias), _mm256_xor_si256(load(b + i + 32), bias));
  }
  return sum_i32(_mm256_add_epi32(s0, s1));
}

SEALPOINT_AVX2 int32_t sad(const uint8_t* a, const uint8_t* b, size_t bytes) {
  __m256i s0 = _mm256_setzero_si256(), s1 = s0;
  for (size_t i = 0; i < bytes; i += 64) {
    s0 = _mm256_add_epi64(s0, _mm256_sad_epu8(load(a + i), load(b + i)));
    s1 = _mm256_add_epi64(s1, _mm256_sad_epu8(load(a + i + 32), load(b + i + 32)));
  }
  return sum_i32(_mm256_add_epi64(s0, s1));  // sums fit 32 bits, the upper halves are zero
}

enum class Term { kDot, kL2, kL1 };

template <Term kTerm>
SEALPOINT_AVX2 inline __m256 add_term(__m256 sum, __m256 a, __m256 b) {
  if (kTerm == Term::kDot) return _mm256_fmadd_ps(a, b, sum);
  const __m256 difference = _mm256_sub_ps(a, b);
  if (kTerm == Term::kL2) return _mm256_fmadd_ps(difference, difference, sum);
  return _mm256_add_ps(sum, _mm256_andnot_ps(_mm256_set1_ps(-0.0f), difference));
}

template <Term kTerm>
SEALPOINT_AVX2 inline float accumulate(const float* a, const float* b, size_t dim) {
  __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
  size_t i = 0;
  for (; i + 32 <= dim; i += 32) {
    s0 = add_term<kTerm>(s0, _mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
    s1 = add_term<kTerm>(s1, _mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8));
    s2 = add_term<kTerm>(s2, _mm256_loadu_ps(a + i + 16), _mm256_loadu_ps(b + i + 16));
    s3 = add_term<kTerm>(s3, _mm256_loadu_ps(a + i + 24), _mm256_loadu_ps(b + i + 24));
  }
  for (; i + 8 <= dim; i += 8) s0 = add_term<kTerm>(s0, _mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
  if (i < dim) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(dim - i)), lanes);
    s1 = add_term<kTerm>(s1, _mm256_maskload_ps(a + i, mask), _mm256_maskload_ps(b + i, mask));
  }
  return sum_f32(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
}

SEALPOINT_AVX2 float dot_f32(const float* a, const float* b, size_t dim) {
  return dim < kFewDimensions ? few_dot(a, b, dim) : accumulate<Term::kDot>(a, b, dim);
}
SEALPOINT_AVX2 float l2_f32(const float* a, const float* b, size_t dim) {
  return dim < kFewDimensions ? few_l2(a, b, dim) : accumulate<Term::kL2>(a, b, dim);
}
SEALPOINT_AVX2 float l1_f32(const float* a, const float* b, size_t dim) {
  return dim < kFewDimensions ? few_l1(a, b, dim) : accumulate<Term::kL1>(a, b, dim);
}

SEALPOINT_AVX2 void widen_f16(const uint8_t* from, float* out, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i * 2))));
  }
  for (; i < count; ++i) {
    uint16_t half;
    std::memcpy(&half, from + i * 2, 2);
    out[i] = _cvtsh_ss(half);
  }
}
SEALPOINT_AVX2 void narrow_f16(const float* from, uint8_t* out, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i * 2), _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
  }
  for (; i < count; ++i) {
    const uint16_t half = _cvtss_sh(from[i], _MM_FROUND_TO_NEAREST_INT);
    std::memcpy(out + i * 2, &half, 2);
  }
}
SEALPOINT_AVX2 void widen_u8(const uint8_t* from, float* out, size_t count) { shared::widen_u8(from, out, count); }
SEALPOINT_AVX2 size_t nearest_column(const float* point, const float* columns, size_t count, float* out) {
  return shared::nearest_column(point, columns, count, out);
}
SEALPOINT_AVX2 void add_column(uint32_t distance, float value, const float* column, float* out) {
  shared::add_column(distance, value, column, out);
}
SEALPOINT_AVX2 BitSums bit_sums(const uint8_t* code, const uint64_t* slices, size_t words, unsigned count) {
  return shared::bit_sums(code, slices, words, count);
}

// As with AVX-512; a block is two registers wide.
template <uint32_t kDistance, size_t kRows>
SEALPOINT_AVX2 inline void best_of(const float* queries, size_t dim, const float* rows, float* best) {
  __m256 sums[kRows][2];
#pragma GCC unroll 8
  for (size_t r = 0; r < kRows; ++r) sums[r][0] = sums[r][1] = _mm256_setzero_ps();
  const __m256 sign = _mm256_set1_ps(-0.0f);
  for (size_t d = 0; d < dim; ++d) {
    const __m256 query[2] = {_mm256_loadu_ps(queries + d * kMaxSimLanes), _mm256_loadu_ps(queries + d * kMaxSimLanes + 8)};
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) {
      float one;
      std::memcpy(&one, rows + r * dim + d, sizeof one);
      const __m256 value = _mm256_set1_ps(one);
#pragma GCC unroll 2
      for (size_t h = 0; h < 2; ++h) {
        if constexpr (kDistance == 2) {
          const __m256 difference = _mm256_sub_ps(query[h], value);
          sums[r][h] = _mm256_fnmadd_ps(difference, difference, sums[r][h]);
        } else if constexpr (kDistance == 4) {
          sums[r][h] = _mm256_sub_ps(sums[r][h], _mm256_andnot_ps(sign, _mm256_sub_ps(query[h], value)));
        } else {
          sums[r][h] = _mm256_fmadd_ps(query[h], value, sums[r][h]);
        }
      }
    }
  }
#pragma GCC unroll 2
  for (size_t h = 0; h < 2; ++h) {
    __m256 greatest = _mm256_loadu_ps(best + 8 * h);
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) greatest = _mm256_max_ps(sums[r][h], greatest);
    _mm256_storeu_ps(best + 8 * h, greatest);
  }
}

template <uint32_t kDistance>
SEALPOINT_AVX2 inline void best_of_all(const float* queries, size_t blocks, size_t dim, const float* rows, size_t count, float* best) {
  for (size_t b = 0; b < blocks; ++b, queries += dim * kMaxSimLanes, best += kMaxSimLanes) {
    size_t r = 0;
    for (; r + 4 <= count; r += 4) best_of<kDistance, 4>(queries, dim, rows + r * dim, best);
    for (; r < count; ++r) best_of<kDistance, 1>(queries, dim, rows + r * dim, best);
  }
}

SEALPOINT_AVX2 void best_rows(uint32_t distance, const float* queries, size_t blocks, size_t dim, const float* rows, size_t count, float* best) {
  if (distance == 2) {
    best_of_all<2>(queries, blocks, dim, rows, count, best);
  } else if (distance == 4) {
    best_of_all<4>(queries, blocks, dim, rows, count, best);
  } else {
    best_of_all<0>(queries, blocks, dim, rows, count, best);
  }
}

}  // namespace

const Kernels kAvx2Kernels = {
    "avx2",    dot,        dot4, nibbles4, dot_codes,      sad,        dot_f32, l2_f32, l1_f32,
    widen_f16, narrow_f16, widen_u8, nearest_column, add_column, bit_sums, best_rows};

}  // namespace sealpoint
#endif
