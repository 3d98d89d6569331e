// PayloadIndexes: the indexes of one collection, those that were asked for and those that it made for itself.
#include <utility>

#include "../core/bytes.h"
#include "../core/status.h"
#include "planner.h"

namespace sealpoint::filter {
namespace {

// core/limits.ts: fieldIndexesPerCollectionMax.
constexpr size_t kIndexesMax = 256;
// To read one payload from the store takes the time in which a facet counts so many values.
constexpr uint64_t kValuesPerPayload = 50;

class Build final : public FieldIndexBuild {
 public:
  Build(const std::string& key, FieldType type, const std::string& params) {
    const payload::Path path = payload::Path::parse(key, "field_name");
    canonical = path.canonical();
    const IndexParams parsed = IndexParams::parse(type, params);
    entry = IndexEntry{key, type, params, parsed.tenant, FieldIndex::create(path, type, parsed), parsed.text};
  }
  void insert(uint32_t slot, std::string_view payload) override { entry.index->insert(slot, payload); }
  void erase(uint32_t slot, std::string_view payload) override { entry.index->erase(slot, payload); }
  uint64_t bytes() const override { return entry.index->bytes(); }
  void facet(const FacetVisit& visit) const override { entry.index->facet(nullptr, visit); }
  bool load(std::string_view saved, const Bitset& without) override {
    try {
      ByteReader in(saved);
      return entry.index->load(in, SlotSet::from(without)) && in.done();
    } catch (const Error&) {
      return false;
    }
  }

  std::string canonical;
  IndexEntry entry;
};

class Indexes final : public PayloadIndexes {
 public:
  void add_index(const std::string& key, FieldType type, const std::string& params) override {
    adopt(std::make_unique<Build>(key, type, params), false);
  }
  bool drop_index(const std::string& key) override {
    expected_.erase(payload::Path::parse(key, "field_name").canonical());
    const auto at = find(key);
    if (at == indexes_.end()) {
      changed();
      return false;
    }
    indexes_.erase(at);
    changed();
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
  bool empty() const override { return indexes_.empty() && temporaries_.empty(); }
  bool is_uuid_field(std::string_view key) const override {
    const auto at = indexes_.find(key);
    return at == indexes_.end() ? expects_uuids(key) : at->second.type == FieldType::kUuid;
  }
  std::vector<std::string> uuid_fields() const override {
    std::vector<std::string> keys;
    for (const auto& [canonical, entry] : indexes_) {
      if (entry.type == FieldType::kUuid) keys.push_back(canonical);
    }
    for (const auto& [canonical, entry] : expected_) {
      if (entry.type == FieldType::kUuid && !indexes_.contains(canonical)) keys.push_back(canonical);
    }
    return keys;
  }
  std::shared_ptr<const TextFields> text_fields() const override { return texts_; }
  bool save(const std::string& key, FieldType type, const std::string& params, std::string& out) const override {
    const auto at = indexes_.find(payload::Path::parse(key, "field_name").canonical());
    return at != indexes_.end() && at->second.type == type && at->second.params == params && at->second.index->save(out);
  }
  void expect_index(const std::string& key, FieldType type, const std::string& params) override {
    Build build(key, type, params);
    build.entry.index.reset();
    expected_[build.canonical] = std::move(build.entry);
    changed();
  }
  void insert(uint32_t slot, std::string_view payload) override {
    for (auto& [canonical, entry] : indexes_) entry.index->insert(slot, payload);
    for (auto& [key, temporary] : temporaries_) temporary.index->insert(slot, payload);
  }
  void erase(uint32_t slot, std::string_view payload) override {
    for (auto& [canonical, entry] : indexes_) entry.index->erase(slot, payload);
    for (auto& [key, temporary] : temporaries_) temporary.index->erase(slot, payload);
  }
  void insert_into(const std::string& key, uint32_t slot, std::string_view payload) override {
    const auto at = find(key);
    if (at != indexes_.end()) at->second.index->insert(slot, payload);
  }
  FilterPlan plan(const Filter& filter, const FilterContext& context, PlanNode* explain) const override {
    const auto* program = dynamic_cast<const FilterProgram*>(&filter);
    if (program == nullptr) throw Error(ErrorKind::kInternal, "a filter that is no program cannot be planned");
    return Planner(indexes_, temporaries_, context).plan(program->tree(), explain);
  }
  bool has_groups() const override { return groups_ != nullptr; }
  uint32_t group_of(uint32_t slot) const override { return groups_ == nullptr ? 0 : groups_->group_of(slot); }

  uint64_t block_fields(bool all) const override {
    uint64_t hash = 0;
    for (const auto& [canonical, entry] : indexes_) {
      if (!makes_blocks(entry, all)) continue;
      if (hash == 0) hash = 0xcbf29ce484222325;
      // FNV-1a, because it stands in files.
      for (const char c : canonical + '\0' + static_cast<char>(entry.type)) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
    }
    return hash;
  }
  bool blocks(bool all, size_t field, size_t min, const std::function<void(std::vector<uint32_t> slots)>& visit) const override {
    for (const auto& [canonical, entry] : indexes_) {
      if (!makes_blocks(entry, all)) continue;
      if (field-- > 0) continue;
      visit_blocks(entry, min, visit);
      return true;
    }
    return false;
  }

  bool is_ordered(const std::string& key) const override {
    const auto at = find(key);
    return at != indexes_.end() && at->second.index->is_ordered();
  }
  void walk(const std::string& key, const OrderWalk& walk, const OrderVisit& visit) const override {
    const auto at = find(key);
    if (at != indexes_.end()) at->second.index->walk(walk, visit);
  }
  bool has_facets(const std::string& key) const override {
    const auto at = find(key);
    return at != indexes_.end() && at->second.index->has_facets();
  }
  void facet(const std::string& key, const Bitset* among, const FacetVisit& visit) const override {
    const auto at = find(key);
    if (at == indexes_.end()) return;
    if (among == nullptr) {
      at->second.index->facet(nullptr, visit);
    } else {
      const FacetScope scope(*among);
      at->second.index->facet(&scope, visit);
    }
  }
  std::unique_ptr<FieldIndexBuild> begin_facet(const std::string& key, uint64_t points) const override {
    const auto at = find(key);
    if (at == indexes_.end() || points * kValuesPerPayload > at->second.index->facet_cost()) return nullptr;
    return std::make_unique<Build>(at->second.key, at->second.type, at->second.params);
  }

  void adopt(std::unique_ptr<FieldIndexBuild> given, bool temporary) override {
    auto& build = dynamic_cast<Build&>(*given);
    if (temporary) {
      TemporaryIndex& entry = temporaries_[{build.canonical, build.entry.type}];
      entry.index = std::move(build.entry.index);
      entry.used_ms = steady_ms();
      return;
    }
    if (indexes_.size() >= kIndexesMax && indexes_.find(build.canonical) == indexes_.end()) {
      throw Error(ErrorKind::kBadInput, "a collection can have " + std::to_string(kIndexesMax) + " payload indexes",
                  "field_name");
    }
    // Its own temporary one has nothing more to answer.
    temporaries_.erase({build.canonical, build.entry.type});
    expected_.erase(build.canonical);
    indexes_[build.canonical] = std::move(build.entry);
    changed();
  }
  std::vector<TemporaryIndexInfo> temporaries() const override {
    std::vector<TemporaryIndexInfo> infos;
    for (const auto& [key, temporary] : temporaries_) {
      infos.push_back({key.first, key.second, temporary.index->points(), temporary.index->bytes(), temporary.used_ms});
    }
    return infos;
  }
  bool drop_temporary(const std::string& key, FieldType type) override { return temporaries_.erase({key, type}) != 0; }

 private:
  IndexMap::iterator find(const std::string& key) {
    return indexes_.find(payload::Path::parse(key, "field_name").canonical());
  }
  IndexMap::const_iterator find(const std::string& key) const {
    return indexes_.find(payload::Path::parse(key, "key").canonical());
  }
  void changed() {
    auto texts = std::make_shared<TextFields>();
    for (const auto& [canonical, entry] : indexes_) {
      if (entry.text != nullptr) texts->emplace(canonical, entry.text);
    }
    for (const auto& [canonical, entry] : expected_) {
      if (entry.text != nullptr) texts->emplace(canonical, entry.text);
    }
    texts_ = texts->empty() ? nullptr : std::move(texts);
    find_groups();
  }
  bool expects_uuids(std::string_view key) const {
    const auto at = expected_.find(key);
    return at != expected_.end() && at->second.type == FieldType::kUuid;
  }
  static bool makes_blocks(const IndexEntry& entry, bool all) {
    if (!all) return entry.tenant;
    return entry.type == FieldType::kKeyword || entry.type == FieldType::kUuid || entry.type == FieldType::kInteger;
  }
  static void visit_blocks(const IndexEntry& entry, size_t min, const std::function<void(std::vector<uint32_t> slots)>& visit) {
    // A field with so many values is not one that few of them share.
    constexpr uint64_t kBlockValuesMax = 100'000;
    const FieldIndex& index = *entry.index;
    if (index.facet_cost() > kBlockValuesMax) return;
    std::vector<Condition> conditions;
    index.facet(nullptr, [&](const FacetValue& value, uint64_t count) {
      if (count < min) return;
      Condition& condition = conditions.emplace_back();
      if (value.kind == FacetValue::Kind::kInteger) {
        condition.kind = ConditionKind::kMatchInteger;
        condition.integers = {value.integer};
      } else {
        condition.kind = ConditionKind::kMatchKeyword;
        condition.keywords = condition.uuids = {std::string(value.text)};
      }
    });
    for (const Condition& condition : conditions) {
      const Answer answer = index.ask(condition);
      if (!answer.known || answer.negated) continue;
      std::vector<uint32_t> slots;
      slots.reserve(answer.slots.count());
      answer.slots.for_each([&](uint32_t slot) { slots.push_back(slot); });
      visit(std::move(slots));
    }
  }
  // With several tenants' indexes the first by name counts.
  void find_groups() {
    const auto at =
        std::find_if(indexes_.begin(), indexes_.end(), [](const auto& entry) { return entry.second.tenant; });
    groups_ = at == indexes_.end() ? nullptr : at->second.index.get();
  }

  IndexMap indexes_;
  TemporaryMap temporaries_;
  IndexMap expected_;  // without the indexes themselves, which are on their way
  const FieldIndex* groups_ = nullptr;
  std::shared_ptr<const TextFields> texts_;  // made anew with each change, since reads keep theirs
};

}  // namespace
}  // namespace sealpoint::filter

namespace sealpoint {

std::unique_ptr<PayloadIndexes> PayloadIndexes::create() { return std::make_unique<filter::Indexes>(); }

std::unique_ptr<FieldIndexBuild> PayloadIndexes::begin(const std::string& key, FieldType type, const std::string& params) {
  return std::make_unique<filter::Build>(key, type, params);
}

}  // namespace sealpoint
