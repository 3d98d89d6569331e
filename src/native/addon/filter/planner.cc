// PayloadIndexes, and the plan: a filter's tree turned into a set of slots through them.
#include <map>
#include <utility>

#include "../core/status.h"
#include "field_index.h"
#include "tree.h"

namespace sealpoint::filter {
namespace {

// core/limits.ts: fieldIndexesPerCollectionMax.
constexpr size_t kIndexesMax = 256;

struct IndexEntry {
  std::string key;  // as it was given
  FieldType type;
  std::string params;
  std::unique_ptr<FieldIndex> index;
  bool tenant = false;
};

using IndexMap = std::map<std::string, IndexEntry, std::less<>>;  // by canonical path

// A superset of the slots that fulfil a part of the filter. `all`: every live slot, and `slots` is unused.
struct Part {
  bool all = true;
  bool exact = false;
  Bitset slots;
};

class Planner {
 public:
  Planner(const IndexMap& indexes, const FilterContext& context) : indexes_(indexes), context_(context) {}

  FilterPlan plan(const FilterTree& tree) {
    Part part = filter(tree, nullptr);
    FilterPlan plan;
    plan.exact = part.exact;
    plan.slots = narrowed(std::move(part));
    plan.count = plan.slots.count();
    if (plan.count == 0) plan.exact = true;  // a superset without members is the answer
    return plan;
  }

 private:
  Bitset narrowed(Part part) const {
    if (part.all) return context_.live();
    part.slots.and_with(context_.live());
    return std::move(part.slots);
  }

  static void intersect(Part& into, Part&& other) {
    into.exact = into.exact && other.exact;
    if (other.all) return;
    if (into.all) {
      into.all = false;
      into.slots = std::move(other.slots);
    } else {
      into.slots.and_with(other.slots);
    }
  }

  static void unite(Part& into, Part&& other) {
    into.exact = into.exact && other.exact;
    if (into.all) return;
    if (other.all) {
      into.all = true;
      into.slots = Bitset();
    } else {
      into.slots.or_with(other.slots);
    }
  }

  // `prefix` is the array path of the nested filter that the tree stands in; what is planned there is never exact,
  // because the index does not know which values stand in one element.
  Part filter(const FilterTree& tree, const payload::Path* prefix) {
    Part out{true, true, {}};
    for (const Condition& condition : tree.must) {
      if (condition.kind != ConditionKind::kHasVector) intersect(out, this->condition(condition, prefix));
    }
    if (!tree.should.empty()) intersect(out, any_of(tree.should, prefix));
    if (tree.has_min_should) intersect(out, min_should(tree, prefix));
    for (const Condition& condition : tree.must_not) {
      Part part = this->condition(condition, prefix);
      if (!part.exact) {
        out.exact = false;
        continue;
      }
      if (out.all) {
        out.all = false;
        out.slots = context_.live();
      }
      if (part.all) {
        out.slots = Bitset();
      } else {
        out.slots.and_not(part.slots);
      }
    }
    // Last, because each slot is asked: by now few may be left.
    for (const Condition& condition : tree.must) {
      if (condition.kind != ConditionKind::kHasVector) continue;
      if (prefix != nullptr) {
        out.exact = false;
        continue;
      }
      out.slots = with_vector(condition, narrowed(std::move(out)));
      out.all = false;
    }
    if (prefix != nullptr) out.exact = false;
    return out;
  }

  Part any_of(const std::vector<Condition>& conditions, const payload::Path* prefix) {
    Part out{false, true, {}};
    for (const Condition& condition : conditions) unite(out, this->condition(condition, prefix));
    return out;
  }

  Part min_should(const FilterTree& tree, const payload::Path* prefix) {
    if (tree.min_count == 0) return {true, true, {}};
    if (tree.min_count > tree.min_should.size()) return {false, true, {}};
    if (tree.min_count == tree.min_should.size()) {
      Part out{true, true, {}};
      for (const Condition& condition : tree.min_should) intersect(out, this->condition(condition, prefix));
      return out;
    }
    Part out = any_of(tree.min_should, prefix);
    out.exact = out.exact && tree.min_count == 1;
    return out;
  }

  Part condition(const Condition& condition, const payload::Path* prefix) {
    switch (condition.kind) {
      case ConditionKind::kFilter:
        return filter(*condition.inner, prefix);
      case ConditionKind::kNested: {
        const payload::Path path = (prefix == nullptr ? condition.path : prefix->extend(condition.path)).array_key();
        return filter(*condition.inner, &path);
      }
      case ConditionKind::kHasId: {
        if (prefix != nullptr) return {};
        Part out{false, true, {}};
        uint32_t slot;
        for (const PointId& id : condition.ids) {
          if (context_.slot_of(id, slot)) out.slots.set(slot);
        }
        return out;
      }
      case ConditionKind::kHasVector:
        if (prefix != nullptr) return {};
        return {false, true, with_vector(condition, context_.live())};
      default:
        return field(condition, prefix);
    }
  }

  Part field(const Condition& condition, const payload::Path* prefix) const {
    // An element without the key fulfils these, and leaves no trace in an index.
    const bool of_absence = condition.kind == ConditionKind::kIsEmpty || condition.kind == ConditionKind::kValuesCount;
    if (prefix != nullptr && of_absence) return {};
    const auto at = indexes_.find(prefix == nullptr ? condition.key : prefix->extend(condition.path).canonical());
    if (at == indexes_.end()) return {};
    if (condition.kind == ConditionKind::kIsEmpty) {
      Part out{false, true, context_.live()};
      out.slots.and_not(at->second.index->filled());
      return out;
    }
    Answer answer = at->second.index->ask(condition);
    if (!answer.known) return {};
    return {false, answer.exact && prefix == nullptr, std::move(answer.slots)};
  }

  Bitset with_vector(const Condition& condition, const Bitset& candidates) const {
    Bitset slots;
    candidates.for_each([&](uint32_t slot) {
      if (context_.has_vector(condition.vector_name, slot)) slots.set(slot);
    });
    return slots;
  }

  const IndexMap& indexes_;
  const FilterContext& context_;
};

class Indexes final : public PayloadIndexes {
 public:
  void add_index(const std::string& key, FieldType type, const std::string& params) override {
    const payload::Path path = payload::Path::parse(key, "field_name");
    const std::string canonical = path.canonical();
    if (indexes_.size() >= kIndexesMax && indexes_.find(canonical) == indexes_.end()) {
      throw Error(ErrorKind::kBadInput, "a collection can have " + std::to_string(kIndexesMax) + " payload indexes",
                  "field_name");
    }
    // protobuf's JSON, in which no text of a client's stands for these types.
    const bool tenant = (type == FieldType::kKeyword || type == FieldType::kUuid) &&
                        params.find("\"isTenant\":true") != std::string::npos;
    indexes_[canonical] = IndexEntry{key, type, params, FieldIndex::create(path, type, tenant), tenant};
    find_groups();
  }
  bool drop_index(const std::string& key) override {
    const auto at = find(key);
    if (at == indexes_.end()) return false;
    indexes_.erase(at);
    find_groups();
    return true;
  }
  bool has_index(const std::string& key) const override {
    return indexes_.find(payload::Path::parse(key, "field_name").canonical()) != indexes_.end();
  }
  std::vector<FieldIndexInfo> infos() const override {
    std::vector<FieldIndexInfo> infos;
    for (const auto& [canonical, entry] : indexes_) {
      infos.push_back({entry.key, entry.type, entry.params, entry.index->points(), entry.index->bytes()});
    }
    return infos;
  }
  bool empty() const override { return indexes_.empty(); }
  bool is_uuid_field(std::string_view key) const override {
    const auto at = indexes_.find(key);
    return at != indexes_.end() && at->second.type == FieldType::kUuid;
  }
  void insert(uint32_t slot, std::string_view payload) override {
    for (auto& [canonical, entry] : indexes_) entry.index->insert(slot, payload);
  }
  void erase(uint32_t slot, std::string_view payload) override {
    for (auto& [canonical, entry] : indexes_) entry.index->erase(slot, payload);
  }
  void insert_into(const std::string& key, uint32_t slot, std::string_view payload) override {
    const auto at = find(key);
    if (at != indexes_.end()) at->second.index->insert(slot, payload);
  }
  FilterPlan plan(const Filter& filter, const FilterContext& context) const override {
    const auto* program = dynamic_cast<const FilterProgram*>(&filter);
    if (program == nullptr) throw Error(ErrorKind::kInternal, "a filter that is no program cannot be planned");
    return Planner(indexes_, context).plan(program->tree());
  }
  bool has_groups() const override { return groups_ != nullptr; }
  uint32_t group_of(uint32_t slot) const override { return groups_ == nullptr ? 0 : groups_->group_of(slot); }

 private:
  IndexMap::iterator find(const std::string& key) {
    return indexes_.find(payload::Path::parse(key, "field_name").canonical());
  }

  // With several tenants' indexes the first by name counts.
  void find_groups() {
    const auto at =
        std::find_if(indexes_.begin(), indexes_.end(), [](const auto& entry) { return entry.second.tenant; });
    groups_ = at == indexes_.end() ? nullptr : at->second.index.get();
  }

  IndexMap indexes_;
  const FieldIndex* groups_ = nullptr;
};

}  // namespace
}  // namespace sealpoint::filter

namespace sealpoint {

std::unique_ptr<PayloadIndexes> PayloadIndexes::create() { return std::make_unique<filter::Indexes>(); }

}  // namespace sealpoint
