// Vectors of a session that never reach the disk: f32 rows in memory, cosine, scanned exactly.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "../core/bytes.h"
#include "../core/fair_mutex.h"
#include "memory_budget.h"

namespace sealpoint {

class MemoryIndexes {
 public:
  explicit MemoryIndexes(MemoryBudget& budget) : budget_(budget) {}
  uint64_t create(uint32_t dim);
  // u64 index, u32 n, u32 0, n x dim f32 values. Returns the rows held after it.
  uint64_t add(ByteReader& in);
  // u64 index, u32 k, u8 has threshold, f32 threshold, u32 dim, f32 values. Returns u32 n, each u32 row, f32 score.
  std::string search(ByteReader& in) const;
  // Overwrites the rows before it frees them. False when there was none.
  bool close(uint64_t index);
  size_t bytes() const;

 private:
  struct Index;
  std::shared_ptr<Index> find(uint64_t index) const;
  MemoryBudget& budget_;
  mutable FairSharedMutex mutex_;
  std::map<uint64_t, std::shared_ptr<Index>> indexes_;
  uint64_t next_ = 1;
};

}  // namespace sealpoint
