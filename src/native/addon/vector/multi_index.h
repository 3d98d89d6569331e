// Multivectors of one name in one collection, by slot, as they are stored. What is not kept in memory is read from the store by who asks.
//
// Locking is the caller's, as for VectorIndex: [shared] any number at a time, [exclusive] alone.
#pragma once
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace sealpoint {

// A row of the store: u32 count, then so many vectors one after the other.
inline bool is_multi_row(std::string_view row, size_t vector_bytes) {
  uint32_t count = 0;
  if (row.size() >= 4) std::memcpy(&count, row.data(), 4);
  return count > 0 && row.size() == 4 + count * vector_bytes;
}
inline uint32_t multi_row_count(std::string_view row) {
  uint32_t count;
  std::memcpy(&count, row.data(), 4);
  return count;
}

class MultiIndex {
 public:
  // [exclusive] Whether what is written from now on is kept in memory. What was kept and shall not be any more is forgotten at once; what
  // was not is kept once it is written or loaded again.
  void keep_in_memory(bool kept);
  bool kept_in_memory() const { return kept_; }

  // [exclusive]
  void upsert(uint32_t slot, std::string_view row);
  void remove(uint32_t slot);

  // [shared] The row; empty where there is none or it is not in memory.
  std::string_view row(uint32_t slot) const {
    if (slot >= slots_.size() || slots_[slot].bytes == nullptr) return {};
    return {slots_[slot].bytes.get(), slots_[slot].size};
  }
  size_t memory_bytes() const { return slots_.capacity() * sizeof(Slot) + bytes_; }
  // Of the vectors' values that are kept in memory.
  size_t vector_bytes() const { return values_; }

 private:
  struct Slot {
    std::unique_ptr<char[]> bytes;
    size_t size = 0;
  };

  bool kept_ = true;
  std::vector<Slot> slots_;
  size_t bytes_ = 0;
  size_t values_ = 0;
};

}  // namespace sealpoint
