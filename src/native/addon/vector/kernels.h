// Distance kernels, one set per SIMD level, chosen once at run time.
//
// Codes are int8 values stored with a bias of 128 (so that AVX-512 VNNI can take them as its unsigned operand) in rows
// padded with 128 (a zero) to a multiple of 64 bytes. `bytes` is always that padded length. A query against codes is
// the plain int8 form and its bias, 128 times the sum of its values.
#pragma once
#include <cstddef>
#include <cstdint>

namespace sealpoint {

struct BitSums {
  uint32_t ones = 0;      // bits set in a code
  uint32_t weighted = 0;  // of the slices' bits, a slice counting twice the one before
};

// Query rows that MaxSim compares with a row at a time: the lanes of one AVX-512 register, two of AVX2.
constexpr size_t kMaxSimLanes = 16;

struct Kernels {
  const char* name;
  // Sum of (code - 128) * query.
  int32_t (*dot)(const uint8_t* code, const int8_t* query, int32_t query_bias, size_t bytes);
  void (*dot4)(const uint8_t* const* codes, const int8_t* query, int32_t query_bias, size_t bytes, int32_t* out);
  // Sums of nibble * query for four rows of one plane (planes.h), over all blocks. `bytes` is the plane's row, a multiple of 32.
  void (*nibbles4)(const uint8_t* const* planes, const int8_t* query, size_t bytes, int32_t* out);
  // Dot product of two stored codes; b_bias is 128 times the sum of b's plain values.
  int32_t (*dot_codes)(const uint8_t* a, const uint8_t* b, int32_t b_bias, size_t bytes);
  // Sum of absolute differences of two biased codes.
  int32_t (*sad)(const uint8_t* a, const uint8_t* b, size_t bytes);
  // Exact distances of float vectors: any length, any alignment.
  float (*dot_f32)(const float* a, const float* b, size_t dim);
  float (*l2_f32)(const float* a, const float* b, size_t dim);  // squared
  float (*l1_f32)(const float* a, const float* b, size_t dim);
  // Stored values of other types, any alignment; halves are rounded to the nearest, ties to even.
  void (*widen_f16)(const uint8_t* from, float* out, size_t count);
  void (*narrow_f16)(const float* from, uint8_t* out, size_t count);
  void (*widen_u8)(const uint8_t* from, float* out, size_t count);
  // Of 256 columns, `count` floats each, column after column of each float: the nearest to the point; distances into out.
  size_t (*nearest_column)(const float* point, const float* columns, size_t count, float* out);
  // Adds what one value makes to each of 256 distances.
  void (*add_column)(uint32_t distance, float value, const float* column, float* out);
  // Counts over a code of `words` u64 and `count` slices as long.
  BitSums (*bit_sums)(const uint8_t* code, const uint64_t* slices, size_t words, unsigned count);
  // MaxSim (max_sim.h). `queries` holds `blocks` blocks of kMaxSimLanes query rows, in each block dimension after dimension: of the raw
  // similarities with `count` rows (any alignment) of `dim` floats the greatest goes into best[lane], which holds the greatest so far.
  void (*best_rows)(uint32_t distance, const float* queries, size_t blocks, size_t dim, const float* rows, size_t count, float* best);
};

// Vectors of fewer dimensions are summed term after term, without fused steps, at every level: that is how Qdrant sums them, so scores of small
// vectors agree with its to the last bit.
constexpr size_t kFewDimensions = 16;
float few_dot(const float* a, const float* b, size_t dim);
float few_l2(const float* a, const float* b, size_t dim);
float few_l1(const float* a, const float* b, size_t dim);

extern const Kernels kBaselineKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512VnniKernels;
#endif

// The best that the CPU has, or the one that SEALPOINT_SIMD names if the CPU has it.
const Kernels& kernels();
// For tests: the kernels of one level, nullptr when the CPU lacks it.
const Kernels* find_kernels(const char* name);
// For tests only, while nothing else runs.
void force_kernels_for_test(const Kernels* kernels);

}  // namespace sealpoint
