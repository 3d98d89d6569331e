#include "multi_index.h"

#include <algorithm>

namespace sealpoint {

namespace {

// What an allocation costs beside its bytes.
constexpr size_t kAllocationBytes = 16;

}  // namespace

void MultiIndex::keep_in_memory(bool kept) {
  kept_ = kept;
  if (kept) return;
  std::vector<Slot>().swap(slots_);
  bytes_ = values_ = 0;
}

void MultiIndex::upsert(uint32_t slot, std::string_view row) {
  remove(slot);
  if (!kept_) return;
  if (slot >= slots_.size()) slots_.resize(std::max(slot + size_t{1}, slots_.size() + slots_.size() / 8));
  slots_[slot] = {std::make_unique_for_overwrite<char[]>(row.size()), row.size()};
  std::memcpy(slots_[slot].bytes.get(), row.data(), row.size());
  bytes_ += row.size() + kAllocationBytes;
  values_ += row.size() - 4;
}

void MultiIndex::remove(uint32_t slot) {
  if (slot >= slots_.size() || slots_[slot].bytes == nullptr) return;
  bytes_ -= slots_[slot].size + kAllocationBytes;
  values_ -= slots_[slot].size - 4;
  slots_[slot] = {};
}

}  // namespace sealpoint
