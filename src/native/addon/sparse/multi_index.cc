#include "multi_index.h"

#include <algorithm>
#include <limits>

#include "../vector/kernels.h"

namespace sealpoint {

void MultiIndex::upsert(uint32_t slot, const MultiView& vector) {
  if (slot >= slots_.size()) slots_.resize(slot + size_t{1});
  remove(slot);
  slots_[slot].assign(vector.values, vector.values + vector.rows * dim_);
  slots_[slot].shrink_to_fit();
  floats_ += slots_[slot].size();
  ++live_;
}

void MultiIndex::remove(uint32_t slot) {
  if (!contains(slot)) return;
  floats_ -= slots_[slot].size();
  slots_[slot] = {};
  --live_;
}

float MultiIndex::similarity(const MultiView& query, uint32_t slot) const {
  const Kernels& kernel = kernels();
  const MultiView stored = get(slot);
  float sum = 0;
  for (size_t q = 0; q < query.rows; ++q) {
    const float* row = query.values + q * dim_;
    float best = -std::numeric_limits<float>::infinity();
    for (size_t i = 0; i < stored.rows; ++i) {
      const float* other = stored.values + i * dim_;
      float similarity;
      if (distance_ == Distance::kEuclid) {
        similarity = -kernel.l2_f32(row, other, dim_);
      } else if (distance_ == Distance::kManhattan) {
        similarity = -kernel.l1_f32(row, other, dim_);
      } else {
        similarity = kernel.dot_f32(row, other, dim_);
      }
      best = std::max(best, similarity);
    }
    sum += best;
  }
  return sum;
}

size_t MultiIndex::memory_bytes() const { return slots_.capacity() * sizeof(std::vector<float>) + floats_ * sizeof(float); }

}  // namespace sealpoint
