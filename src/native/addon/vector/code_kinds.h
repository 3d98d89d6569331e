// What a segment keeps in memory of each vector, as Qdrant's quantization_config chooses it.
//
// All but the scalar kind come down to tables: a code is an index (product) or a set of bits (binary) per group of values, the
// book says which values it stands for, and a query's distance to it is a sum that the query's own table gives. So every distance has
// the same form, and distances of all kinds are comparable.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "vector_index.h"

namespace sealpoint {

constexpr size_t kCentroids = 256;

// Bytes of a row's code. Scalar rows are padded for the kernels, binary ones to whole words.
uint32_t code_bytes_of(const CodeConfig& codes, uint32_t dim);
// Floats of the book: scalar none; one bit low and high values; one and a half bits those and what a pair's shared bit adds; two bits
// low, middle and high values; product per group kCentroids columns of its values.
size_t book_floats_of(const CodeConfig& codes, uint32_t dim);

// Trains a book on a sample and encodes with it. Not for the scalar kind.
class CodeBook {
 public:
  // False when `cancel` became true. `sample` holds `rows` vectors.
  bool train(const CodeConfig& codes, uint32_t dim, const std::vector<float>& sample, const std::atomic<bool>& cancel);
  void encode(const float* values, uint8_t* code) const;
  const std::vector<float>& values() const { return values_; }
  // How many vectors training wants at most.
  static size_t sample_rows(const CodeConfig& codes);

 private:
  void train_bits(const std::vector<float>& sample);
  bool train_product(const std::vector<float>& sample, const std::atomic<bool>& cancel);

  CodeConfig codes_;
  size_t dim_ = 0;
  std::vector<float> values_;
  std::vector<float> first_, second_;  // binary: thresholds of a value's bits
};

// One query against the codes of one book.
class CodeTable {
 public:
  // Keeps no reference to its arguments.
  void prepare(const CodeConfig& codes, Distance distance, uint32_t dim, const float* book, const float* query);
  float score(const uint8_t* code) const { return bits_ ? score_bits(code) : score_product(code); }

 private:
  float score_bits(const uint8_t* code) const;
  float score_product(const uint8_t* code) const;

  bool bits_ = false;
  const struct Kernels* kernels_ = nullptr;
  size_t groups_ = 0;          // product
  std::vector<float> table_;   // product: kCentroids per group
  size_t words_ = 0;           // binary
  unsigned slices_ = 0;
  std::vector<uint64_t> bit_slices_;  // of the weights of the code's bits: slice after slice
  float base_ = 0, lowest_ = 0, step_ = 0;
};

}  // namespace sealpoint
