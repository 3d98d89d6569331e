#include "code_kinds.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "kernels.h"

namespace sealpoint {
namespace {

// More vectors than these change a book little.
constexpr size_t kProductSample = 8192;
constexpr size_t kBitsSample = 20000;
constexpr int kMeansRounds = 8;
// Two bits split a value's range into three parts at this many standard deviations from the mean, which is where three levels
// of a normal distribution lose least.
constexpr float kThirds = 0.6120f;
// A pair's shared bit says that one of its two values is this many standard deviations above the mean.
constexpr float kFar = 0.8f;

size_t groups_of(const CodeConfig& codes, size_t dim) { return (dim + codes.group - 1) / codes.group; }

size_t bits_of(CodeKind kind, size_t dim) {
  if (kind == CodeKind::kTwoBits) return 2 * dim;
  return kind == CodeKind::kOneAndHalfBits ? dim + (dim + 1) / 2 : dim;
}

// What one value adds to a distance.
float part(Distance distance, float query, float value) {
  switch (distance) {
    case Distance::kEuclid:
      return (query - value) * (query - value);
    case Distance::kManhattan:
      return std::fabs(query - value);
    default:
      return -query * value;
  }
}

// The weight of each bit of a code and what a code without bits scores, for a query.
float bit_weights(CodeKind kind, Distance distance, size_t dim, const float* book, const float* query, float* weights) {
  const float* low = book;
  const float* high = book + dim;
  const float* third = book + 2 * dim;
  double base = 0;
  for (size_t i = 0; i < dim; ++i) {
    const float at_low = part(distance, query[i], low[i]);
    const float at_high = part(distance, query[i], high[i]);
    base += at_low;
    weights[i] = at_high - at_low;
    if (kind == CodeKind::kTwoBits) weights[dim + i] = part(distance, query[i], third[i]) - at_high;
    if (kind != CodeKind::kOneAndHalfBits) continue;
    // What the shared bit adds depends on the value's own bit, and bits can only be summed: the mean of both.
    float& shared = weights[dim + i / 2];
    if (i % 2 == 0) shared = 0;
    shared += (part(distance, query[i], low[i] + third[i]) - at_low + part(distance, query[i], high[i] + third[i]) - at_high) / 2;
  }
  return static_cast<float>(base);
}

}  // namespace

uint32_t code_bytes_of(const CodeConfig& codes, uint32_t dim) {
  if (codes.kind == CodeKind::kScalar) return (dim + 63) / 64 * 64;
  if (codes.kind == CodeKind::kProduct) return static_cast<uint32_t>(groups_of(codes, dim));
  return static_cast<uint32_t>((bits_of(codes.kind, dim) + 63) / 64 * 8);
}

size_t book_floats_of(const CodeConfig& codes, uint32_t dim) {
  switch (codes.kind) {
    case CodeKind::kScalar:
      return 0;
    case CodeKind::kOneBit:
      return size_t{2} * dim;
    case CodeKind::kProduct:
      return groups_of(codes, dim) * codes.group * kCentroids;
    default:
      return size_t{3} * dim;
  }
}

size_t CodeBook::sample_rows(const CodeConfig& codes) {
  return codes.kind == CodeKind::kProduct ? kProductSample : kBitsSample;
}

bool CodeBook::train(const CodeConfig& codes, uint32_t dim, const std::vector<float>& sample, const std::atomic<bool>& cancel) {
  codes_ = codes;
  dim_ = dim;
  values_.assign(book_floats_of(codes, dim), 0);
  if (codes.kind == CodeKind::kProduct) return train_product(sample, cancel);
  train_bits(sample);
  return true;
}

// Thresholds per dimension, and the mean of what each level of it holds.
void CodeBook::train_bits(const std::vector<float>& sample) {
  const size_t rows = sample.size() / dim_;
  std::vector<double> sum(dim_), square(dim_);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t i = 0; i < dim_; ++i) {
      const double value = sample[row * dim_ + i];
      sum[i] += value;
      square[i] += value * value;
    }
  }
  first_.resize(dim_);
  second_.resize(dim_);
  const double count = static_cast<double>(std::max<size_t>(rows, 1));
  for (size_t i = 0; i < dim_; ++i) {
    const double mean = sum[i] / count;
    const float deviation = static_cast<float>(std::sqrt(std::max(0.0, square[i] / count - mean * mean)));
    const bool two = codes_.kind == CodeKind::kTwoBits;
    first_[i] = static_cast<float>(mean) - (two ? kThirds * deviation : 0);
    second_[i] = static_cast<float>(mean) + (two ? kThirds : kFar) * deviation;
  }
  // Levels of a value: 0 and 1 by its first bit, and 2 when both are set. With one and a half bits 2 more where the shared bit is set.
  std::vector<double> held(4 * dim_), held_count(4 * dim_);
  auto hold = [&](size_t level, size_t i, double value) {
    held[level * dim_ + i] += value;
    held_count[level * dim_ + i] += 1;
  };
  for (size_t row = 0; row < rows; ++row) {
    const float* values = sample.data() + row * dim_;
    for (size_t i = 0; i < dim_; ++i) {
      const bool up = values[i] > first_[i];
      if (codes_.kind == CodeKind::kTwoBits) {
        hold(values[i] > second_[i] ? 2 : up ? 1 : 0, i, values[i]);
      } else if (codes_.kind == CodeKind::kOneBit) {
        hold(up ? 1 : 0, i, values[i]);
      } else {
        const size_t other = std::min(i ^ 1, dim_ - 1);
        const bool far = values[i] > second_[i] || values[other] > second_[other];
        hold((up ? 1 : 0) + (far ? 2 : 0), i, values[i]);
      }
    }
  }
  auto mean = [&](size_t level, size_t i, float otherwise) {
    const size_t at = level * dim_ + i;
    return held_count[at] == 0 ? otherwise : static_cast<float>(held[at] / held_count[at]);
  };
  for (size_t i = 0; i < dim_; ++i) {
    values_[i] = mean(0, i, first_[i]);
    values_[dim_ + i] = mean(1, i, first_[i]);
    if (codes_.kind == CodeKind::kTwoBits) values_[2 * dim_ + i] = mean(2, i, second_[i]);
    if (codes_.kind != CodeKind::kOneAndHalfBits) continue;
    const double low = held_count[2 * dim_ + i], high = held_count[3 * dim_ + i];
    const double more = low * (mean(2, i, values_[i]) - values_[i]) + high * (mean(3, i, values_[dim_ + i]) - values_[dim_ + i]);
    values_[2 * dim_ + i] = low + high == 0 ? 0 : static_cast<float>(more / (low + high));
  }
}

// Lloyd's k-means in each group. FAISS's would need BLAS and a team of OpenMP's threads, and cannot be cancelled.
bool CodeBook::train_product(const std::vector<float>& sample, const std::atomic<bool>& cancel) {
  const size_t rows = sample.size() / dim_;
  const size_t group = codes_.group;
  const Kernels& kernel = kernels();
  std::mt19937 random(static_cast<uint32_t>(rows));
  std::vector<uint32_t> order(rows);
  for (uint32_t i = 0; i < rows; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), random);
  std::vector<float> points(rows * group), distances(kCentroids);
  for (size_t at = 0; at < groups_of(codes_, dim_) && rows > 0; ++at) {
    const size_t from = at * group;
    const size_t width = std::min(group, dim_ - from);
    float* columns = values_.data() + from * kCentroids;
    std::fill(points.begin(), points.end(), 0.0f);
    for (size_t row = 0; row < rows; ++row) {
      std::memcpy(points.data() + row * group, sample.data() + row * dim_ + from, width * sizeof(float));
    }
    for (size_t c = 0; c < kCentroids; ++c) {
      const float* seed = points.data() + order[c % rows] * group;
      for (size_t j = 0; j < group; ++j) columns[j * kCentroids + c] = seed[j];
    }
    for (int round = 0; round < kMeansRounds; ++round) {
      if (cancel.load(std::memory_order_relaxed)) return false;
      std::vector<double> sums(group * kCentroids);
      std::vector<uint32_t> counts(kCentroids);
      for (size_t row = 0; row < rows; ++row) {
        const float* point = points.data() + row * group;
        const size_t nearest = kernel.nearest_column(point, columns, group, distances.data());
        ++counts[nearest];
        for (size_t j = 0; j < group; ++j) sums[j * kCentroids + nearest] += point[j];
      }
      for (size_t c = 0; c < kCentroids; ++c) {
        // A centroid that nobody is nearest to starts again at some point.
        const float* other = points.data() + (random() % rows) * group;
        for (size_t j = 0; j < group; ++j) {
          columns[j * kCentroids + c] = counts[c] == 0 ? other[j] : static_cast<float>(sums[j * kCentroids + c] / counts[c]);
        }
      }
    }
  }
  return true;
}

void CodeBook::encode(const float* values, uint8_t* code) const {
  if (codes_.kind == CodeKind::kProduct) {
    const size_t group = codes_.group;
    float distances[kCentroids];
    std::vector<float> last(group);
    for (size_t at = 0; at < groups_of(codes_, dim_); ++at) {
      const float* point = values + at * group;
      if ((at + 1) * group > dim_) {
        std::memcpy(last.data(), point, (dim_ - at * group) * sizeof(float));
        point = last.data();
      }
      code[at] = static_cast<uint8_t>(kernels().nearest_column(point, values_.data() + at * group * kCentroids, group, distances));
    }
    return;
  }
  std::memset(code, 0, code_bytes_of(codes_, static_cast<uint32_t>(dim_)));
  auto set = [&](size_t bit) { code[bit / 8] |= static_cast<uint8_t>(1u << bit % 8); };
  for (size_t i = 0; i < dim_; ++i) {
    if (values[i] > first_[i]) set(i);
    if (codes_.kind == CodeKind::kTwoBits && values[i] > second_[i]) set(dim_ + i);
    if (codes_.kind == CodeKind::kOneAndHalfBits && values[i] > second_[i]) set(dim_ + i / 2);
  }
}

void CodeTable::prepare(const CodeConfig& codes, Distance distance, uint32_t dim, const float* book, const float* query) {
  kernels_ = &kernels();
  bits_ = codes.kind != CodeKind::kProduct;
  if (!bits_) {
    groups_ = groups_of(codes, dim);
    table_.assign(groups_ * kCentroids, 0);
    for (size_t i = 0; i < dim; ++i) {
      kernels_->add_column(static_cast<uint32_t>(distance), query[i], book + i * kCentroids, table_.data() + i / codes.group * kCentroids);
    }
    return;
  }
  // Weights become whole numbers of query_bits bits, and each of their bits a slice: a code's sum is a few counts of common bits.
  const size_t bits = bits_of(codes.kind, dim);
  words_ = (bits + 63) / 64;
  slices_ = codes.query_bits;
  std::vector<float>& weights = table_;
  weights.assign(bits, 0);
  base_ = bit_weights(codes.kind, distance, dim, book, query, weights.data());
  const auto [least, most] = std::minmax_element(weights.begin(), weights.end());
  lowest_ = *least;
  const float range = *most - *least;
  bit_slices_.assign(words_ * slices_, 0);
  if (slices_ == 1) {
    // Two weights, each the mean of those that it stands for.
    double mean = 0;
    for (const float weight : weights) mean += weight / static_cast<double>(bits);
    double sums[2] = {}, counts[2] = {};
    for (size_t i = 0; i < bits; ++i) {
      const bool high = weights[i] > mean;
      sums[high] += weights[i];
      counts[high] += 1;
      if (high) bit_slices_[i / 64] |= uint64_t{1} << i % 64;
    }
    lowest_ = counts[0] == 0 ? 0 : static_cast<float>(sums[0] / counts[0]);
    step_ = counts[1] == 0 ? 0 : static_cast<float>(sums[1] / counts[1]) - lowest_;
    return;
  }
  const float levels = static_cast<float>((1u << slices_) - 1);
  step_ = range > 0 && std::isfinite(range) ? range / levels : 0;
  for (size_t i = 0; i < bits && step_ > 0; ++i) {
    const auto level = static_cast<uint32_t>(std::min(levels, (weights[i] - lowest_) / step_ + 0.5f));
    for (unsigned slice = 0; slice < slices_; ++slice) {
      if (level >> slice & 1) bit_slices_[slice * words_ + i / 64] |= uint64_t{1} << i % 64;
    }
  }
}

float CodeTable::score_bits(const uint8_t* code) const {
  const BitSums sums = kernels_->bit_sums(code, bit_slices_.data(), words_, slices_);
  return base_ + lowest_ * static_cast<float>(sums.ones) + step_ * static_cast<float>(sums.weighted);
}

float CodeTable::score_product(const uint8_t* code) const {
  const float* table = table_.data();
  float sums[4] = {};
  size_t at = 0;
  for (; at + 4 <= groups_; at += 4, table += 4 * kCentroids) {
    sums[0] += table[code[at]];
    sums[1] += table[kCentroids + code[at + 1]];
    sums[2] += table[2 * kCentroids + code[at + 2]];
    sums[3] += table[3 * kCentroids + code[at + 3]];
  }
  for (; at < groups_; ++at, table += kCentroids) sums[0] += table[code[at]];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

}  // namespace sealpoint
