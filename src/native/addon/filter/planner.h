// A filter's tree turned into a set of slots through the indexes.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "field_index.h"
#include "filter.h"
#include "tree.h"

namespace sealpoint::filter {

struct IndexEntry {
  std::string key;  // as it was given
  FieldType type;
  std::string params;
  bool tenant = false;
  std::unique_ptr<FieldIndex> index;
  std::shared_ptr<const TextField> text = nullptr;  // of a text index
};

struct TemporaryIndex {
  std::unique_ptr<FieldIndex> index;
  mutable std::atomic<int64_t> used_ms{0};
};

using IndexMap = std::map<std::string, IndexEntry, std::less<>>;  // by canonical path
using TemporaryMap = std::map<std::pair<std::string, FieldType>, TemporaryIndex>;

int64_t steady_ms();
const char* name_of(ConditionKind kind);
bool of_text(ConditionKind kind);
FieldType type_for(ConditionKind kind);

// Made for one plan.
class Planner {
 public:
  Planner(const IndexMap& indexes, const TemporaryMap& temporaries, const FilterContext& context)
      : indexes_(indexes), temporaries_(temporaries), context_(context), live_(context.live_count()) {}

  FilterPlan plan(const FilterTree& tree, PlanNode* explain);

 private:
  // A superset of the slots that fulfil a part of the filter: `slots`, or with `negated` all live ones but those.
  struct Part {
    bool negated = true;
    bool exact = true;
    SlotSet slots;
    bool all() const { return negated && slots.empty(); }
    bool none() const { return !negated && slots.empty(); }
  };
  struct Found {
    const FieldIndex* index = nullptr;
    FieldType type = FieldType::kKeyword;
    const TemporaryIndex* temporary = nullptr;
  };

  static void intersect(Part& into, Part&& other);
  static void unite(Part& into, Part&& other);
  uint64_t count(const Part& part) const;

  Part filter(const FilterTree& tree, const payload::Path* prefix, PlanNode* node);
  Part all_of(const std::vector<Condition>& conditions, const payload::Path* prefix, PlanNode* node);
  Part any_of(const std::vector<Condition>& conditions, const payload::Path* prefix, PlanNode* node);
  Part min_should(const FilterTree& tree, const payload::Path* prefix, PlanNode* node);
  Part condition(const Condition& condition, const payload::Path* prefix, PlanNode* node);
  Part field(const Condition& condition, const payload::Path* prefix, PlanNode* node);
  Part with_vector(const Condition& condition, const Part* candidates) const;
  Part in_slice(const Condition& condition, const Part* candidates) const;
  Found find(const Condition& condition, const std::string& key) const;
  void want(const Condition& condition, const std::string& key);

  Cardinality estimate(const FilterTree& tree, const payload::Path* prefix) const;
  Cardinality estimate(const Condition& condition, const payload::Path* prefix) const;
  uint64_t cost(const Condition& condition, const payload::Path* prefix) const;
  std::string key_of(const Condition& condition, const payload::Path* prefix) const {
    return prefix == nullptr ? condition.key : prefix->extend(condition.path).canonical();
  }

  const IndexMap& indexes_;
  const TemporaryMap& temporaries_;
  const FilterContext& context_;
  const uint64_t live_;
  bool temporary_ = false;
  std::vector<WantedIndex> wanted_;
};

}  // namespace sealpoint::filter
