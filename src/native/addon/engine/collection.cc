#include "collection_view.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <future>

#include "../payload/payload.h"

namespace sealpoint {

namespace {

constexpr uint64_t kCipheredTailBytesMax = uint64_t{32} << 20;

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// An iterator over one collection's keys of a column family.
std::unique_ptr<rocksdb::Iterator> iterate(Store& store, rocksdb::ColumnFamilyHandle* family) {
  rocksdb::ReadOptions options;
  options.total_order_seek = true;
  options.readahead_size = 256 * 1024;
  options.fill_cache = false;
  return std::unique_ptr<rocksdb::Iterator>(store.db().NewIterator(options, family));
}

}  // namespace

Collection::Collection(Store& store, MemoryBudget& budget, std::string folder, CollectionRecord record)
    : store_(store),
      budget_(budget),
      folder_(std::move(folder)),
      cid_(record.cid),
      record_(std::move(record)),
      indexes_(PayloadIndexes::create()),
      booking_(budget) {
  rate_since_ms_ = now_ms();
  vector_versions_.resize(record_.vectors.size());
  sparse_.resize(record_.vectors.size());
  multi_.resize(record_.vectors.size());
  for (size_t vector = 0; vector < record_.vectors.size(); ++vector) configure_multi(vector);
  load();
  book_memory();
}

Collection::Collection(Store& store, MemoryBudget& budget, std::string folder, CollectionRecord record, uint64_t operation,
                       const std::vector<std::pair<std::string, std::string>>& streams)
    : Collection(store, budget, std::move(folder), std::move(record)) {
  operation_ = operation;
  for (const auto& [stream, position] : streams) {
    ByteReader in(position);
    StreamState& state = streams_[stream];
    state.sequence = in.u64();
    state.used_ms = in.u64();
  }
}

Collection::~Collection() = default;

VectorIndexConfig Collection::index_config_of(const VectorField& field, size_t number) const {
  VectorIndexConfig config;
  config.dim = field.sparse ? 1 : field.dim;
  config.distance = field.distance;
  config.m = field.m;
  config.ef_construct = field.ef_construct;
  config.full_scan_threshold_kb = field.full_scan_threshold_kb;
  config.indexing_threshold_kb = field.indexing_threshold_kb;
  config.datatype = field.datatype;
  config.codes = field.codes;
  config.placement = field.placement;
  config.optimizer = field.optimizer;
  config.payload_m = field.sparse || field.multi ? 0 : field.payload_m;
  config.cipher = store_.cipher();
  // What lies under a cipher is loaded at once and indexed right after: a few of its floats at a time are enough to hold.
  if (config.cipher != nullptr) config.optimizer.tail_bytes_max = kCipheredTailBytesMax;
  config.dir = folder_ + "/" + std::to_string(number);
  return config;
}

void Collection::open_vectors() {
  for (size_t vector = 0; vector < record_.vectors.size(); ++vector) {
    VectorIndexConfig config = index_config_of(record_.vectors[vector], vector);
    config.has_manifest = had_segments(vector);
    // Left by a stop between the deletion of its name and that of its files.
    if (record_.vectors[vector].removed) std::filesystem::remove_all(config.dir);
    std::filesystem::create_directories(config.dir);
    vectors_.push_back(VectorIndex::open(config));
  }
}

void Collection::load() {
  std::string value;
  if (store_.db().Get({}, store_.meta(), Store::collection_key('o', cid_), &value).ok()) operation_ = ByteReader(value).u64();
  {
    const std::string streams = Store::collection_key('s', cid_);
    auto it = iterate(store_, store_.meta());
    for (it->Seek(streams); it->Valid() && it->key().starts_with(streams); it->Next()) {
      ByteReader in(it->value().ToStringView());
      StreamState state;
      state.sequence = in.u64();
      state.used_ms = in.u64();
      streams_.emplace(it->key().ToString().substr(streams.size()), state);
    }
    check(it->status(), "cannot read the streams");
  }
  struct Missing {
    uint32_t slot;
    uint64_t version;
    PointId id;
  };
  std::vector<std::vector<Missing>> missing(record_.vectors.size());
  bool loaded = false;
  if (store_.db().Get({}, store_.meta(), Store::collection_key('f', cid_), &value).ok()) {
    // Segments are opened beside it.
    auto opening = std::async(std::launch::async, [this] { open_vectors(); });
    loaded = load_state(StateName::decode(value));
    opening.get();
  } else {
    open_vectors();
  }
  if (loaded) {
    load_rows();
    for (size_t vector = 0; vector < vectors_.size(); ++vector) {
      const auto& versions = vector_versions_[vector];
      const VectorField& field = record_.vectors[vector];
      if (field.removed) continue;
      // Multivectors that are not kept in memory are not read before they are compared.
      if (field.multi && !field.multi_in_memory()) continue;
      const bool segments = !field.sparse && !field.multi;
      if (segments) vectors_[vector]->adopt_all(versions);
      for (uint32_t slot = 0; slot < ids_.slots(); ++slot) {
        if (versions[slot] == 0) continue;
        const bool there = segments ? vectors_[vector]->contains(slot) : field.sparse ? sparse_[vector].contains(slot) : !multi_[vector].row(slot).empty();
        if (!there) missing[vector].push_back({slot, versions[slot], ids_.id(slot)});
      }
      std::sort(missing[vector].begin(), missing[vector].end(), [](const Missing& a, const Missing& b) { return a.id < b.id; });
    }
  } else {
    load_points([&](size_t vector, uint32_t slot, uint64_t version, const PointId& id) { missing[vector].push_back({slot, version, id}); });
  }
  for (size_t vector = 0; vector < vectors_.size(); ++vector) {
    const VectorField& field = record_.vectors[vector];
    std::vector<float> values(field.dim);
    for (const Missing& point : missing[vector]) {
      rocksdb::PinnableSlice stored;
      const auto key = Store::vector_key(cid_, static_cast<uint16_t>(vector), point.id);
      check(store_.db().Get({}, store_.vectors(), key, &stored), "cannot read a vector");
      if (field.sparse) {
        // A copy, because the store's bytes may stand unaligned.
        sparse_[vector].upsert(point.slot, sparse_of_row(stored.ToString()));
        continue;
      }
      if (field.multi) {
        if (!is_multi_row(stored.ToStringView(), field.stored_bytes())) throw Error(ErrorKind::kDataLoss, "a multivector in the store has the wrong size");
        multi_[vector].upsert(point.slot, stored.ToStringView());
        continue;
      }
      if (stored.size() != field.stored_bytes()) throw Error(ErrorKind::kDataLoss, "a vector in the store has the wrong size");
      load_values(field.datatype, stored.data(), field.dim, values.data());
      vectors_[vector]->upsert(point.slot, point.version, values.data());
    }
    if (field.multi && !field.removed) load_multi(vector);
  }
  load_indexes(loaded);
  note_segments();
  configure_blocks();
  snapshot_ = store_.snapshot();
}

// All points from the store; `missing` gets the vectors that no segment holds.
void Collection::load_points(const std::function<void(size_t vector, uint32_t slot, uint64_t version, const PointId& id)>& missing) {
  const std::string prefix = Store::cid_prefix(cid_);
  auto it = iterate(store_, store_.points());
  for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix); it->Next()) {
    const PointId id = id_of_key(it->key().ToStringView());
    const PointRecord point = PointRecord::decode(it->value().ToStringView());
    ids_.load(id, point.slot);
    ensure_slots(point.slot + size_t{1});
    versions_[point.slot] = point.version;
    if (point.sealed) {
      sealed_.set(point.slot);
      ++sealed_count_;
    }
    for (const auto& [vector, version] : point.vectors) {
      if (vector >= vectors_.size()) throw Error(ErrorKind::kDataLoss, "a point in the store names a vector that its collection lacks");
      const VectorField& field = record_.vectors[vector];
      // Points are not rewritten when a name goes.
      if (field.removed) continue;
      vector_versions_[vector][point.slot] = version;
      if (field.multi && !field.multi_in_memory()) continue;
      if (field.sparse || field.multi || !vectors_[vector]->adopt(point.slot, version)) missing(vector, point.slot, version, id);
    }
  }
  check(it->status(), "cannot read the points");
  ids_.end_load();
}

// After a state file in the background, else from all payloads at once.
void Collection::load_indexes(bool later) {
  if (later) {
    for (const auto& index : record_.indexes) {
      indexes_->expect_index(index.key, index.type, index.params);
      fills_.push_back({index, false, nullptr, false, nullptr, false});
    }
    restoring_ = !record_.indexes.empty();
    return;
  }
  for (const auto& index : record_.indexes) indexes_->add_index(index.key, index.type, index.params);
  if (indexes_->empty()) return;
  const std::string prefix = Store::cid_prefix(cid_);
  auto payloads = iterate(store_, store_.payloads());
  for (payloads->Seek(prefix); payloads->Valid() && payloads->key().starts_with(prefix); payloads->Next()) {
    const uint32_t slot = ids_.find(id_of_key(payloads->key().ToStringView()));
    if (slot != IdTable::kNone) indexes_->insert(slot, payloads->value().ToStringView());
  }
  check(payloads->status(), "cannot read the payloads");
  ++fields_changes_;
}

void Collection::ensure_slots(size_t slots) {
  if (versions_.size() < slots) versions_.resize(std::max(slots, versions_.size() + versions_.size() / 8 + 64));
  for (size_t vector = 0; vector < vector_versions_.size(); ++vector) {
    auto& versions = vector_versions_[vector];
    if (!record_.vectors[vector].removed && versions.size() < versions_.size()) versions.resize(versions_.size());
  }
}

int Collection::vector_number(std::string_view name) const {
  for (size_t vector = 0; vector < record_.vectors.size(); ++vector) {
    if (record_.vectors[vector].name == name) return static_cast<int>(vector);
  }
  return -1;
}

size_t Collection::required_vector(std::string_view name) const {
  const int vector = vector_number(name);
  if (vector >= 0) return static_cast<size_t>(vector);
  std::string names;
  for (const auto& field : record_.vectors) {
    if (!field.removed) names += (names.empty() ? "" : ", ") + field.name;
  }
  if (name.empty() && !names.empty()) {
    throw Error(ErrorKind::kBadInput, "Wrong input: Collection requires specified vector name in the request, available names: " + names, "using");
  }
  throw Error(ErrorKind::kBadInput, "Wrong input: Not existing vector name error: " + std::string(name), "using");
}

CollectionRecord Collection::record() const {
  std::shared_lock lock(state_mutex_);
  return record_;
}

void Collection::forget_build_error() {
  std::lock_guard lock(error_mutex_);
  optimizer_error_.clear();
}

CollectionStats Collection::stats() const {
  std::shared_lock lock(state_mutex_);
  CollectionStats stats;
  stats.points = ids_.size();
  stats.sealed = sealed_count_;
  stats.memory = memory();
  for (size_t vector = 0; vector < vectors_.size(); ++vector) {
    if (record_.vectors[vector].removed) continue;
    const auto& vectors = vectors_[vector];
    const VectorIndexStats index = vectors->stats();
    stats.vector_bytes += vector_bytes(vector, index.live);
    stats.indexed += index.indexed;
    stats.segments += index.segments + 1;
    stats.wants_build = stats.wants_build || (index.waits && index.may_build);
    stats.build_pending = stats.build_pending || index.waits;
    if (!record_.vectors[vector].multi) continue;
    const MultiIndex& multi = multi_[vector];
    stats.indexed += multi.graph_count();
    stats.wants_build = stats.wants_build || multi.wants_build();
    stats.build_pending = stats.build_pending || multi.build_pending();
  }
  stats.building = building_;
  stats.payload_bytes = store_.payload_bytes(cid_);
  std::lock_guard error_lock(error_mutex_);
  stats.optimizer_error = optimizer_error_;
  return stats;
}

void Collection::drop(rocksdb::WriteBatch& batch) {
  // Every later read passes over a range's tombstone, so few points are named one by one.
  constexpr size_t kNamedMax = 1000;
  std::lock_guard writer(write_mutex_);
  batch.Delete(store_.meta(), Store::collection_key('c', cid_));
  batch.Delete(store_.meta(), Store::collection_key('o', cid_));
  batch.Delete(store_.meta(), Store::collection_key('f', cid_));
  for (size_t vector = 0; vector < record_.vectors.size(); ++vector) batch.Delete(store_.meta(), segments_key(vector));
  if (logs_changes_ || log_begin_ > 0) forget_changes(batch, log_begin_, operation_ + 1);
  if (streams_.size() <= kNamedMax) {
    for (const auto& [stream, state] : streams_) batch.Delete(store_.meta(), Store::collection_key('s', cid_) + stream);
  } else {
    batch.DeleteRange(store_.meta(), Store::collection_key('s', cid_), Store::collection_key('s', cid_ + 1));
  }
  if (ids_.size() <= kNamedMax) {
    ids_.live().for_each([&](uint32_t slot) {
      const PointId id = ids_.id(slot);
      batch.Delete(store_.points(), Store::point_key(cid_, id));
      batch.Delete(store_.payloads(), Store::point_key(cid_, id));
      for (size_t vector = 0; vector < vectors_.size(); ++vector) {
        if (vector_version(vector, slot) != 0) batch.Delete(store_.vectors(), Store::vector_key(cid_, static_cast<uint16_t>(vector), id));
      }
    });
  } else {
    const std::string from = Store::cid_prefix(cid_), to = Store::cid_prefix(cid_ + 1);
    for (auto* family : {store_.points(), store_.payloads(), store_.vectors()}) batch.DeleteRange(family, from, to);
  }
  store_.write(batch, WriteUse::kMakesRoom);
  dropped_ = true;
  stop_builds();
}

void Collection::retire(bool retired) {
  std::lock_guard writer(write_mutex_);
  dropped_ = retired;
}

SnapshotSource Collection::snapshot_source() const {
  std::shared_lock lock(state_mutex_);
  return {record_, snapshot_};
}

void Collection::replace_record(uint64_t expected, const std::string* config, const std::string* sealing,
                                const std::vector<VectorField>* vectors) {
  std::lock_guard writer(write_mutex_);
  CollectionRecord next = record();
  if (dropped_) throw Error(ErrorKind::kNotFound, "Not found: Collection `" + next.name + "` doesn't exist!", "collection_name");
  if (expected != 0 && next.epoch != expected) throw Error(ErrorKind::kAborted, "the collection was changed meanwhile");
  if (config != nullptr) next.config = *config;
  if (sealing != nullptr) next.sealing = *sealing;
  if (vectors != nullptr) {
    for (const VectorField& field : *vectors) {
      for (VectorField& mine : next.vectors) {
        if (mine.name == field.name) mine = field;
      }
    }
  }
  ++next.epoch;
  rocksdb::WriteBatch batch;
  batch.Put(store_.meta(), Store::collection_key('c', cid_), next.encode());
  // Settings are small, and some of them are the way out of a full disk.
  store_.write(batch, WriteUse::kMakesRoom);
  std::unique_lock lock(state_mutex_);
  record_ = std::move(next);
  if (vectors != nullptr) {
    for (size_t vector = 0; vector < vectors_.size(); ++vector) {
      vectors_[vector]->reconfigure(index_config(vector));
      configure_multi(vector);
    }
  }
  ++changes_;
}

uint64_t Collection::stream_position(std::string_view stream) const {
  std::shared_lock lock(state_mutex_);
  const auto found = streams_.find(stream);
  return found == streams_.end() ? 0 : found->second.sequence;
}

void Collection::touch(size_t points) {
  rate_points_ += points;
  ++changes_;
}

double Collection::write_rate() const {
  const int64_t now = now_ms();
  const int64_t since = rate_since_ms_;
  constexpr int64_t kWindowMs = 500;
  if (now - since >= kWindowMs) {
    rate_ = static_cast<double>(rate_points_.exchange(0)) * 1000.0 / static_cast<double>(now - since);
    rate_since_ms_ = now;
  }
  // A load that has just begun counts before its first window ends, or a build would start beside it.
  return std::max<double>(rate_, static_cast<double>(rate_points_) * 1000.0 / kWindowMs);
}

bool Collection::damaged() const {
  std::shared_lock lock(state_mutex_);
  return std::any_of(vectors_.begin(), vectors_.end(), [](const auto& vectors) { return vectors->damaged_rows(); });
}

size_t Collection::repair() {
  std::lock_guard writer(write_mutex_);
  size_t repaired = 0;
  for (size_t vector = 0; vector < vectors_.size(); ++vector) {
    std::vector<uint32_t> slots;
    {
      std::shared_lock lock(state_mutex_);
      if (!vectors_[vector]->damaged_rows()) continue;
      // What one search met may be a part of it only.
      std::string why;
      (void)vectors_[vector]->verify_rows(why);
      slots = vectors_[vector]->damaged_slots();
    }
    const VectorField& field = record_.vectors[vector];
    std::vector<float> values(field.dim);
    for (const uint32_t slot : slots) {
      rocksdb::PinnableSlice stored;
      const auto key = Store::vector_key(cid_, static_cast<uint16_t>(vector), ids_.id(slot));
      check(store_.db().Get({}, store_.vectors(), key, &stored), "cannot read a vector");
      if (stored.size() != field.stored_bytes()) throw Error(ErrorKind::kDataLoss, "a vector in the store has the wrong size");
      load_values(field.datatype, stored.data(), field.dim, values.data());
      std::unique_lock lock(state_mutex_);
      vectors_[vector]->upsert(slot, vector_versions_[vector][slot], values.data());
      ++changes_;
      ++repaired;
    }
  }
  return repaired;
}

void Collection::refresh_snapshot(const Snapshot& shared) {
  const std::unique_lock writer(write_mutex_, std::try_to_lock);
  // Whoever writes moves it on himself.
  if (!writer.owns_lock()) return;
  // Each write leaves a snapshot of its own end: one that is not older holds all that this collection has.
  if (snapshot_->GetSequenceNumber() > shared->GetSequenceNumber()) return;
  Snapshot fresh = shared;
  std::unique_lock lock(state_mutex_);
  snapshot_.swap(fresh);
}

bool Collection::verify(std::string& why) const {
  std::shared_lock lock(state_mutex_);
  for (const auto& vectors : vectors_) {
    if (!vectors->damaged().empty()) {
      why = vectors->damaged().front();
      return false;
    }
    if (!vectors->verify_rows(why)) return false;
  }
  return true;
}

}  // namespace sealpoint
