// Payload indexes of a collection: asked for or made for itself, filled from a snapshot beside the writes, dropped.
#include <algorithm>
#include <chrono>

#include "../filter/field_index.h"
#include "../payload/payload.h"
#include "collection.h"
#include "collection_view.h"
#include "index_filler.h"

namespace sealpoint {

namespace {

// Points that changed while an index caught up, at most, for the last of them to be taken in with the writers held: about a millisecond.
constexpr size_t kLastChangesMax = 64;
// Rounds of catching up; a load that outruns them all holds its writers for the last one.
constexpr int kRoundsMax = 24;
// Points between two looks at the budget and at whether to go on.
constexpr size_t kPointsPerLook = 4096;
// Candidates that a plan leaves to be judged, from which on an index is worth its making: at the second time, or at once.
constexpr size_t kWorthAgain = 2000;
constexpr size_t kWorthAtOnce = 50'000;
// Fields that a collection remembers as asked for, and how long it lets one be that did not fit the budget.
constexpr size_t kWantedMax = 256;
constexpr int64_t kRefusedMs = 10 * 60 * 1000;

// What a payload index takes for a point, roughly; booked exactly once it is filled.
constexpr uint64_t kIndexedPointBytes = 16;

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::unique_ptr<rocksdb::Iterator> iterate(Store& store, const rocksdb::Snapshot* snapshot, rocksdb::ColumnFamilyHandle* family) {
  rocksdb::ReadOptions options = at(snapshot);
  options.readahead_size = 256 * 1024;
  options.fill_cache = false;
  return std::unique_ptr<rocksdb::Iterator>(store.db().NewIterator(options, family));
}

}  // namespace

WriteOutcome Collection::create_index(const IndexedField& field) {
  payload::check_path(field.key);
  PayloadIndexes::begin(field.key, field.type, field.params);
  std::lock_guard writer(write_mutex_);
  if (dropped_) throw Error(ErrorKind::kNotFound, "the collection was deleted");
  CollectionRecord next = record();
  bool same = false;
  for (auto at = next.indexes.begin(); at != next.indexes.end(); ++at) {
    if (at->key != field.key) continue;
    same = at->type == field.type && at->params == field.params;
    if (!same) next.indexes.erase(at);
    break;
  }
  if (!same) take_memory(ids_.size() * kIndexedPointBytes);
  rocksdb::WriteBatch batch;
  const WriteOutcome outcome = begin_change(batch);
  if (!same) {
    // From here on a start fills it, should this process not come to it.
    next.indexes.push_back(field);
    ++next.epoch;
    batch.Put(store_.meta(), Store::collection_key('c', cid_), next.encode());
  }
  store_.write(batch);
  std::unique_lock lock(state_mutex_);
  operation_ = outcome.operation;
  if (!same) record_ = std::move(next);
  return outcome;
}

WriteOutcome Collection::begin_change(rocksdb::WriteBatch& batch, std::string_view points) const {
  WriteOutcome outcome;
  outcome.operation = operation_ + 1;
  ByteWriter operation;
  operation.u64(outcome.operation);
  batch.Put(store_.meta(), Store::collection_key('o', cid_), operation.bytes());
  if (logs_changes_) batch.Put(store_.meta(), Store::change_key(cid_, outcome.operation), rocksdb::Slice(points.data(), points.size()));
  return outcome;
}

WriteOutcome Collection::drop_index(const std::string& key) {
  std::lock_guard writer(write_mutex_);
  if (dropped_) throw Error(ErrorKind::kNotFound, "the collection was deleted");
  CollectionRecord next = record();
  std::erase_if(next.indexes, [&](const IndexedField& index) { return index.key == key; });
  ++next.epoch;
  rocksdb::WriteBatch batch;
  const WriteOutcome outcome = begin_change(batch);
  batch.Put(store_.meta(), Store::collection_key('c', cid_), next.encode());
  store_.write(batch, WriteUse::kMakesRoom);
  std::unique_lock lock(state_mutex_);
  indexes_->drop_index(key);
  ++indexes_state_;
  ++fields_changes_;
  record_ = std::move(next);
  operation_ = outcome.operation;
  configure_blocks();
  ++changes_;
  booking_.set(memory().anonymous());
  return outcome;
}

IndexedTypes Collection::indexed_types() const {
  IndexedTypes types;
  for (const IndexedField& field : record_.indexes) types.emplace(field.key, field.type);
  return types;
}

std::vector<FieldIndexInfo> Collection::index_infos() const {
  std::shared_lock lock(state_mutex_);
  std::vector<FieldIndexInfo> infos = indexes_->infos();
  // One that is being filled is told as well, without points.
  for (const IndexedField& field : record_.indexes) {
    const bool there = std::any_of(infos.begin(), infos.end(), [&](const FieldIndexInfo& info) { return info.key == field.key; });
    if (!there) infos.push_back({field.key, field.type, field.params, 0, 0});
  }
  return infos;
}

void Collection::when_filled(const IndexedField& field, Filled filled) {
  {
    std::lock_guard lock(fills_mutex_);
    fills_.push_back({field, false, std::move(filled), false, nullptr, false});
  }
  if (filler_ != nullptr) {
    filler_->post(weak_from_this());
  } else {
    fill_indexes(false);
  }
}

void Collection::fill_left_indexes() {
  if (!restoring_) return;
  if (filler_ != nullptr) {
    filler_->post(weak_from_this());
  } else {
    fill_indexes(false);
  }
}

void Collection::restored() {
  if (restoring_.exchange(false)) {
    std::unique_lock lock(state_mutex_);
    configure_blocks();
    ++changes_;
  }
  restoring_.notify_all();
}

void Collection::await_indexes() const {
  // An atomic's wait returns once the value is another one.
  if (restoring_) restoring_.wait(true);
}

void Collection::refuse_fills() {
  std::vector<Fill> fills;
  {
    std::lock_guard lock(fills_mutex_);
    fills.swap(fills_);
  }
  restored();
  const Error closing(ErrorKind::kUnavailable, "the server is shutting down; the index is filled at its next start");
  for (const Fill& fill : fills) {
    if (fill.filled) fill.filled(&closing);
  }
}

void Collection::fill_indexes(const std::atomic<bool>& cancel) {
  for (;;) {
    std::vector<Fill> fills;
    {
      std::lock_guard lock(fills_mutex_);
      fills.swap(fills_);
    }
    if (fills.empty()) return;
    {
      // What an earlier one of the same field made.
      std::shared_lock lock(state_mutex_);
      for (Fill& fill : fills) fill.done = !fill.temporary && !lacks(fill.field);
    }
    std::unique_ptr<Error> failure;
    try {
      if (std::any_of(fills.begin(), fills.end(), [](const Fill& fill) { return !fill.done; })) fill(fills, cancel);
    } catch (const Error& error) {
      failure = std::make_unique<Error>(error);
    } catch (const std::exception& error) {
      failure = std::make_unique<Error>(ErrorKind::kInternal, error.what());
    }
    restored();
    for (const Fill& fill : fills) {
      if (fill.filled) fill.filled(failure.get());
    }
  }
}

// [state_mutex_ held] The field is to be indexed and its index is not there.
bool Collection::lacks(const IndexedField& field) const {
  const auto same = [&](const auto& other) { return other.key == field.key && other.type == field.type && other.params == field.params; };
  if (std::none_of(record_.indexes.begin(), record_.indexes.end(), same)) return false;
  const auto infos = indexes_->infos();
  return std::none_of(infos.begin(), infos.end(), same);
}

void Collection::fill(std::vector<Fill>& fills, const std::atomic<bool>& cancel) {
  for (Fill& fill : fills) {
    if (!fill.done) fill.build = PayloadIndexes::begin(fill.field.key, fill.field.type, fill.field.params);
  }
  const auto insert = [&](uint32_t slot, std::string_view payload) {
    for (Fill& fill : fills) {
      if (fill.build != nullptr && !fill.loaded) fill.build->insert(slot, payload);
    }
  };
  const auto look = [&] {
    if (cancel) throw Error(ErrorKind::kUnavailable, "the server is shutting down; the index is filled at its next start");
    if (dropped_) throw Error(ErrorKind::kNotFound, "the collection was deleted");
    for (Fill& fill : fills) {
      if (fill.temporary && fill.build != nullptr && fill.build->bytes() > filler_->temporary_bytes_max()) {
        fill.build.reset();
        refuse_temporary(fill.field.key, fill.field.type);
      }
    }
  };
  Changes changes;
  Snapshot snapshot;
  const auto each_point = [&](const Changes& ids, const rocksdb::Snapshot* moment, auto apply) {
    std::string record, payload;
    for (const PointId& id : ids) {
      const std::string key = Store::point_key(cid_, id);
      const auto status = store_.db().Get(at(moment), store_.points(), key, &record);
      if (status.IsNotFound()) continue;
      check(status, "cannot read a point");
      const auto read = store_.db().Get(at(moment), store_.payloads(), key, &payload);
      if (read.IsNotFound()) {
        payload.clear();
      } else {
        check(read, "cannot read a payload");
      }
      apply(PointRecord::decode(record).slot, payload);
    }
  };
  // However it ends, writers note nothing more in what is gone.
  const std::unique_ptr<Collection, void (*)(Collection*)> noting(this, [](Collection* self) {
    std::lock_guard writer(self->write_mutex_);
    self->fill_changes_ = nullptr;
  });
  {
    std::lock_guard writer(write_mutex_);
    snapshot = store_.snapshot();
    fill_changes_ = &changes;
  }
  // What the files of the last state hold of them is read, and brought up to the snapshot by the points that changed since.
  if (restoring_) {
    Changes changed;
    if (load_indexes(fills, snapshot.get(), changed)) {
      each_point(changed, snapshot.get(), [&](uint32_t slot, const std::string& payload) {
        for (Fill& fill : fills) {
          if (fill.loaded) fill.build->insert(slot, payload);
        }
      });
    }
  }
  if (std::any_of(fills.begin(), fills.end(), [](const Fill& fill) { return fill.build != nullptr && !fill.loaded; })) {
    const std::string prefix = Store::cid_prefix(cid_);
    auto points = iterate(store_, snapshot.get(), store_.points());
    auto payloads = iterate(store_, snapshot.get(), store_.payloads());
    payloads->Seek(prefix);
    size_t seen = 0;
    for (points->Seek(prefix); points->Valid() && points->key().starts_with(prefix); points->Next()) {
      if (++seen % kPointsPerLook == 0) look();
      while (payloads->Valid() && payloads->key().compare(points->key()) < 0) payloads->Next();
      const bool has = payloads->Valid() && payloads->key() == points->key();
      insert(PointRecord::decode(points->value().ToStringView()).slot, has ? payloads->value().ToStringView() : std::string_view());
    }
    check(points->status(), "cannot read the points");
    check(payloads->status(), "cannot read the payloads");
  }
  // What changed since the snapshot: out as it was then, in as it is at the next one. First all that goes, because a slot may have
  // passed from one point to another.
  const auto catch_up = [&](const Changes& ids, const Snapshot& next) {
    each_point(ids, snapshot.get(), [&](uint32_t slot, const std::string& old) {
      for (Fill& fill : fills) {
        if (fill.build != nullptr) fill.build->erase(slot, old);
      }
    });
    each_point(ids, next.get(), [&](uint32_t slot, const std::string& payload) {
      for (Fill& fill : fills) {
        if (fill.build != nullptr) fill.build->insert(slot, payload);
      }
    });
    snapshot = next;
  };
  for (int round = 1;; ++round) {
    look();
    Changes taken;
    std::unique_lock writer(write_mutex_);
    if (dropped_) throw Error(ErrorKind::kNotFound, "the collection was deleted");
    taken.swap(changes);
    const Snapshot next = store_.snapshot();
    if (taken.size() > kLastChangesMax && round < kRoundsMax) {
      writer.unlock();
      catch_up(taken, next);
      continue;
    }
    catch_up(taken, next);
    fill_changes_ = nullptr;
    std::unique_lock lock(state_mutex_);
    for (Fill& fill : fills) {
      if (fill.build == nullptr || (!fill.temporary && !lacks(fill.field))) continue;
      indexes_->adopt(std::move(fill.build), fill.temporary);
      ++indexes_state_;
      // One that was loaded stands in the files.
      if (!fill.temporary && !fill.loaded) ++fields_changes_;
    }
    temporaries_count_ = indexes_->temporaries().size();
    configure_blocks();
    ++changes_;
    booking_.set(memory().anonymous());
    return;
  }
}

// [state_mutex_ shared] A plan would have needed these: the second time, or when it is dear, they are made.
void Collection::want(const std::vector<WantedIndex>& wanted, size_t candidates) const {
  if (candidates < kWorthAgain || filler_ == nullptr || filler_->temporary_bytes_max() == 0) return;
  bool post = false;
  {
    std::lock_guard lock(fills_mutex_);
    const int64_t now = now_ms();
    for (const WantedIndex& each : wanted) {
      if (wanted_.size() >= kWantedMax) wanted_.clear();
      Wanted& state = wanted_[{each.key, each.type}];
      if (state.until_ms > now) continue;
      if (++state.times < 2 && candidates < kWorthAtOnce) continue;
      // Asked for once; should it be dropped, it may be asked for again.
      state = {0, now + 1000};
      fills_.push_back({IndexedField{each.key, each.type, each.type == FieldType::kText ? filter::kPresenceOnly : ""}, true, nullptr, false, nullptr, false});
      post = true;
    }
  }
  if (post) filler_->post(std::const_pointer_cast<Collection>(shared_from_this()));
}

void Collection::refuse_temporary(const std::string& key, FieldType type) {
  std::lock_guard lock(fills_mutex_);
  wanted_[{key, type}] = {0, now_ms() + kRefusedMs};
}

std::vector<TemporaryIndexInfo> Collection::temporaries() const {
  std::shared_lock lock(state_mutex_);
  return indexes_->temporaries();
}

void Collection::drop_temporary(const std::string& key, FieldType type, bool refuse) {
  {
    std::lock_guard writer(write_mutex_);
    std::unique_lock lock(state_mutex_);
    indexes_->drop_temporary(key, type);
    temporaries_count_ = indexes_->temporaries().size();
    ++indexes_state_;
    booking_.set(memory().anonymous());
  }
  if (refuse) refuse_temporary(key, type);
}

}  // namespace sealpoint
