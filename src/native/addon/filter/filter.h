// Filters: the program that src/filter/encode.ts writes, its check against one payload, and payload indexes that turn
// it into a set of slots.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "../core/bitset.h"
#include "../core/point_id.h"

namespace sealpoint {

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
  virtual size_t slots() const = 0;        // upper bound of slots
  virtual const Bitset& live() const = 0;  // slots that hold a point
  // True when the key (canonical path) has a UUID index: Qdrant then compares its keywords as UUIDs, whatever their
  // spelling. Answer with PayloadIndexes::is_uuid_field, so that matches() and plan() agree.
  virtual bool is_uuid_field(std::string_view key) const {
    static_cast<void>(key);
    return false;
  }
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
  // False when the answer never depends on the payload (has_id, has_vector only).
  virtual bool needs_payload() const = 0;
};

struct FilterPlan {
  bool exact = false;  // true: `slots` is the answer; false: a superset whose payloads must be checked with matches()
  Bitset slots;
  size_t count = 0;  // bits in slots
};

struct FieldIndexInfo {
  std::string key;
  FieldType type;
  std::string params;   // opaque, echoed
  uint64_t points = 0;  // with at least one indexed value
  uint64_t bytes = 0;
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
  // One point, all indexes. `payload` is what the point held (erase) or holds now (insert).
  virtual void insert(uint32_t slot, std::string_view payload) = 0;
  virtual void erase(uint32_t slot, std::string_view payload) = 0;
  // One point, one index (while filling a new one).
  virtual void insert_into(const std::string& key, uint32_t slot, std::string_view payload) = 0;
  virtual FilterPlan plan(const Filter& filter, const FilterContext& context) const = 0;
  // True when a keyword or UUID index is marked `is_tenant`; group_of then tells which of its values a slot holds:
  // numbers from 1, 0 for a slot without one. Numbers hold as long as the index does.
  virtual bool has_groups() const = 0;
  virtual uint32_t group_of(uint32_t slot) const = 0;
};

}  // namespace sealpoint
