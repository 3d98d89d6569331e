// The index of one payload field. It holds the values of its own type and remembers, per slot, what else stands at the
// key, so that a plan knows when its answer is the whole truth.
#pragma once
#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "../payload/json_path.h"
#include "cardinality.h"
#include "filter.h"
#include "slot_set.h"
#include "text_field.h"
#include "tree.h"
#include "values.h"

namespace sealpoint::filter {

// What an index can say about a condition: `slots` holds every slot that fulfils it, or with `negated` all live slots
// but those; when `exact`, no others.
struct Answer {
  bool known = false;
  bool exact = false;
  bool negated = false;
  SlotSet slots;
};

inline Answer exactly(SlotSet slots) { return Answer{true, true, false, std::move(slots)}; }
inline Answer at_most(SlotSet slots) { return Answer{true, false, false, std::move(slots)}; }

// Some slots, in the forms that counting asks for.
struct FacetScope {
  explicit FacetScope(const Bitset& slots) : dense(slots), set(SlotSet::from(slots)) {}
  const Bitset& dense;
  SlotSet set;
};

// What the parameters of an index change in what it does. The text is protobuf's JSON, in which no text of a client's
// stands for these types.
struct IndexParams {
  bool tenant = false;  // is_tenant: slots with one value have one number
  bool lookup = true;   // an integer index that is asked for equal values
  bool range = true;    // an integer index that is asked for ranges
  bool prefix = false;  // a keyword index that keeps its values in order
  std::shared_ptr<const TextField> text;  // of a text index; without it, it knows only what is there
  static IndexParams parse(FieldType type, const std::string& params);
};

class FieldIndex {
 public:
  static std::unique_ptr<FieldIndex> create(const payload::Path& path, FieldType type, const IndexParams& params);
  virtual ~FieldIndex() = default;

  void insert(uint32_t slot, std::string_view payload);
  void erase(uint32_t slot, std::string_view payload);
  // Any condition with a key but nested ones. Those of absence (is_empty, values_count) speak of all of a point.
  Answer ask(const Condition& condition) const;
  // What ask() would give, from counts alone; false when it would know nothing.
  bool estimate(const Condition& condition, uint64_t live, Cardinality& out) const;
  // Values that ask() has to read one by one, about.
  virtual uint64_t cost(const Condition& condition) const {
    static_cast<void>(condition);
    return 0;
  }
  // Of an index with IndexParams::tenant: slots with one value have one number, from 1; 0: none.
  virtual uint32_t group_of(uint32_t slot) const {
    static_cast<void>(slot);
    return 0;
  }

  // Whether walk() tells anything: not of an index whose values have no order, nor of one that was told to answer no ranges.
  virtual bool is_ordered() const { return false; }
  virtual void walk(const OrderWalk& walk, const OrderVisit& visit) const {
    static_cast<void>(walk);
    static_cast<void>(visit);
  }
  // Likewise facet(): each value with the number of its slots `among` these (nullptr: all), zero too, in no order.
  virtual bool has_facets() const { return false; }
  virtual void facet(const FacetScope* among, const FacetVisit& visit) const {
    static_cast<void>(among);
    static_cast<void>(visit);
  }
  // Values that facet() goes through, about.
  virtual uint64_t facet_cost() const { return 0; }

  uint64_t points() const { return held_.count(); }
  uint64_t bytes() const;

  // The index as its next start reads it, and back, into a fresh one and without some slots. False for types without such a form. load() throws
  // for bytes that are cut short.
  bool save(std::string& out) const;
  bool load(ByteReader& in, const SlotSet& without);

 protected:
  explicit FieldIndex(const payload::Path& path) : path_(path) {}

  // Collects the values of one payload; true when the value is of this index's type.
  virtual bool collect(const payload::Value& value) = 0;
  // Moves what was collected into (or out of) the postings of a slot; gives the number of distinct values.
  virtual size_t apply(uint32_t slot, bool insert) = 0;
  virtual Answer ask_typed(const Condition& condition) const = 0;
  virtual bool estimate_typed(const Condition& condition, Cardinality& out) const = 0;
  virtual uint64_t typed_bytes() const = 0;
  virtual bool save_typed(ByteWriter& out) const {
    static_cast<void>(out);
    return false;
  }
  virtual bool load_typed(ByteReader& in, const SlotSet& without) {
    static_cast<void>(in);
    static_cast<void>(without);
    return false;
  }

  // Slots with a value that is not null: what `except` can at most give.
  SlotSet any_value() const;
  // `union_of_listed` holds the slots with a listed value; exact unless a slot has listed and other values at once.
  Answer except(const SlotSet& union_of_listed) const;
  Cardinality except(const Cardinality& listed) const;
  // Of `values` values in the index, among `size` in all.
  Cardinality of_values(uint64_t values, uint64_t size) const;

  payload::Path path_;
  SlotSet held_;             // a value of this type
  SlotSet multi_;            // more than one distinct value of this type
  SlotSet foreign_;          // a value of another type, null aside
  SlotSet foreign_numbers_;  // a number that this index does not hold
  SlotSet filled_;           // not empty in the sense of is_empty
  SlotSet nulls_;            // null in the sense of is_null

 private:
  // Of values_count: up to so many the slots of each count are known.
  static constexpr size_t kCountsMax = 16;
  struct Traits {
    bool held = false, foreign = false, foreign_number = false, filled = false, null = false, present = false;
    bool many = false;     // kCountsMax or more values
    uint32_t counts = 0;  // a bit for each lesser count
  };
  Traits read(std::string_view payload);
  Answer ask_count(const Range<uint64_t>& counts) const;

  SlotSet present_;  // the key is there, whatever its value
  SlotSet many_;
  std::array<SlotSet, kCountsMax> counts_;
};

// The text index that the server makes for itself, for is_empty, is_null and values_count: its parameters.
inline constexpr const char* kPresenceOnly = "presence";

std::unique_ptr<FieldIndex> make_geo_index(const payload::Path& path);
std::unique_ptr<FieldIndex> make_text_index(const payload::Path& path, std::shared_ptr<const TextField> field);
// `uuid`: values are compared as UUIDs.
std::unique_ptr<FieldIndex> make_keyword_index(const payload::Path& path, bool uuid, const IndexParams& params);

}  // namespace sealpoint::filter
