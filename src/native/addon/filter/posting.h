// The slots that hold one value. Most keywords of a collection stand in one point and a few in very many, so a posting
// changes its form as it grows: one slot in place, a sorted list, a bitset.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "../core/bitset.h"

namespace sealpoint::filter {

class Posting {
 public:
  uint32_t count() const { return count_; }

  void insert(uint32_t slot) {
    if (dense_) {
      if (dense_->test(slot)) return;
      dense_->set(slot);
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
      // A list entry is 32 bits, a bitset's is one: beyond a 32nd of all slots the bitset is smaller, and far faster to
      // combine.
      if (list_->size() >= kDenseMin && list_->size() > list_->back() / 32) {
        dense_ = std::make_unique<Bitset>();
        dense_->set(list_->back());
        for (const uint32_t entry : *list_) dense_->set(entry);
        list_.reset();
      }
    }
    ++count_;
  }

  void erase(uint32_t slot) {
    if (dense_) {
      if (!dense_->test(slot)) return;
      dense_->reset(slot);
      if (--count_ == 0) dense_.reset();
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

  void add_to(Bitset& set) const {
    if (dense_) {
      set.or_with(*dense_);
    } else if (list_) {
      for (const uint32_t slot : *list_) set.set(slot);
    } else if (count_ == 1) {
      set.set(single_);
    }
  }

  size_t bytes() const {
    return sizeof(Posting) + (list_ ? list_->capacity() * sizeof(uint32_t) : 0) +
           (dense_ ? dense_->words().capacity() * 8 : 0);
  }

 private:
  static constexpr size_t kDenseMin = 1024;

  uint32_t count_ = 0;
  uint32_t single_ = 0;
  std::unique_ptr<std::vector<uint32_t>> list_;
  std::unique_ptr<Bitset> dense_;
};

}  // namespace sealpoint::filter
