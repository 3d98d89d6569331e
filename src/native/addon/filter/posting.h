// The slots that hold one value. Most keywords of a collection stand in one point and a few in very many, so a posting
// changes its form as it grows: one slot in place, a sorted list, a Roaring bitmap.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "slot_set.h"

namespace sealpoint::filter {

class Posting {
 public:
  uint32_t count() const { return count_; }

  void insert(uint32_t slot) {
    if (set_) {
      if (set_->contains(slot)) return;
      set_->add(slot);
    } else if (count_ == 0) {
      single_ = slot;
    } else if (count_ == 1 && !list_) {
      if (single_ == slot) return;
      list_ = std::make_unique<std::vector<uint32_t>>();
      list_->push_back(std::min(single_, slot));
      list_->push_back(std::max(single_, slot));
    } else {
      const auto at =
          list_->empty() || list_->back() < slot ? list_->end() : std::lower_bound(list_->begin(), list_->end(), slot);
      if (at != list_->end() && *at == slot) return;
      list_->insert(at, slot);
      if (list_->size() > kListMax) {
        set_ = std::make_unique<SlotSet>(SlotSet::from(*list_));
        list_.reset();
      }
    }
    ++count_;
  }

  void erase(uint32_t slot) {
    if (set_) {
      if (!set_->contains(slot)) return;
      set_->remove(slot);
      if (--count_ == 0) set_.reset();
      return;
    }
    if (!list_) {
      if (count_ == 1 && single_ == slot) count_ = 0;
      return;
    }
    const auto at = std::lower_bound(list_->begin(), list_->end(), slot);
    if (at == list_->end() || *at != slot) return;
    list_->erase(at);
    if (--count_ == 0) list_.reset();
  }

  uint64_t count_common(const Bitset& dense, const SlotSet& slots) const {
    if (set_) return set_->count_common(slots);
    if (!list_) return count_ == 1 && dense.test(single_) ? 1 : 0;
    uint64_t common = 0;
    for (const uint32_t slot : *list_) common += dense.test(slot) ? 1 : 0;
    return common;
  }

  void add_to(SlotSet& set) const {
    if (set_) {
      set.or_with(*set_);
    } else if (list_) {
      for (const uint32_t slot : *list_) set.add(slot);
    } else if (count_ == 1) {
      set.add(single_);
    }
  }

  // Leaves of the set what is here too.
  void intersect(SlotSet& set) const {
    if (set_) return set.and_with(*set_);
    SlotSet mine;
    add_to(mine);
    set.and_with(mine);
  }

  // u32 count, then with few the slots, with many the set. A disk format.
  void write(ByteWriter& out) const {
    out.u32(count_);
    if (count_ > kListMax) {
      set_->write(out.bytes());
    } else if (set_) {
      set_->for_each([&](uint32_t slot) { out.u32(slot); });
    } else if (list_) {
      out.raw(list_->data(), list_->size() * sizeof(uint32_t));
    } else if (count_ == 1) {
      out.u32(single_);
    }
  }
  // Into an empty posting; slots of `without` are left out.
  void read(ByteReader& in, const SlotSet& without) {
    const uint32_t count = in.u32();
    if (count <= kListMax) {
      for (uint32_t i = 0; i < count; ++i) {
        const uint32_t slot = in.u32();
        if (!without.contains(slot)) insert(slot);
      }
      return;
    }
    SlotSet set = SlotSet::read(in);
    if (set.count() != count) throw Error(ErrorKind::kDataLoss, "a posting cannot be read");
    set.and_not(without);
    count_ = static_cast<uint32_t>(set.count());
    if (count_ > 0) set_ = std::make_unique<SlotSet>(std::move(set));
  }

  size_t bytes() const {
    return sizeof(Posting) + (list_ ? sizeof(*list_) + list_->capacity() * sizeof(uint32_t) : 0) +
           (set_ ? sizeof(*set_) + set_->bytes() : 0);
  }

 private:
  // A bitmap costs about 100 bytes before its first slot.
  static constexpr size_t kListMax = 64;

  uint32_t count_ = 0;
  uint32_t single_ = 0;
  std::unique_ptr<std::vector<uint32_t>> list_;
  std::unique_ptr<SlotSet> set_;
};

}  // namespace sealpoint::filter
