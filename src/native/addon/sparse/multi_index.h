// Multivectors of one name in one collection (ColBERT's late interaction): each point has several vectors, and its similarity with a query
// is MaxSim: for each vector of the query the greatest similarity with any of the point's, added up. Searched exactly.
//
// Locking is the caller's, as for VectorIndex: [shared] any number at a time, [exclusive] alone.
#pragma once
#include <cstdint>
#include <vector>

#include "../core/bitset.h"
#include "../vector/vector_index.h"

namespace sealpoint {

// `rows` vectors of the index's dimensions, one after the other; a view of the caller's memory.
struct MultiView {
  const float* values = nullptr;
  size_t rows = 0;
};

class MultiIndex {
 public:
  MultiIndex(uint32_t dim, Distance distance) : dim_(dim), distance_(distance) {}

  // [exclusive] For cosine the caller has normalised each row.
  void upsert(uint32_t slot, const MultiView& vector);
  void remove(uint32_t slot);

  // [shared]
  bool contains(uint32_t slot) const { return slot < slots_.size() && !slots_[slot].empty(); }
  size_t live() const { return live_; }
  MultiView get(uint32_t slot) const { return {slots_[slot].data(), slots_[slot].size() / dim_}; }
  // MaxSim with the raw similarities: dot, or minus the squared distance (euclid), or minus the distance (manhattan). Greater is nearer.
  float similarity(const MultiView& query, uint32_t slot) const;
  size_t memory_bytes() const;

 private:
  const uint32_t dim_;
  const Distance distance_;
  std::vector<std::vector<float>> slots_;
  size_t live_ = 0;
  size_t floats_ = 0;
};

}  // namespace sealpoint
