// Exact distances between a query and vectors as they are stored.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels.h"
#include "vector_index.h"

namespace sealpoint {

class RowScorer {
 public:
  // `query` outlives this, and `widened` is room for a row.
  RowScorer(Distance distance, Datatype datatype, const float* query, size_t dim, std::vector<float>& widened)
      : distance_(distance), datatype_(datatype), query_(query), dim_(dim), kernels_(kernels()) {
    if (widened.size() < dim) widened.resize(dim);
    widened_ = widened.data();
    if (distance == Distance::kCosine && !normalized(distance, datatype)) query_square_ = kernels_.dot_f32(query, query, dim);
  }

  // Smaller is better: the distance, or the similarity's negative.
  float key(const float* row) const {
    float key;
    switch (distance_) {
      case Distance::kEuclid:
        key = std::sqrt(kernels_.l2_f32(query_, row, dim_));
        break;
      case Distance::kManhattan:
        key = kernels_.l1_f32(query_, row, dim_);
        break;
      default:
        key = -kernels_.dot_f32(query_, row, dim_);
    }
    if (query_square_ >= 0) {
      const float squares = query_square_ * kernels_.dot_f32(row, row, dim_);
      key = squares > 0 ? key / std::sqrt(squares) : 0;
    }
    // Overflow may end in NaN, which would break every order.
    return std::isnan(key) ? std::numeric_limits<float>::infinity() : key;
  }

  // Of a row in a segment.
  float key_of_stored(const uint8_t* row) const {
    if (datatype_ == Datatype::kFloat32) return key(reinterpret_cast<const float*>(row));
    load_values(datatype_, row, dim_, widened_);
    return key(widened_);
  }

  Distance distance() const { return distance_; }
  // The key that a walk's distance stands for.
  float key_of_code_distance(float distance) const {
    return distance_ == Distance::kEuclid ? std::sqrt(std::max(distance, 0.0f)) : distance;
  }

 private:
  const Distance distance_;
  const Datatype datatype_;
  const float* const query_;
  const size_t dim_;
  const Kernels& kernels_;
  float* widened_;
  float query_square_ = -1;  // where rows are not normalised
};

}  // namespace sealpoint
