// Sparse vectors of one name in one collection: an inverted index from dimension to (slot, value), held in memory and derived from the
// store. Scores are dot products; a vector that shares no dimension with the query is not found.
//
// Locking is the caller's, as for VectorIndex: [shared] any number at a time, [exclusive] alone.
#pragma once
#include <cstdint>
#include <cstring>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "../core/bitset.h"
#include "../core/status.h"

namespace sealpoint {

// Ascending indices and as many values; views of the caller's memory.
struct SparseView {
  const uint32_t* indices = nullptr;
  const float* values = nullptr;
  size_t count = 0;
};

// A row of the store: u32 count, the indices, the f32 values.
inline bool is_sparse_row(std::string_view row) {
  uint32_t count = 0;
  if (row.size() >= 4) std::memcpy(&count, row.data(), 4);
  return row.size() == 4 + size_t{count} * 8;
}
// The row must be aligned to 4 bytes. Throws kDataLoss for a wrong size.
inline SparseView sparse_of_row(std::string_view row) {
  if (!is_sparse_row(row)) throw Error(ErrorKind::kDataLoss, "a sparse vector in the store has the wrong size");
  uint32_t count;
  std::memcpy(&count, row.data(), 4);
  const auto* const indices = reinterpret_cast<const uint32_t*>(row.data() + 4);
  return {indices, reinterpret_cast<const float*>(indices + count), count};
}

struct SparseHit {
  uint32_t slot;
  float score;
};

class SparseIndex {
 public:
  // [exclusive]
  void upsert(uint32_t slot, const SparseView& vector);
  void remove(uint32_t slot);

  // [shared]
  bool contains(uint32_t slot) const { return slot < slots_.size() && slots_[slot].live; }
  // Vectors; of `among` when given.
  size_t live(const Bitset* among = nullptr) const;
  // The k best among `allowed` (nullptr: all), best first, equal scores by ascending slot.
  std::vector<SparseHit> search(const SparseView& query, size_t k, const Bitset* allowed, size_t allowed_count) const;
  // False when the two share no dimension or the slot has no vector.
  bool dot(const SparseView& query, uint32_t slot, float& score) const;
  SparseView get(uint32_t slot) const;
  // Live vectors that have the dimension; among `allowed` when given.
  size_t document_frequency(uint32_t dimension, const Bitset* allowed) const;
  size_t memory_bytes() const;
  // Of the live vectors' own indices and values.
  size_t vector_bytes() const { return forward_ * 8; }

 private:
  struct Entry {
    uint32_t slot;
    float value;
  };
  // By ascending slot, beside each other; a value that is no number is of a vector that went. What comes for a slot before the last one waits in
  // `late`, in no order, until that is worth a merge: an entry in the midst would move all behind it.
  struct Postings {
    std::vector<uint32_t> slots;
    std::vector<float> values;
    std::vector<Entry> late;
    size_t dead = 0;

    size_t live() const { return slots.size() - dead + late.size(); }
    void put(uint32_t slot, float value);
    void drop(uint32_t slot);
    void merge();
    template <typename Visit>
    void for_each(Visit visit) const {
      for (size_t i = 0; i < slots.size(); ++i) {
        if (values[i] == values[i]) visit(slots[i], values[i]);
      }
      for (const Entry& entry : late) visit(entry.slot, entry.value);
    }
  };
  struct Slot {
    bool live = false;
    std::vector<uint32_t> indices;
    std::vector<float> values;
  };

  void forget(uint32_t slot);

  std::unordered_map<uint32_t, Postings> postings_;
  std::vector<Slot> slots_;
  // Of the vectors of all slots, and of the entries in all lists.
  size_t forward_ = 0;
  size_t entries_ = 0;
  size_t live_ = 0;
};

}  // namespace sealpoint
