// Point ids of a collection, both ways, in about 14 bytes a point: an array from slot to id, and an open-addressing hash of slots.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "../core/bitset.h"
#include "../core/point_id.h"

namespace sealpoint {

class IdTable {
 public:
  static constexpr uint32_t kNone = 0xffffffff;

  IdTable() : table_(64, kNone) {}

  uint32_t find(const PointId& id) const {
    const size_t mask = table_.size() - 1;
    for (size_t at = PointIdHash()(id) & mask;; at = (at + 1) & mask) {
      const uint32_t slot = table_[at];
      if (slot == kNone) return kNone;
      if (slot != kErased && this->id(slot) == id) return slot;
    }
  }

  PointId id(uint32_t slot) const {
    if (is_uuid_.test(slot)) return PointId::from_uuid(uuids_[numbers_[slot]].data());
    return PointId::number(numbers_[slot]);
  }

  // A slot that no point holds. It is taken only by insert, so that a failed write takes none.
  uint32_t free_slot(size_t nth) const {
    return nth < free_.size() ? free_[free_.size() - 1 - nth] : static_cast<uint32_t>(numbers_.size() + nth - free_.size());
  }

  void insert(const PointId& id, uint32_t slot) {
    if (used_ * 4 >= table_.size() * 3) rehash();
    if (slot >= numbers_.size()) {
      for (uint32_t gap = static_cast<uint32_t>(numbers_.size()); gap < slot; ++gap) free_.push_back(gap);
      numbers_.resize(slot + 1);
    } else if (!free_.empty() && free_.back() == slot) {
      free_.pop_back();
    } else {
      for (size_t i = free_.size(); i-- > 0;) {
        if (free_[i] == slot) {
          free_[i] = free_.back();
          free_.pop_back();
          break;
        }
      }
    }
    if (id.is_uuid) {
      is_uuid_.set(slot);
      if (free_uuids_.empty()) {
        numbers_[slot] = uuids_.size();
        uuids_.emplace_back();
      } else {
        numbers_[slot] = free_uuids_.back();
        free_uuids_.pop_back();
      }
      std::memcpy(uuids_[numbers_[slot]].data(), id.uuid, 16);
    } else {
      is_uuid_.reset(slot);
      numbers_[slot] = id.num;
    }
    live_.set(slot);
    place(slot, id);
    ++size_;
  }

  // What a state file keeps, and the table that comes back from it. False when the parts do not fit together. More may be loaded or erased
  // until end_load().
  const std::vector<uint64_t>& numbers() const { return numbers_; }
  const std::vector<std::array<uint8_t, 16>>& uuids() const { return uuids_; }
  const Bitset& is_uuid() const { return is_uuid_; }
  bool restore(std::vector<uint64_t> numbers, std::vector<std::array<uint8_t, 16>> uuids, Bitset is_uuid, Bitset live) {
    Bitset used(uuids.size());
    bool sound = true;
    live.for_each([&](uint32_t slot) {
      if (slot >= numbers.size()) {
        sound = false;
      } else if (is_uuid.test(slot)) {
        const uint64_t place = numbers[slot];
        sound = sound && place < uuids.size() && !used.test(static_cast<uint32_t>(place));
        if (sound) used.set(static_cast<uint32_t>(place));
      }
    });
    if (!sound) return false;
    numbers_ = std::move(numbers);
    uuids_ = std::move(uuids);
    is_uuid_ = std::move(is_uuid);
    live_ = std::move(live);
    free_.clear();
    free_uuids_.clear();
    for (uint32_t place = static_cast<uint32_t>(uuids_.size()); place-- > 0;) {
      if (!used.test(place)) free_uuids_.push_back(place);
    }
    size_ = live_.count();
    rehash();
    return true;
  }

  // At start only: slots come in any order, so the free list is made once at the end.
  void load(const PointId& id, uint32_t slot) {
    if (slot >= numbers_.size()) numbers_.resize(slot + 1);
    insert(id, slot);
  }
  void end_load() {
    free_.clear();
    for (uint32_t slot = static_cast<uint32_t>(numbers_.size()); slot-- > 0;) {
      if (!live_.test(slot)) free_.push_back(slot);
    }
  }

  void erase(uint32_t slot) {
    const PointId gone = id(slot);
    const size_t mask = table_.size() - 1;
    for (size_t at = PointIdHash()(gone) & mask; table_[at] != kNone; at = (at + 1) & mask) {
      if (table_[at] == slot) {
        table_[at] = kErased;
        break;
      }
    }
    if (gone.is_uuid) free_uuids_.push_back(static_cast<uint32_t>(numbers_[slot]));
    live_.reset(slot);
    free_.push_back(slot);
    --size_;
  }

  size_t size() const { return size_; }
  size_t slots() const { return numbers_.size(); }
  const Bitset& live() const { return live_; }
  size_t bytes() const {
    return numbers_.capacity() * 8 + uuids_.capacity() * 16 + table_.capacity() * 4 + live_.words().capacity() * 8 +
           is_uuid_.words().capacity() * 8 + free_.capacity() * 4;
  }

 private:
  static constexpr uint32_t kErased = 0xfffffffe;

  void place(uint32_t slot, const PointId& id) {
    const size_t mask = table_.size() - 1;
    size_t at = PointIdHash()(id) & mask;
    while (table_[at] != kNone && table_[at] != kErased) at = (at + 1) & mask;
    if (table_[at] == kNone) ++used_;
    table_[at] = slot;
  }

  void rehash() {
    size_t size = 64;
    while (size < (size_ + 1) * 2) size *= 2;
    table_.assign(size, kNone);
    used_ = 0;
    live_.for_each([this](uint32_t slot) { place(slot, id(slot)); });
  }

  std::vector<uint64_t> numbers_;  // the number, or the place in uuids_
  std::vector<std::array<uint8_t, 16>> uuids_;
  std::vector<uint32_t> free_uuids_;
  Bitset is_uuid_;
  Bitset live_;
  std::vector<uint32_t> table_;
  std::vector<uint32_t> free_;
  size_t used_ = 0;  // places of table_ that were ever taken since the last rehash
  size_t size_ = 0;
};

}  // namespace sealpoint
