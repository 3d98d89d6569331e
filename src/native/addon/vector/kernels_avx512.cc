#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// gcc 12 warns about its own header here (bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "kernels_shared.h"

#define SEALPOINT_AVX512 __attribute__((target("avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define SEALPOINT_VPOPCNT __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq")))

namespace sealpoint {
namespace {

SEALPOINT_AVX512 inline __m512i load(const void* at) { return _mm512_loadu_si512(at); }

SEALPOINT_AVX512 int32_t dot(const uint8_t* code, const int8_t* query, int32_t query_bias, size_t bytes) {
  __m512i s0 = _mm512_setzero_si512(), s1 = s0;
  size_t i = 0;
  for (; i + 128 <= bytes; i += 128) {
    s0 = _mm512_dpbusd_epi32(s0, load(code + i), load(query + i));
    s1 = _mm512_dpbusd_epi32(s1, load(code + i + 64), load(query + i + 64));
  }
  if (i < bytes) s0 = _mm512_dpbusd_epi32(s0, load(code + i), load(query + i));
  return _mm512_reduce_add_epi32(_mm512_add_epi32(s0, s1)) - query_bias;
}

SEALPOINT_AVX512 inline __m128i fold(__m512i v) {
  const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
  return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

SEALPOINT_AVX512 void dot4(const uint8_t* const* codes, const int8_t* query, int32_t query_bias, size_t bytes,
                           int32_t* out) {
  const uint8_t *c0 = codes[0], *c1 = codes[1], *c2 = codes[2], *c3 = codes[3];
  __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
  for (size_t i = 0; i < bytes; i += 64) {
    const __m512i q = load(query + i);
    s0 = _mm512_dpbusd_epi32(s0, load(c0 + i), q);
    s1 = _mm512_dpbusd_epi32(s1, load(c1 + i), q);
    s2 = _mm512_dpbusd_epi32(s2, load(c2 + i), q);
    s3 = _mm512_dpbusd_epi32(s3, load(c3 + i), q);
  }
  const __m128i low = _mm_hadd_epi32(fold(s0), fold(s1));
  const __m128i high = _mm_hadd_epi32(fold(s2), fold(s3));
  const __m128i sums = _mm_sub_epi32(_mm_hadd_epi32(low, high), _mm_set1_epi32(query_bias));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), sums);
}

// Two blocks of a plane: their low nibbles against the first and third 32 values, their high ones against the others.
SEALPOINT_AVX512 inline __m512i add_nibbles(__m512i sum, const uint8_t* plane, __m512i low, __m512i high) {
  const __m512i bits = _mm512_set1_epi8(15);
  const __m512i both = load(plane);
  sum = _mm512_dpbusd_epi32(sum, _mm512_and_si512(both, bits), low);
  return _mm512_dpbusd_epi32(sum, _mm512_and_si512(_mm512_srli_epi16(both, 4), bits), high);
}
// One block, whose query is in order.
SEALPOINT_AVX512 inline __m512i add_block(__m512i sum, const uint8_t* plane, __m512i query) {
  const __m256i bits = _mm256_set1_epi8(15);
  const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(plane));
  const __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), bits);
  return _mm512_dpbusd_epi32(sum, _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_and_si256(both, bits)), high, 1), query);
}

SEALPOINT_AVX512 void nibbles4(const uint8_t* const* planes, const int8_t* query, size_t bytes, int32_t* out) {
  const uint8_t *p0 = planes[0], *p1 = planes[1], *p2 = planes[2], *p3 = planes[3];
  __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
  size_t i = 0;
  for (; i + 64 <= bytes; i += 64) {
    const __m512i q0 = load(query + 2 * i), q1 = load(query + 2 * i + 64);
    const __m512i low = _mm512_shuffle_i64x2(q0, q1, 0x44), high = _mm512_shuffle_i64x2(q0, q1, 0xee);
    s0 = add_nibbles(s0, p0 + i, low, high);
    s1 = add_nibbles(s1, p1 + i, low, high);
    s2 = add_nibbles(s2, p2 + i, low, high);
    s3 = add_nibbles(s3, p3 + i, low, high);
  }
  if (i < bytes) {
    const __m512i q = load(query + 2 * i);
    s0 = add_block(s0, p0 + i, q);
    s1 = add_block(s1, p1 + i, q);
    s2 = add_block(s2, p2 + i, q);
    s3 = add_block(s3, p3 + i, q);
  }
  const __m128i low = _mm_hadd_epi32(fold(s0), fold(s1));
  const __m128i high = _mm_hadd_epi32(fold(s2), fold(s3));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_hadd_epi32(low, high));
}

SEALPOINT_AVX512 int32_t dot_codes(const uint8_t* a, const uint8_t* b, int32_t b_bias, size_t bytes) {
  const __m512i bias = _mm512_set1_epi8(static_cast<char>(0x80));
  __m512i s0 = _mm512_setzero_si512(), s1 = s0;
  size_t i = 0;
  for (; i + 128 <= bytes; i += 128) {
    s0 = _mm512_dpbusd_epi32(s0, load(a + i), _mm512_xor_si512(load(b + i), bias));
    s1 = _mm512_dpbusd_epi32(s1, load(a + i + 64), _mm512_xor_si512(load(b + i + 64), bias));
  }
  if (i < bytes) s0 = _mm512_dpbusd_epi32(s0, load(a + i), _mm512_xor_si512(load(b + i), bias));
  return _mm512_reduce_add_epi32(_mm512_add_epi32(s0, s1)) - b_bias;
}

SEALPOINT_AVX512 int32_t sad(const uint8_t* a, const uint8_t* b, size_t bytes) {
  __m512i sum = _mm512_setzero_si512();
  for (size_t i = 0; i < bytes; i += 64) sum = _mm512_add_epi64(sum, _mm512_sad_epu8(load(a + i), load(b + i)));
  return static_cast<int32_t>(_mm512_reduce_add_epi64(sum));
}

enum class Term { kDot, kL2, kL1 };

template <Term kTerm>
SEALPOINT_AVX512 inline __m512 add_term(__m512 sum, __m512 a, __m512 b) {
  if (kTerm == Term::kDot) return _mm512_fmadd_ps(a, b, sum);
  const __m512 difference = _mm512_sub_ps(a, b);
  if (kTerm == Term::kL2) return _mm512_fmadd_ps(difference, difference, sum);
  return _mm512_add_ps(sum, _mm512_abs_ps(difference));
}

template <Term kTerm>
SEALPOINT_AVX512 inline float accumulate(const float* a, const float* b, size_t dim) {
  __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
  size_t i = 0;
  for (; i + 64 <= dim; i += 64) {
    s0 = add_term<kTerm>(s0, _mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));
    s1 = add_term<kTerm>(s1, _mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16));
    s2 = add_term<kTerm>(s2, _mm512_loadu_ps(a + i + 32), _mm512_loadu_ps(b + i + 32));
    s3 = add_term<kTerm>(s3, _mm512_loadu_ps(a + i + 48), _mm512_loadu_ps(b + i + 48));
  }
  for (; i < dim; i += 16) {
    const __mmask16 mask = dim - i >= 16 ? 0xffff : static_cast<__mmask16>((1u << (dim - i)) - 1);
    s0 = add_term<kTerm>(s0, _mm512_maskz_loadu_ps(mask, a + i), _mm512_maskz_loadu_ps(mask, b + i));
  }
  return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(s0, s1), _mm512_add_ps(s2, s3)));
}

SEALPOINT_AVX512 float dot_f32(const float* a, const float* b, size_t dim) {
  return dim < kFewDimensions ? few_dot(a, b, dim) : accumulate<Term::kDot>(a, b, dim);
}
SEALPOINT_AVX512 float l2_f32(const float* a, const float* b, size_t dim) {
  return dim < kFewDimensions ? few_l2(a, b, dim) : accumulate<Term::kL2>(a, b, dim);
}
SEALPOINT_AVX512 float l1_f32(const float* a, const float* b, size_t dim) {
  return dim < kFewDimensions ? few_l1(a, b, dim) : accumulate<Term::kL1>(a, b, dim);
}

SEALPOINT_AVX512 void widen_f16(const uint8_t* from, float* out, size_t count) {
  for (size_t i = 0; i < count; i += 16) {
    const __mmask16 mask = count - i >= 16 ? 0xffff : static_cast<__mmask16>((1u << (count - i)) - 1);
    _mm512_mask_storeu_ps(out + i, mask, _mm512_maskz_cvtph_ps(mask, _mm256_maskz_loadu_epi16(mask, from + i * 2)));
  }
}
SEALPOINT_AVX512 void narrow_f16(const float* from, uint8_t* out, size_t count) {
  for (size_t i = 0; i < count; i += 16) {
    const __mmask16 mask = count - i >= 16 ? 0xffff : static_cast<__mmask16>((1u << (count - i)) - 1);
    const __m256i halves = _mm512_maskz_cvtps_ph(mask, _mm512_maskz_loadu_ps(mask, from + i), _MM_FROUND_TO_NEAREST_INT);
    _mm256_mask_storeu_epi16(out + i * 2, mask, halves);
  }
}
SEALPOINT_AVX512 void widen_u8(const uint8_t* from, float* out, size_t count) { shared::widen_u8(from, out, count); }
SEALPOINT_AVX512 size_t nearest_column(const float* point, const float* columns, size_t count, float* out) {
  return shared::nearest_column(point, columns, count, out);
}
SEALPOINT_AVX512 void add_column(uint32_t distance, float value, const float* column, float* out) {
  shared::add_column(distance, value, column, out);
}

// Eight words at a time; a code of up to 512 dimensions is one load.
SEALPOINT_VPOPCNT BitSums bit_sums(const uint8_t* code, const uint64_t* slices, size_t words, unsigned count) {
  __m512i ones = _mm512_setzero_si512(), weighted = ones;
  for (size_t i = 0; i < words; i += 8) {
    const __mmask8 mask = words - i >= 8 ? 0xff : static_cast<__mmask8>((1u << (words - i)) - 1);
    const __m512i word = _mm512_maskz_loadu_epi64(mask, code + i * 8);
    ones = _mm512_add_epi64(ones, _mm512_popcnt_epi64(word));
    __m512i sum = _mm512_setzero_si512();
    for (unsigned slice = count; slice-- > 0;) {
      const __m512i common = _mm512_maskz_and_epi64(mask, word, _mm512_maskz_loadu_epi64(mask, slices + slice * words + i));
      sum = _mm512_add_epi64(_mm512_add_epi64(sum, sum), _mm512_popcnt_epi64(common));
    }
    weighted = _mm512_add_epi64(weighted, sum);
  }
  return {static_cast<uint32_t>(_mm512_reduce_add_epi64(ones)), static_cast<uint32_t>(_mm512_reduce_add_epi64(weighted))};
}

// Lanes are query rows, so nothing is summed across lanes; the sums of kRows rows and kBlocks blocks stay in registers.
template <uint32_t kDistance, size_t kRows, size_t kBlocks>
SEALPOINT_AVX512 inline void best_of(const float* queries, size_t dim, const float* rows, float* best) {
  __m512 sums[kRows][kBlocks];
#pragma GCC unroll 8
  for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (size_t b = 0; b < kBlocks; ++b) sums[r][b] = _mm512_setzero_ps();
  }
  for (size_t d = 0; d < dim; ++d) {
    __m512 query[kBlocks];
#pragma GCC unroll 8
    for (size_t b = 0; b < kBlocks; ++b) query[b] = _mm512_loadu_ps(queries + (b * dim + d) * kMaxSimLanes);
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) {
      float one;
      std::memcpy(&one, rows + r * dim + d, sizeof one);
      const __m512 value = _mm512_set1_ps(one);
#pragma GCC unroll 8
      for (size_t b = 0; b < kBlocks; ++b) {
        if constexpr (kDistance == 2) {
          const __m512 difference = _mm512_sub_ps(query[b], value);
          sums[r][b] = _mm512_fnmadd_ps(difference, difference, sums[r][b]);
        } else if constexpr (kDistance == 4) {
          sums[r][b] = _mm512_sub_ps(sums[r][b], _mm512_abs_ps(_mm512_sub_ps(query[b], value)));
        } else {
          sums[r][b] = _mm512_fmadd_ps(query[b], value, sums[r][b]);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (size_t b = 0; b < kBlocks; ++b) {
    // A sum that is no number is passed over: the second operand is the answer then.
    __m512 greatest = _mm512_loadu_ps(best + b * kMaxSimLanes);
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) greatest = _mm512_max_ps(sums[r][b], greatest);
    _mm512_storeu_ps(best + b * kMaxSimLanes, greatest);
  }
}

template <uint32_t kDistance, size_t kBlocks>
SEALPOINT_AVX512 inline void best_of_blocks(const float* queries, size_t dim, const float* rows, size_t count, float* best) {
  size_t r = 0;
  // Eight sums at once are what hides the latency of one.
  constexpr size_t kRows = 8 / kBlocks;
  for (; r + kRows <= count; r += kRows) best_of<kDistance, kRows, kBlocks>(queries, dim, rows + r * dim, best);
  if constexpr (kRows > 4) {
    if (r + 4 <= count) best_of<kDistance, 4, kBlocks>(queries, dim, rows + r * dim, best), r += 4;
  }
  if (r + 2 <= count) best_of<kDistance, 2, kBlocks>(queries, dim, rows + r * dim, best), r += 2;
  if (r < count) best_of<kDistance, 1, kBlocks>(queries, dim, rows + r * dim, best);
}

template <uint32_t kDistance>
SEALPOINT_AVX512 inline void best_of_all(const float* queries, size_t blocks, size_t dim, const float* rows, size_t count, float* best) {
  const size_t block = dim * kMaxSimLanes;
  size_t b = 0;
  for (; b + 2 <= blocks; b += 2) best_of_blocks<kDistance, 2>(queries + b * block, dim, rows, count, best + b * kMaxSimLanes);
  if (b < blocks) best_of_blocks<kDistance, 1>(queries + b * block, dim, rows, count, best + b * kMaxSimLanes);
}

SEALPOINT_AVX512 void best_rows(uint32_t distance, const float* queries, size_t blocks, size_t dim, const float* rows, size_t count, float* best) {
  if (distance == 2) {
    best_of_all<2>(queries, blocks, dim, rows, count, best);
  } else if (distance == 4) {
    best_of_all<4>(queries, blocks, dim, rows, count, best);
  } else {
    best_of_all<0>(queries, blocks, dim, rows, count, best);
  }
}

}  // namespace

const Kernels kAvx512VnniKernels = {
    "avx512vnni", dot,        dot4, nibbles4, dot_codes,      sad,        dot_f32, l2_f32, l1_f32,
    widen_f16,    narrow_f16, widen_u8, nearest_column, add_column, bit_sums, best_rows};

}  // namespace sealpoint
#endif
