// A set of slots as a Roaring bitmap: two bytes a slot where slots are sparse, one bit where they are dense. Postings
// and the algebra of filters live on it; a walk gets the dense form.
#pragma once
#include <roaring/roaring.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "../core/bitset.h"
#include "../core/bytes.h"

namespace sealpoint::filter {

// Reading is for any number of threads at a time; writing for one alone.
class SlotSet {
 public:
  SlotSet() = default;
  SlotSet(SlotSet&& other) noexcept : bitmap_(std::exchange(other.bitmap_, nullptr)) {}
  SlotSet& operator=(SlotSet&& other) noexcept {
    std::swap(bitmap_, other.bitmap_);
    return *this;
  }
  SlotSet(const SlotSet& other);
  SlotSet& operator=(const SlotSet& other) { return *this = SlotSet(other); }
  ~SlotSet() { clear(); }

  static SlotSet from(const Bitset& dense);
  // Any order, repetitions too; the list may be sorted on the way.
  static SlotSet from(std::vector<uint32_t>& slots);

  bool contains(uint32_t slot) const { return bitmap_ != nullptr && roaring_bitmap_contains(bitmap_, slot); }
  bool empty() const { return bitmap_ == nullptr || roaring_bitmap_is_empty(bitmap_); }
  uint64_t count() const { return bitmap_ == nullptr ? 0 : roaring_bitmap_get_cardinality(bitmap_); }
  uint64_t count_common(const SlotSet& other) const;
  void add(uint32_t slot);
  void remove(uint32_t slot);
  void clear();

  void and_with(const SlotSet& other);
  void or_with(const SlotSet& other);
  void and_not(const SlotSet& other);

  // The dense form's part of the algebra.
  void add_to(Bitset& dense) const;
  void remove_from(Bitset& dense) const;

  template <typename Visit>  // Visit(uint32_t slot), ascending
  void for_each(Visit visit) const {
    if (bitmap_ == nullptr) return;
    roaring_iterate(
        bitmap_,
        [](uint32_t slot, void* context) {
          (*static_cast<Visit*>(context))(slot);
          return true;
        },
        &visit);
  }
  // Bytes of heap.
  uint64_t bytes() const;

  // In CRoaring's portable format. A disk format.
  void write(std::string& out) const;
  static SlotSet read(ByteReader& in);

 private:
  roaring_bitmap_t* bitmap_ = nullptr;  // nullptr: empty
};

}  // namespace sealpoint::filter
