// The index of one payload field. It holds the values of its own type and remembers, per slot, what else stands at the
// key, so that a plan knows when its answer is the whole truth.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "../core/bitset.h"
#include "../payload/json_path.h"
#include "filter.h"
#include "tree.h"

namespace sealpoint::filter {

// What an index can say about a condition: `slots` holds every slot that fulfils it; when `exact`, no others (dead
// slots aside).
struct Answer {
  bool known = false;
  bool exact = false;
  Bitset slots;
};

class FieldIndex {
 public:
  static std::unique_ptr<FieldIndex> create(const payload::Path& path, FieldType type, bool grouped);
  virtual ~FieldIndex() = default;

  void insert(uint32_t slot, std::string_view payload);
  void erase(uint32_t slot, std::string_view payload);
  // Slots where is_empty does not hold.
  const Bitset& filled() const { return filled_; }
  // Any condition with a key but is_empty, values_count and nested.
  Answer ask(const Condition& condition) const;

  // Of an index made `grouped`: slots with one value have one number, from 1; 0: none.
  virtual uint32_t group_of(uint32_t slot) const {
    static_cast<void>(slot);
    return 0;
  }

  uint64_t points() const { return points_; }
  uint64_t bytes() const;

 protected:
  explicit FieldIndex(const payload::Path& path) : path_(path) {}

  // Collects the values of one payload; true when the value is of this index's type.
  virtual bool collect(const payload::Value& value) = 0;
  // Moves what was collected into (or out of) the postings of a slot; gives the number of distinct values.
  virtual size_t apply(uint32_t slot, bool insert) = 0;
  virtual Answer ask_typed(const Condition& condition) const = 0;
  virtual uint64_t typed_bytes() const = 0;

  // Slots with a value that is not null: what `except` can at most give.
  Bitset any_value() const;
  // `union_of_listed` holds the slots with a listed value; exact unless a slot has listed and other values at once.
  Answer except(const Bitset& union_of_listed) const;

  payload::Path path_;
  Bitset held_;             // a value of this type
  Bitset multi_;            // more than one distinct value of this type
  Bitset foreign_;          // a value of another type, null aside
  Bitset foreign_numbers_;  // a number that this index does not hold
  Bitset filled_;           // not empty in the sense of is_empty
  Bitset nulls_;            // null in the sense of is_null

 private:
  struct Traits {
    bool held = false, foreign = false, foreign_number = false, filled = false, null = false;
  };
  Traits read(std::string_view payload);

  uint64_t points_ = 0;
};

}  // namespace sealpoint::filter
