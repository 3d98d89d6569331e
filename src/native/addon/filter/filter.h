// Filters: the program that src/filter/encode.ts writes, its check against one payload, and payload indexes that turn
// it into a set of slots.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "../core/bitset.h"
#include "../core/point_id.h"
#include "cardinality.h"
#include "values.h"

namespace sealpoint {

namespace filter {
struct Condition;
class TextField;
using TextFields = std::map<std::string, std::shared_ptr<const TextField>, std::less<>>;
}

// The numbers are qdrant.FieldType's.
enum class FieldType : uint8_t {
  kKeyword = 0,
  kInteger = 1,
  kFloat = 2,
  kGeo = 3,
  kText = 4,
  kBool = 5,
  kDatetime = 6,
  kUuid = 7,
};

// What a filter may ask of a point beyond its payload.
class FilterContext {
 public:
  virtual ~FilterContext() = default;
  virtual bool has_vector(std::string_view name, uint32_t slot) const = 0;
  virtual bool slot_of(const PointId& id, uint32_t& slot) const = 0;
  virtual PointId id_of(uint32_t slot) const = 0;  // of a live one
  virtual size_t slots() const = 0;        // upper bound of slots
  virtual const Bitset& live() const = 0;  // slots that hold a point
  virtual uint64_t live_count() const { return live().count(); }
  // Live points with the vector; kUnknown: has_vector has to be asked.
  static constexpr uint64_t kUnknown = ~uint64_t{0};
  virtual uint64_t vector_count(std::string_view name) const {
    static_cast<void>(name);
    return kUnknown;
  }
  // True when the key (canonical path) has a UUID index: Qdrant then compares its keywords as UUIDs, whatever their
  // spelling. Answer with PayloadIndexes::is_uuid_field, so that matches() and plan() agree.
  virtual bool is_uuid_field(std::string_view key) const {
    static_cast<void>(key);
    return false;
  }
  // The fields with a text index, whose tokenizers decide what texts match; nullptr when there are none. Answer with
  // PayloadIndexes::text_fields.
  virtual const filter::TextFields* text_fields() const { return nullptr; }
};

struct FilterPoint {
  const PointId& id;
  uint32_t slot;
  std::string_view payload;
};

class Filter {
 public:
  virtual ~Filter() = default;
  // Decodes and checks a program; throws Error.
  static std::unique_ptr<Filter> decode(std::string_view program);
  // Qdrant's semantics, values inside arrays included (a condition holds when any element satisfies it).
  virtual bool matches(const FilterPoint& point, const FilterContext& context) const = 0;
  // Whether the point fulfils one condition of the filter, that of a plan's node.
  static bool fulfils(const filter::Condition& condition, const FilterPoint& point, const FilterContext& context);
  // False when the answer never depends on the payload (has_id, has_vector only).
  virtual bool needs_payload() const = 0;
};

// An index that a plan lacked: with it the condition would not have to be judged.
struct WantedIndex {
  std::string key;  // canonical
  FieldType type;
  bool operator==(const WantedIndex& other) const { return key == other.key && type == other.type; }
};

struct FilterPlan {
  bool exact = false;  // true: `slots` is the answer; false: a superset whose payloads must be checked with matches()
  Bitset slots;
  size_t count = 0;  // bits in slots
  bool temporary = false;  // a temporary index had a part in it
  std::vector<WantedIndex> wanted;
};

// What a plan did with one part of a filter, for Explain.
struct PlanNode {
  // The numbers are sealpoint.v1.PlanNode.Access's.
  enum class Access : uint8_t {
    kParts = 1,           // made of its children
    kIndex = 2,           // an index of the field
    kTemporaryIndex = 3,  // an index that the server made for itself
    kIds = 4,             // the table of ids
    kVectors = 5,         // the vectors' own records
    kJudged = 6,          // no index knows it: payloads are read
    kFew = 7,             // an index knows it, but so few candidates were left that reading their payloads costs less
  };
  const char* what = "";  // must, should, must_not, min_should, filter, match, range...
  std::string key;
  Access access = Access::kParts;
  FieldType type = FieldType::kKeyword;  // of the index
  bool exact = true;                     // `slots` are the ones that fulfil it, not just a superset
  Cardinality estimate;
  uint64_t slots = 0;
  const filter::Condition* condition = nullptr;  // while the filter lives; nullptr for the lists of conditions
  bool nested = false;                           // within a nested filter: it speaks of elements, not of points
  std::vector<PlanNode> children;
};

struct FieldIndexInfo {
  std::string key;
  FieldType type;
  std::string params;   // opaque, echoed
  uint64_t points = 0;  // with at least one indexed value
  uint64_t bytes = 0;
};

struct TemporaryIndexInfo {
  std::string key;
  FieldType type;
  uint64_t points = 0;
  uint64_t bytes = 0;
  int64_t used_ms = 0;  // steady clock
};

// An index on its way: filled by one thread, beside all readers and writers.
class FieldIndexBuild {
 public:
  virtual ~FieldIndexBuild() = default;
  virtual void insert(uint32_t slot, std::string_view payload) = 0;
  virtual void erase(uint32_t slot, std::string_view payload) = 0;
  virtual uint64_t bytes() const = 0;
  // Each value with the number of its slots.
  virtual void facet(const FacetVisit& visit) const = 0;
  // What PayloadIndexes::save wrote of an index of the same field, but for the slots of `without`. False when it cannot be read; the build is of no
  // use then.
  virtual bool load(std::string_view saved, const Bitset& without) = 0;
};

// The payload indexes of one collection, in memory, derived from the payloads. Locking is the caller's:
// plan/infos/estimate under a shared lock, the others exclusive.
class PayloadIndexes {
 public:
  static std::unique_ptr<PayloadIndexes> create();
  virtual ~PayloadIndexes() = default;
  virtual void add_index(const std::string& key, FieldType type,
                         const std::string& params) = 0;  // empty; the caller refills by insert_into
  virtual bool drop_index(const std::string& key) = 0;
  virtual bool has_index(const std::string& key) const = 0;
  virtual std::vector<FieldIndexInfo> infos() const = 0;
  virtual bool empty() const = 0;
  virtual bool is_uuid_field(std::string_view key) const = 0;  // for FilterContext
  virtual std::vector<std::string> uuid_fields() const = 0;    // canonical
  virtual std::shared_ptr<const filter::TextFields> text_fields() const = 0;  // nullptr when there are none
  // One point, all indexes. `payload` is what the point held (erase) or holds now (insert).
  virtual void insert(uint32_t slot, std::string_view payload) = 0;
  virtual void erase(uint32_t slot, std::string_view payload) = 0;
  // One point, one index (while filling a new one).
  virtual void insert_into(const std::string& key, uint32_t slot, std::string_view payload) = 0;
  // `explain`, when given, tells how it came about.
  virtual FilterPlan plan(const Filter& filter, const FilterContext& context, PlanNode* explain = nullptr) const = 0;

  static std::unique_ptr<FieldIndexBuild> begin(const std::string& key, FieldType type, const std::string& params);
  // A build that is up to date becomes the index of its key, or with `temporary` one of those that the collection made
  // for itself: those are told by temporaries() and not by infos().
  virtual void adopt(std::unique_ptr<FieldIndexBuild> build, bool temporary) = 0;
  virtual std::vector<TemporaryIndexInfo> temporaries() const = 0;
  virtual bool drop_temporary(const std::string& key, FieldType type) = 0;
  // Appends all of an index that its field's next start needs; false when there is none, or its type has no such form.
  virtual bool save(const std::string& key, FieldType type, const std::string& params, std::string& out) const = 0;
  // The field has an index that is not there yet: what it says of its field's type holds already.
  virtual void expect_index(const std::string& key, FieldType type, const std::string& params) = 0;

  // True when a keyword or UUID index is marked `is_tenant`; group_of then tells which of its values a slot holds:
  // numbers from 1, 0 for a slot without one. Numbers hold as long as the index does.
  virtual bool has_groups() const = 0;
  virtual uint32_t group_of(uint32_t slot) const = 0;

  // Values that many points share make blocks: of keyword and UUID indexes that are marked `is_tenant`, or (`all`) of all of these and of integer ones.
  // A hash of the fields; 0: there are none.
  virtual uint64_t block_fields(bool all) const = 0;
  // Visits the slots, ascending, of each value of the field of that number that has at least `min`. False when there is no such field.
  virtual bool blocks(bool all, size_t field, size_t min, const std::function<void(std::vector<uint32_t> slots)>& visit) const = 0;

  // Of the indexes that were asked for: temporary ones come and go.
  virtual bool is_ordered(const std::string& key) const = 0;
  // Values in order, equal ones by slot, against it when descending.
  virtual void walk(const std::string& key, const OrderWalk& walk, const OrderVisit& visit) const = 0;
  virtual bool has_facets(const std::string& key) const = 0;
  // Each value with the number of its slots in `among` (nullptr: all), which may be 0; in no order.
  virtual void facet(const std::string& key, const Bitset* among, const FacetVisit& visit) const = 0;
  // An empty index like the key's, for when `points` are so few against its values that counting theirs costs less; nullptr otherwise.
  virtual std::unique_ptr<FieldIndexBuild> begin_facet(const std::string& key, uint64_t points) const = 0;
};

}  // namespace sealpoint
