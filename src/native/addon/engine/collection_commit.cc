// A write's commit: one batch for the store and then, under the state's lock, the same for memory.
#include <algorithm>
#include <chrono>

#include "../payload/payload.h"
#include "change_log.h"
#include "collection_change.h"

namespace sealpoint {

namespace {

constexpr size_t kStreamsMax = 10'000;
// What a point takes beside its vectors and payload indexes (id, hash, versions, places), with the room that arrays keep for growing.
constexpr uint64_t kPointBytes = 64;
constexpr uint64_t kVectorBytes = 32;
// A sparse value is held in the slot and in a postings list.
constexpr uint64_t kSparseCopies = 4;

uint64_t wall_ms() {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count());
}

// What a vector may take in memory, beside what each one takes.
uint64_t memory_of(const VectorField& field, size_t row_bytes) {
  if (field.sparse) return row_bytes * kSparseCopies;
  if (field.multi) return field.multi_in_memory() ? row_bytes : 0;
  return uint64_t{field.dim} * 4;
}

}  // namespace

void Collection::remove_vector(size_t number, uint32_t slot) {
  if (record_.vectors[number].sparse) {
    sparse_[number].remove(slot);
  } else if (record_.vectors[number].multi) {
    multi_[number].remove(slot);
  } else {
    vectors_[number]->remove(slot);
  }
}

WriteOutcome Collection::commit(WriteContext& context) {
  const uint64_t operation = operation_ + 1;
  rocksdb::WriteBatch& batch = context.scratch->batch;
  const bool indexed = !indexes_->empty();
  size_t fresh = 0;
  size_t written = 0;
  WriteUse use = WriteUse::kMakesRoom;
  // What memory grows by at most. Payloads count where they are indexed, as much as they grow.
  uint64_t growth = 0;
  std::string stored;
  const bool logs = logs_changes_;
  ChangeLog log(operation);
  for (Change& change : context.changes) {
    if (!change.touched) continue;
    ++written;
    if (fill_changes_ != nullptr) fill_changes_->insert(change.id);
    const bool exists = change.slot != IdTable::kNone;
    const std::string key = Store::point_key(cid_, change.id);
    if (indexed && exists && (change.removed || change.payload)) payload_of(change);
    if (change.removed) {
      if (logs) log.removed(change.id, change.slot);
      batch.Delete(store_.points(), key);
      batch.Delete(store_.payloads(), key);
      for (size_t vector = 0; vector < vectors_.size(); ++vector) {
        if (vector_version(vector, change.slot) != 0) {
          batch.Delete(store_.vectors(), Store::vector_key(cid_, static_cast<uint16_t>(vector), change.id));
        }
      }
      continue;
    }
    if (!change.set.empty() || (change.payload && !change.payload->empty())) use = WriteUse::kGrows;
    PointRecord point;
    point.slot = exists ? change.slot : ids_.free_slot(fresh++);
    point.version = operation;
    point.sealed = change.payload ? payload::is_sealed(*change.payload) : exists && sealed_.test(change.slot);
    for (size_t vector = 0; vector < vectors_.size(); ++vector) {
      const auto number = static_cast<uint16_t>(vector);
      const uint64_t had = exists ? vector_version(vector, change.slot) : 0;
      const auto given = std::find_if(change.set.begin(), change.set.end(), [&](const auto& set) { return set.number == number; });
      if (given != change.set.end()) {
        point.vectors.emplace_back(number, operation);
        batch.Put(store_.vectors(), Store::vector_key(cid_, number, change.id),
                  given->row_bytes != 0 ? given->row() : record_.vectors[vector].stored(given->values, stored));
        continue;
      }
      if (had == 0) continue;
      const bool goes = change.replace_vectors || std::find(change.cleared.begin(), change.cleared.end(), number) != change.cleared.end();
      if (goes) {
        batch.Delete(store_.vectors(), Store::vector_key(cid_, number, change.id));
        if (change.replace_vectors) change.cleared.push_back(number);
      } else {
        point.vectors.emplace_back(number, had);
      }
    }
    batch.Put(store_.points(), key, point.encode());
    if (logs) log.written(change.id, point);
    if (change.payload) batch.Put(store_.payloads(), key, *change.payload);
    if (!exists) growth += kPointBytes;
    for (const WrittenVector& written : change.set) growth += kVectorBytes + memory_of(record_.vectors[written.number], written.row_bytes);
    if (indexed && change.payload) {
      const size_t before = change.old_payload ? change.old_payload->size() : 0;
      if (change.payload->size() > before) growth += change.payload->size() - before;
    }
  }
  begin_change(batch, log.bytes());
  std::string forgotten;
  if (!context.stream.empty()) {
    ByteWriter position;
    position.u64(context.sequence);
    position.u64(wall_ms());
    batch.Put(store_.meta(), Store::collection_key('s', cid_) + context.stream, position.bytes());
    if (streams_.size() >= kStreamsMax && !streams_.contains(context.stream)) {
      const auto oldest =
          std::min_element(streams_.begin(), streams_.end(), [](const auto& a, const auto& b) { return a.second.used_ms < b.second.used_ms; });
      forgotten = oldest->first;
      batch.Delete(store_.meta(), Store::collection_key('s', cid_) + forgotten);
    }
  }
  take_memory(growth);
  try {
    store_.write(batch, use);
  } catch (...) {
    booking_.shrink(growth);
    throw;
  }
  Snapshot fresh_snapshot = store_.snapshot();

  std::unique_lock lock(state_mutex_);
  for (Change& change : context.changes) {
    if (!change.touched) continue;
    if (change.removed) {
      if (indexed) indexes_->erase(change.slot, *change.old_payload);
      for (size_t vector = 0; vector < vectors_.size(); ++vector) {
        if (vector_version(vector, change.slot) == 0) continue;
        remove_vector(vector, change.slot);
        vector_versions_[vector][change.slot] = 0;
      }
      if (sealed_.test(change.slot)) --sealed_count_;
      sealed_.reset(change.slot);
      versions_[change.slot] = 0;
      ids_.erase(change.slot);
      continue;
    }
    const bool exists = change.slot != IdTable::kNone;
    if (!exists) {
      change.slot = ids_.free_slot(0);
      ids_.insert(change.id, change.slot);
      ensure_slots(change.slot + size_t{1});
    }
    versions_[change.slot] = operation;
    if (change.payload) {
      if (indexed) {
        if (exists) indexes_->erase(change.slot, *change.old_payload);
        indexes_->insert(change.slot, *change.payload);
      }
      const bool seals = payload::is_sealed(*change.payload);
      if (seals != sealed_.test(change.slot)) {
        if (seals) {
          sealed_.set(change.slot);
          ++sealed_count_;
        } else {
          sealed_.reset(change.slot);
          --sealed_count_;
        }
      }
    }
    for (const uint16_t vector : change.cleared) {
      if (vector_versions_[vector][change.slot] == 0) continue;
      remove_vector(vector, change.slot);
      vector_versions_[vector][change.slot] = 0;
    }
    for (const auto& given : change.set) {
      if (record_.vectors[given.number].sparse) {
        sparse_[given.number].upsert(change.slot, sparse_of_row(given.row()));
      } else if (record_.vectors[given.number].multi) {
        multi_[given.number].upsert(change.slot, given.row());
      } else {
        vectors_[given.number]->upsert(change.slot, operation, given.values);
      }
      vector_versions_[given.number][change.slot] = operation;
    }
  }
  operation_ = operation;
  uncounted_ = true;
  if (logs) logged_points_ += written;
  if (!context.stream.empty()) {
    if (!forgotten.empty()) streams_.erase(forgotten);
    streams_[context.stream] = {context.sequence, wall_ms()};
  }
  if (ids_.size() == 0 && ids_.slots() > 0) forget_slots();
  snapshot_.swap(fresh_snapshot);
  const bool cut = tails_want_cut();
  lock.unlock();
  touch(written);
  if (cut) request_cut();
  return {operation, true};
}

}  // namespace sealpoint
