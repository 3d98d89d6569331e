// State files of a collection (state_file.h): written in quiet moments, at the close and now and then under a load, read at a start together with the
// change log. Whatever does not fit makes the start read the store instead.
#include <sys/random.h>

#include <algorithm>

#include "change_log.h"
#include "collection.h"
#include "state_file.h"

namespace sealpoint {

namespace {

// Points that changed since the last state, from which on another is worth writing: in a quiet moment, at the close, and under a load.
constexpr uint64_t kChangedQuiet = 2000, kChangedClosing = 500, kChangedBusy = 100'000;
constexpr uint64_t kQuietShare = 16, kBusyShare = 2;
// A file of rows of more bytes is not made, and they are read from the store at a start: writing them down would hold writers for too long.
constexpr size_t kRowsMax = size_t{256} << 20;
// Vector, slot, version and size of a row, and what fills it up.
constexpr size_t kRowHead = 24;
// Each range of deleted keys costs later readers; so many keys are named one by one.
constexpr uint64_t kNamedMax = 1000;

uint64_t random_stamp() {
  uint64_t stamp = 0;
  if (getrandom(&stamp, sizeof(stamp), 0) != sizeof(stamp)) throw Error(ErrorKind::kInternal, "the system gives no random bytes");
  return stamp;
}

void append(std::string& out, const void* data, size_t bytes) { out.append(static_cast<const char*>(data), bytes); }

void append_bits(std::string& out, const Bitset& bits, size_t slots) {
  const size_t words = (slots + 63) / 64, there = std::min(words, bits.words().size());
  append(out, bits.words().data(), there * 8);
  out.append((words - there) * 8, '\0');
}

template <typename T>
std::vector<T> take(ByteReader& in, size_t count) {
  std::vector<T> out(count);
  if (count > 0) std::memcpy(out.data(), in.span(count * sizeof(T)), count * sizeof(T));
  return out;
}

Bitset take_bits(ByteReader& in, size_t slots) {
  Bitset bits;
  bits.words() = take<uint64_t>(in, (slots + 63) / 64);
  return bits;
}

std::unique_ptr<rocksdb::Iterator> changes_after(Store& store, uint32_t cid, uint64_t operation, const rocksdb::Snapshot* snapshot) {
  rocksdb::ReadOptions options;
  options.total_order_seek = true;
  options.fill_cache = false;
  options.snapshot = snapshot;
  std::unique_ptr<rocksdb::Iterator> it(store.db().NewIterator(options, store.meta()));
  it->Seek(Store::change_key(cid, operation + 1));
  return it;
}

}  // namespace

// The store remembers that a vector has segments, so that a folder that vanished whole does not pass for one that is new.
std::string Collection::segments_key(size_t vector) const { return "g" + Store::vector_prefix(cid_, static_cast<uint16_t>(vector)); }

bool Collection::had_segments(size_t vector) const {
  std::string value;
  return store_.db().Get({}, store_.meta(), segments_key(vector), &value).ok();
}

// Under the writers' mutex. Once their manifest is on the disk; an attempt that fails is made again after the next build, or at the next start.
void Collection::note_segments() {
  if (dropped_) return;
  segments_noted_.resize(vectors_.size());
  rocksdb::WriteBatch batch;
  std::vector<size_t> noted;
  for (size_t vector = 0; vector < vectors_.size(); ++vector) {
    if (segments_noted_[vector] || record_.vectors[vector].removed || vectors_[vector]->stats().segments == 0) continue;
    noted.push_back(vector);
    if (!had_segments(vector)) batch.Put(store_.meta(), segments_key(vector), {});
  }
  try {
    if (batch.Count() > 0) store_.write(batch);
  } catch (const Error&) {
    return;
  }
  for (const size_t vector : noted) segments_noted_[vector] = true;
}

void Collection::lose_state(StateKind kind, const StateName& name, const char* why) const {
  std::lock_guard lock(error_mutex_);
  lost_states_.push_back(state_path(std::to_string(cid_), kind, name) + ": " + why);
}

std::vector<std::string> Collection::left_out() const {
  std::vector<std::string> all;
  std::shared_lock lock(state_mutex_);
  for (size_t vector = 0; vector < vectors_.size(); ++vector) {
    for (const std::string& one : vectors_[vector]->damaged()) all.push_back(std::to_string(cid_) + "/" + std::to_string(vector) + "/" + one);
  }
  std::lock_guard states(error_mutex_);
  all.insert(all.end(), lost_states_.begin(), lost_states_.end());
  return all;
}

bool Collection::wants_state(StateMoment moment) const {
  // What lies under a cipher is a copy that can be made again, and these files are in the clear.
  if (dropped_ || restoring_ || store_.cipher() != nullptr) return false;
  uint64_t points = 0;
  {
    std::shared_lock lock(state_mutex_);
    points = ids_.size();
  }
  const bool logs = logs_changes_;
  const uint64_t least = store_.options().state_points_min;
  if (!logs && points < least) return false;
  const uint64_t changed = logs ? logged_points_.load() : points;
  switch (moment) {
    case StateMoment::kBusy:
      return changed > std::max(std::min(kChangedBusy, 20 * least), points / kBusyShare);
    case StateMoment::kQuiet:
      return changed > std::max(std::min(kChangedQuiet, least), points / kQuietShare) || saved_fields_ != fields_changes_;
    case StateMoment::kClosing:
      return changed > std::min(kChangedClosing, least) || saved_fields_ != fields_changes_;
  }
  return false;
}

// All that a start needs of the points. Under the writers' mutex, which keeps everything as it is.
std::string Collection::encode_points() const {
  const size_t slots = ids_.slots();
  std::string out = begin_state();
  out.reserve(out.size() + 64 + slots * 8 * (2 + vectors_.size()) + ids_.uuids().size() * 16 + slots / 2);
  ByteWriter head;
  head.u64(slots);
  head.u64(ids_.uuids().size());
  head.u64(vectors_.size());
  out += head.bytes();
  append(out, ids_.numbers().data(), slots * 8);
  append(out, ids_.uuids().data(), ids_.uuids().size() * 16);
  append(out, versions_.data(), slots * 8);
  for (const auto& versions : vector_versions_) {
    // Those of a deleted name are gone.
    const size_t there = std::min(slots, versions.size());
    append(out, versions.data(), there * 8);
    out.append((slots - there) * 8, '\0');
  }
  append_bits(out, ids_.live(), slots);
  append_bits(out, ids_.is_uuid(), slots);
  append_bits(out, sealed_, slots);
  return out;
}

// u32 n, each: text key, u8 type, text params, u64 size, the index.
std::string Collection::encode_indexes() const {
  std::string out = begin_state();
  std::string saved;
  for (const IndexedField& field : record_.indexes) {
    saved.clear();
    if (!indexes_->save(field.key, field.type, field.params, saved)) continue;
    ByteWriter head;
    head.text(field.key);
    head.u8(static_cast<uint8_t>(field.type));
    head.text(field.params);
    head.u64(saved.size());
    out += head.bytes();
    out += saved;
  }
  return out;
}

// What is kept in memory of sparse vectors and multivectors: u32 vector, u32 slot, u64 version, u32 size, and the row as the store has it, filled up to
// four bytes. Empty when there is nothing, or too much. Under the writers' mutex.
std::string Collection::encode_rows() const {
  size_t bytes = 0, rows = 0;
  for (size_t vector = 0; vector < record_.vectors.size(); ++vector) {
    const VectorField& field = record_.vectors[vector];
    if (field.removed || !(field.sparse || (field.multi && field.multi_in_memory()))) continue;
    bytes += field.sparse ? sparse_[vector].vector_bytes() + sparse_[vector].live() * 4 : multi_[vector].memory_bytes();
    rows += field.sparse ? sparse_[vector].live() : ids_.slots();
  }
  if (bytes == 0 || bytes + rows * kRowHead > kRowsMax || budget_.tight()) return {};
  std::string out = begin_state();
  out.reserve(out.size() + bytes + rows * kRowHead);
  std::string sparse;
  for (size_t vector = 0; vector < record_.vectors.size(); ++vector) {
    const VectorField& field = record_.vectors[vector];
    const auto& versions = vector_versions_[vector];
    if (field.removed || !(field.sparse || (field.multi && field.multi_in_memory()))) continue;
    for (uint32_t slot = 0; slot < versions.size(); ++slot) {
      if (versions[slot] == 0) continue;
      std::string_view row;
      if (field.sparse) {
        if (!sparse_[vector].contains(slot)) continue;
        const SparseView view = sparse_[vector].get(slot);
        sparse.clear();
        const auto count = static_cast<uint32_t>(view.count);
        append(sparse, &count, 4);
        append(sparse, view.indices, view.count * 4);
        append(sparse, view.values, view.count * 4);
        row = sparse;
      } else {
        row = multi_[vector].row(slot);
        if (row.empty()) continue;
      }
      ByteWriter head;
      head.u32(static_cast<uint32_t>(vector));
      head.u32(slot);
      head.u64(versions[slot]);
      head.u32(static_cast<uint32_t>(row.size()));
      out += head.bytes();
      out += row;
      out.append((4 - row.size() % 4) % 4, '\0');
    }
  }
  return out;
}

// Takes the rows that are still the points' own; the others come from the store, like all of them where there is no such file.
void Collection::load_rows() {
  if (!state_.rows) return;
  const auto bytes = read_state(folder_, StateKind::kRows, cid_, state_);
  if (!bytes) {
    lose_state(StateKind::kRows, state_, "is missing or damaged");
    return;
  }
  ByteReader in(state_content(*bytes));
  while (!in.done()) {
    const uint32_t vector = in.u32(), slot = in.u32();
    const uint64_t version = in.u64();
    const uint32_t size = in.u32();
    const std::string_view row(in.span((size_t{size} + 3) / 4 * 4), size);
    if (vector >= record_.vectors.size() || version == 0) continue;
    const VectorField& field = record_.vectors[vector];
    const auto& versions = vector_versions_[vector];
    if (field.removed || slot >= versions.size() || versions[slot] != version) continue;
    if (field.sparse) {
      sparse_[vector].upsert(slot, sparse_of_row(row));
      ++rows_from_state_;
    } else if (field.multi && field.multi_in_memory() && is_multi_row(row, field.stored_bytes())) {
      multi_[vector].upsert(slot, row);
      ++rows_from_state_;
    }
  }
}

// Under the writers' mutex.
void Collection::forget_changes(rocksdb::WriteBatch& batch, uint64_t from, uint64_t until) const {
  if (from >= until) return;
  if (until - from > kNamedMax) {
    batch.DeleteRange(store_.meta(), Store::change_key(cid_, from), Store::change_key(cid_, until));
    return;
  }
  for (uint64_t operation = from; operation < until; ++operation) batch.Delete(store_.meta(), Store::change_key(cid_, operation));
}

bool Collection::save_state(StateMoment moment) {
  StateName name;
  std::string points, indexes, rows;
  uint64_t fields = 0, logged = 0;
  {
    std::lock_guard writer(write_mutex_);
    if (dropped_ || restoring_ || store_.cipher() != nullptr) return false;
    name.operation = operation_;
    points = encode_points();
    // Indexes take longer to write down than writers should wait under a load: then they are filled from the payloads.
    if (moment != StateMoment::kBusy) {
      indexes = encode_indexes();
      fields = fields_changes_;
      name.indexes = true;
      rows = encode_rows();
      name.rows = !rows.empty();
    }
    logs_changes_ = true;
    logged = logged_points_;
  }
  // A log without a file that it follows is of no use.
  bool written = false;
  const std::unique_ptr<bool, std::function<void(bool*)>> ending(&written, [this](const bool* done) {
    std::lock_guard writer(write_mutex_);
    if (!*done && !has_state_) logs_changes_ = false;
  });
  name.stamp = random_stamp();
  // A file must hold nothing that a power cut could undo.
  store_.sync();
  write_state(folder_, StateKind::kPoints, cid_, name, std::move(points));
  if (name.indexes) write_state(folder_, StateKind::kIndexes, cid_, name, std::move(indexes));
  if (name.rows) write_state(folder_, StateKind::kRows, cid_, name, std::move(rows));
  {
    std::lock_guard writer(write_mutex_);
    if (dropped_) {
      remove_states(folder_, nullptr);
      return false;
    }
    rocksdb::WriteBatch batch;
    batch.Put(store_.meta(), Store::collection_key('f', cid_), name.encode());
    forget_changes(batch, log_begin_, name.operation + 1);
    store_.write(batch);
    log_begin_ = name.operation + 1;
    logged_points_ -= logged;
    has_state_ = true;
    // What this one leaves out, the next quiet moment adds.
    saved_fields_ = name.indexes ? fields : ~uint64_t{0};
  }
  written = true;
  // While the store may still name the old files after a power cut, they stay.
  store_.sync();
  remove_states(folder_, &name);
  return true;
}

// Reads the points' file and applies the change log. False, with nothing loaded, when they do not give the whole truth.
bool Collection::load_state(const StateName& name) {
  if (name.operation > operation_) return false;
  bool sound = false;
  try {
    sound = read_points(name) && replay_changes(name);
  } catch (const Error&) {
    // What cannot be read is read from the store.
  }
  if (!sound) {
    {
      std::lock_guard lock(error_mutex_);
      if (lost_states_.empty()) lost_states_.push_back(state_path(std::to_string(cid_), StateKind::kPoints, name) + ": does not fit the store");
    }
    forget_slots();
    sealed_count_ = 0;
    logged_points_ = 0;
    return false;
  }
  ids_.end_load();
  sealed_count_ = sealed_.count();
  logs_changes_ = true;
  has_state_ = true;
  log_begin_ = name.operation + 1;
  state_ = name;
  return true;
}

bool Collection::read_points(const StateName& name) {
  const auto bytes = read_state(folder_, StateKind::kPoints, cid_, name);
  if (!bytes) lose_state(StateKind::kPoints, name, "is missing or damaged");
  if (!bytes) return false;
  ByteReader in(state_content(*bytes));
  const uint64_t slots = in.u64(), uuids = in.u64(), vectors = in.u64();
  // A vector that came to the collection later has no point yet in this file.
  if (slots > IdTable::kNone || vectors > record_.vectors.size() || uuids > in.left() / 16 || slots * 8 * (2 + vectors) > in.left()) return false;
  auto numbers = take<uint64_t>(in, slots);
  auto given = take<std::array<uint8_t, 16>>(in, uuids);
  versions_ = take<uint64_t>(in, slots);
  for (size_t vector = 0; vector < vectors; ++vector) {
    auto versions = take<uint64_t>(in, slots);
    if (!record_.vectors[vector].removed) vector_versions_[vector] = std::move(versions);
  }
  Bitset live = take_bits(in, slots);
  Bitset is_uuid = take_bits(in, slots);
  sealed_ = take_bits(in, slots);
  ensure_slots(slots);
  return in.done() && ids_.restore(std::move(numbers), std::move(given), std::move(is_uuid), std::move(live));
}

bool Collection::replay_changes(const StateName& name) {
  uint64_t last = name.operation;
  bool sound = true;
  const std::string prefix = Store::collection_key('j', cid_);
  auto it = changes_after(store_, cid_, name.operation, nullptr);
  for (; sound && it->Valid() && it->key().starts_with(prefix); it->Next()) {
    const uint64_t operation = Store::change_operation(it->key().ToStringView());
    // An operation of a server that kept no log would be missing here.
    if (operation != last + 1) return false;
    last = operation;
    ChangeLog::read(operation, it->value().ToStringView(), [&](const PointChange& change) { sound = sound && replay(change); });
  }
  check(it->status(), "cannot read the change log");
  return sound && last == operation_;
}

bool Collection::replay(const PointChange& change) {
  const uint32_t slot = change.point.slot;
  const uint32_t had = ids_.find(change.id);
  ++logged_points_;
  if (change.removed) {
    if (had == IdTable::kNone || had != slot) return false;
    ids_.erase(slot);
  } else if (had == IdTable::kNone) {
    if (slot == IdTable::kNone || ids_.live().test(slot)) return false;
    ids_.load(change.id, slot);
    ensure_slots(slot + size_t{1});
  } else if (had != slot) {
    return false;
  }
  versions_[slot] = change.removed ? 0 : change.point.version;
  for (auto& versions : vector_versions_) {
    if (slot < versions.size()) versions[slot] = 0;
  }
  for (const auto& [vector, version] : change.point.vectors) {
    if (vector >= vector_versions_.size()) return false;
    if (!change.removed && !record_.vectors[vector].removed) vector_versions_[vector][slot] = version;
  }
  if (!change.removed && change.point.sealed) {
    sealed_.set(slot);
  } else {
    sealed_.reset(slot);
  }
  return true;
}

// Loads what the state's file holds of the fields, as it was then and without the points that have changed since; `changed` gets these. False
// when there is no such file or the log does not reach `snapshot`.
bool Collection::load_indexes(std::vector<Fill>& fills, const rocksdb::Snapshot* snapshot, Changes& changed) const {
  if (!state_.indexes) return false;
  const auto bytes = read_state(folder_, StateKind::kIndexes, cid_, state_);
  if (!bytes) lose_state(StateKind::kIndexes, state_, "is missing or damaged");
  if (!bytes) return false;
  Bitset slots;
  {
    const std::string prefix = Store::collection_key('j', cid_);
    auto it = changes_after(store_, cid_, state_.operation, snapshot);
    for (; it->Valid() && it->key().starts_with(prefix); it->Next()) {
      ChangeLog::read(Store::change_operation(it->key().ToStringView()), it->value().ToStringView(), [&](const PointChange& change) {
        slots.set(change.point.slot);
        changed.insert(change.id);
      });
    }
    check(it->status(), "cannot read the change log");
  }
  ByteReader in(state_content(*bytes));
  while (!in.done()) {
    const std::string_view key = in.text();
    const auto type = static_cast<FieldType>(in.u8());
    const std::string_view params = in.text();
    const uint64_t size = in.u64();
    const std::string_view saved(in.span(size), size);
    for (Fill& fill : fills) {
      if (fill.build == nullptr || fill.temporary || fill.field.key != key || fill.field.type != type || fill.field.params != params) continue;
      fill.loaded = fill.build->load(saved, slots);
      if (!fill.loaded) fill.build = PayloadIndexes::begin(fill.field.key, fill.field.type, fill.field.params);
    }
  }
  return true;
}

}  // namespace sealpoint
