// What a read sees: the snapshot of the moment it began and the plan of its filter. Filters are planned under the shared lock, where the indexes are;
// what the plan leaves open is judged on the payloads of the snapshot, without any lock.
#pragma once
#include <algorithm>

#include "collection.h"

namespace sealpoint {

inline rocksdb::ReadOptions at(const rocksdb::Snapshot* snapshot) {
  rocksdb::ReadOptions options;
  options.snapshot = snapshot;
  options.total_order_seek = true;
  return options;
}

inline PointId id_of_key(rocksdb::Slice key) {
  std::string_view bytes = key.ToStringView();
  bytes.remove_prefix(4);
  PointId id;
  if (!PointId::parse_key(bytes, id)) throw Error(ErrorKind::kDataLoss, "a point's key in the store is damaged");
  return id;
}

// A filter's view of the state; only while the shared lock is held.
class Collection::LockedContext : public FilterContext {
 public:
  explicit LockedContext(const Collection& collection) : collection_(collection), texts_(collection.indexes_->text_fields()) {}
  bool has_vector(std::string_view name, uint32_t slot) const override {
    const int vector = collection_.vector_number(name);
    return vector >= 0 && slot < collection_.vector_versions_[static_cast<size_t>(vector)].size() &&
           collection_.vector_versions_[static_cast<size_t>(vector)][slot] != 0;
  }
  bool slot_of(const PointId& id, uint32_t& slot) const override {
    slot = collection_.ids_.find(id);
    return slot != IdTable::kNone;
  }
  PointId id_of(uint32_t slot) const override { return collection_.ids_.id(slot); }
  size_t slots() const override { return collection_.ids_.slots(); }
  const Bitset& live() const override { return collection_.ids_.live(); }
  uint64_t live_count() const override { return collection_.ids_.size(); }
  uint64_t vector_count(std::string_view name) const override {
    const int vector = collection_.vector_number(name);
    if (vector < 0) return 0;
    const auto number = static_cast<size_t>(vector);
    if (collection_.record_.vectors[number].sparse) return collection_.sparse_[number].live();
    if (collection_.record_.vectors[number].multi) return kUnknown;
    return collection_.vectors_[number]->stats().live;
  }
  bool is_uuid_field(std::string_view key) const override { return collection_.indexes_->is_uuid_field(key); }
  const filter::TextFields* text_fields() const override { return texts_.get(); }

 private:
  const Collection& collection_;
  const std::shared_ptr<const filter::TextFields> texts_;
};

// What a read saw when it began.
struct Collection::View {
  Snapshot snapshot;
  uint64_t operation = 0;
  bool filtered = false;
  bool exact = true;  // of `slots`
  std::shared_ptr<const Bitset> mask;  // when filtered: the matches, or a superset of them
  size_t count = 0;
  PlanCache::State state;  // that the plan was made in
  const Bitset& slots() const { return *mask; }
  std::vector<std::string> vector_names;
  std::vector<std::string> uuid_fields;  // keys with a uuid index, which compares by value; canonical
  std::shared_ptr<const filter::TextFields> text_fields;
  std::vector<PointId> ids;  // of `slots`, ascending slot, when the view was opened with ids
};

// A filter's view of one point of the snapshot.
class Collection::SnapshotContext : public FilterContext {
 public:
  SnapshotContext(const Collection& collection, const View& view) : collection_(collection), view_(view) {}
  void point(const PointId& id) {
    id_ = &id;
    loaded_ = false;
  }
  void point(const PointId& id, const PointRecord& record) {
    id_ = &id;
    record_ = record;
    loaded_ = true;
  }
  bool has_vector(std::string_view name, uint32_t) const override {
    if (!loaded_) {
      std::string value;
      const auto status = collection_.store_.db().Get(at(view_.snapshot.get()), collection_.store_.points(),
                                                      Store::point_key(collection_.cid_, *id_), &value);
      if (status.IsNotFound()) return false;
      check(status, "cannot read a point");
      record_ = PointRecord::decode(value);
      loaded_ = true;
    }
    for (const auto& [vector, version] : record_.vectors) {
      if (vector < view_.vector_names.size() && view_.vector_names[vector] == name) return true;
    }
    return false;
  }
  bool slot_of(const PointId&, uint32_t&) const override { return false; }
  PointId id_of(uint32_t) const override { return *id_; }
  size_t slots() const override { return 0; }
  const Bitset& live() const override { return none_; }
  bool is_uuid_field(std::string_view key) const override {
    return std::find(view_.uuid_fields.begin(), view_.uuid_fields.end(), key) != view_.uuid_fields.end();
  }
  const filter::TextFields* text_fields() const override { return view_.text_fields.get(); }

 private:
  const Collection& collection_;
  const View& view_;
  const PointId* id_ = nullptr;
  mutable PointRecord record_;
  mutable bool loaded_ = false;
  Bitset none_;
};

}  // namespace sealpoint
