// Collections and aliases: made, changed, told and deleted, one change at a time.
#include <sys/random.h>

#include <algorithm>
#include <filesystem>

#include "engine.h"

namespace sealpoint {

namespace {

// An empty collection with its first points; each books exactly what it holds.
constexpr uint64_t kNewCollectionBytes = 32 << 10;

std::string random_bytes(size_t size) {
  std::string bytes(size, '\0');
  if (getrandom(bytes.data(), size, 0) != static_cast<ssize_t>(size)) throw Error(ErrorKind::kInternal, "the system gives no random bytes");
  return bytes;
}

}  // namespace

void no_collection(std::string_view name) {
  // Qdrant's validator asks for a name before anything is looked for.
  if (name.empty()) {
    throw Error(ErrorKind::kBadInput, "Validation error in body: [collection_name: value \"\" invalid, must be from 1 to 255 characters]", "collection_name");
  }
  throw Error(ErrorKind::kNotFound, "Not found: Collection `" + std::string(name) + "` doesn't exist!", "collection_name");
}

std::string Engine::create_collection(ByteReader& in) {
  CollectionRecord record;
  record.name = in.text();
  record.config = in.text();
  record.sealing = in.text();
  for (uint32_t n = in.u32(); n > 0; --n) record.vectors.push_back(VectorField::read(in));
  std::lock_guard admin(admin_mutex_);
  {
    std::shared_lock lock(names_mutex_);
    if (collections_.size() >= options_.collections_max && !collections_.contains(record.name)) {
      throw Error(ErrorKind::kExhausted, "no more than " + std::to_string(options_.collections_max) + " collections", "collection_name");
    }
    if (collections_.contains(record.name)) {
      throw Error(ErrorKind::kAlreadyExists, "Wrong input: Collection `" + record.name + "` already exists!", "collection_name");
    }
    if (aliases_.contains(record.name)) {
      throw Error(ErrorKind::kBadInput, "Wrong input: Can't create collection with name " + record.name + ". Alias with the same name already exists",
                  "collection_name");
    }
  }
  record.cid = next_cid_;
  // No two collections ever share an epoch, or an alias that moved would let a write through on another's policy.
  record.epoch = (uint64_t{record.cid} << 24) + 1;
  record.sealing_id = random_bytes(16);
  record.accepted_ids = {record.sealing_id};
  const std::string name = record.name;
  Booking room(budget_);
  room.grow(kNewCollectionBytes, "Collection `" + name + "`: a new collection");
  const std::string folder = path_ + "/segments/" + std::to_string(record.cid);
  std::filesystem::create_directories(folder);
  ByteWriter next;
  next.u32(next_cid_ + 1);
  rocksdb::WriteBatch batch;
  batch.Put(store_->meta(), "n", next.bytes());
  batch.Put(store_->meta(), Store::collection_key('c', record.cid), record.encode());
  auto collection = std::make_shared<Collection>(*store_, budget_, folder, std::move(record));
  collection->set_filler(filler_.get());
  collection->set_cutter(cutter_.get());
  store_->write(batch);
  ++next_cid_;
  std::unique_lock lock(names_mutex_);
  collections_.emplace(name, std::move(collection));
  ++collections_changes_;
  return {};
}

std::string Engine::update_collection(ByteReader& in) {
  const auto collection = require(in.text());
  const uint64_t epoch = in.u64();
  const std::string config(in.text());
  std::vector<VectorField> vectors;
  for (uint32_t n = in.u32(); n > 0; --n) vectors.push_back(VectorField::read(in));
  collection->replace_record(epoch, &config, nullptr, &vectors);
  optimize_wake_.notify_all();
  return {};
}

std::string Engine::set_sealing(ByteReader& in) {
  const auto collection = require(in.text());
  const uint64_t epoch = in.u64();
  const std::string sealing(in.text());
  collection->replace_record(epoch, nullptr, &sealing, nullptr);
  return {};
}

// text name, u8 writes, u32 operations in a minute, u64 cost. Answers u8 granted, f64 available, f64 seconds until there are enough (0: never).
std::string Engine::spend(ByteReader& in) {
  const auto collection = require(in.text());
  const bool writes = in.u8() != 0;
  const uint32_t per_minute = in.u32();
  const RateAnswer answer = collection->spend(writes, per_minute, in.u64());
  ByteWriter out;
  out.u8(answer.granted ? 1 : 0);
  out.put<double>(answer.available);
  out.put<double>(answer.retry_after_seconds);
  return std::move(out.bytes());
}

// text name, u64 epoch, text config, u8 kind: 0 nothing, 1 add (vector field), 2 delete (text vector name).
WriteOutcome Engine::change_vectors(ByteReader& in) {
  const auto collection = require(in.text());
  const uint64_t epoch = in.u64();
  const std::string config(in.text());
  const uint8_t kind = in.u8();
  if (kind == 1) {
    const VectorField field = VectorField::read(in);
    return collection->change_vectors(epoch, config, &field, nullptr);
  }
  const std::string name(kind == 2 ? in.text() : std::string_view());
  return collection->change_vectors(epoch, config, nullptr, kind == 2 ? &name : nullptr);
}

std::string Engine::delete_collection(ByteReader& in) {
  // By its own name only, as in Qdrant: who drops an alias does not mean what it points to.
  const std::string name(in.text());
  ByteWriter out;
  std::lock_guard admin(admin_mutex_);
  std::shared_ptr<Collection> collection;
  std::vector<std::string> aliases;
  {
    std::shared_lock lock(names_mutex_);
    const auto found = collections_.find(name);
    if (found != collections_.end()) collection = found->second;
    for (const auto& [alias, target] : aliases_) {
      if (target == name) aliases.push_back(alias);
    }
  }
  if (collection == nullptr) {
    out.u8(0);
    return std::move(out.bytes());
  }
  const uint32_t cid = collection->cid();
  rocksdb::WriteBatch batch;
  for (const auto& alias : aliases) batch.Delete(store_->meta(), "a" + alias);
  collection->drop(batch);
  ++collections_changes_;
  {
    std::unique_lock lock(names_mutex_);
    collections_.erase(name);
    for (const auto& alias : aliases) aliases_.erase(alias);
  }
  {
    std::lock_guard lock(strands_mutex_);
    strands_.erase(std::to_string(cid));
  }
  std::error_code failure;
  std::filesystem::remove_all(path_ + "/segments/" + std::to_string(cid), failure);
  out.u8(1);
  return std::move(out.bytes());
}

std::string Engine::info(ByteReader& in) {
  const auto collection = require(in.text());
  const CollectionRecord record = collection->record();
  const CollectionStats stats = collection->stats();
  ByteWriter out;
  out.text(record.name);
  out.text(record.config);
  out.text(record.sealing);
  out.text(record.sealing_id);
  out.u32(static_cast<uint32_t>(record.accepted_ids.size()));
  for (const auto& id : record.accepted_ids) out.text(id);
  out.u64(record.epoch);
  out.u64(stats.points);
  out.u64(stats.indexed);
  out.u64(stats.segments);
  out.u64(stats.sealed);
  out.u64(stats.memory.tail);
  out.u64(stats.memory.ids);
  out.u64(stats.memory.payload_indexes);
  out.u64(stats.memory.mapped);
  out.u64(stats.memory.graph);
  out.u8(stats.building ? 1 : 0);
  out.u8(stats.wants_build ? 1 : stats.build_pending ? 2 : 0);
  out.text(stats.optimizer_error);
  const auto indexes = collection->index_infos();
  out.u32(static_cast<uint32_t>(indexes.size()));
  for (const auto& index : indexes) {
    out.text(index.key);
    out.u8(static_cast<uint8_t>(index.type));
    out.text(index.params);
    out.u64(index.points);
    out.u64(index.bytes);
  }
  out.u64(stats.vector_bytes);
  out.u64(stats.payload_bytes);
  const auto tally = collection->snapshot_tally();
  out.u32(tally->writing);
  out.u32(tally->restoring);
  out.u64(tally->written);
  return std::move(out.bytes());
}

// u32 n, then of each vector name: text name, u8 sparse, u64 tail, graph, mapped file and what of it is in memory; u32 n, then of each payload index:
// text key, u64 bytes.
std::string Engine::collection_memory(ByteReader& in) {
  const auto collection = require(in.text());
  ByteWriter out;
  const auto vectors = collection->vector_memory();
  out.u32(static_cast<uint32_t>(vectors.size()));
  for (const auto& vector : vectors) {
    out.text(vector.name);
    out.u8(vector.sparse ? 1 : 0);
    out.u64(vector.tail);
    out.u64(vector.graph);
    out.u64(vector.mapped);
    out.u64(vector.resident);
  }
  const auto indexes = collection->index_infos();
  out.u32(static_cast<uint32_t>(indexes.size()));
  for (const auto& index : indexes) {
    out.text(index.key);
    out.u64(index.bytes);
  }
  return std::move(out.bytes());
}

// Figures for /metrics; src/engine/embedded/embedded-engine.ts reads them.
std::string Engine::stats() {
  // The greatest integer that a JavaScript number holds.
  constexpr uint64_t kUnknownBytes = (uint64_t{1} << 53) - 1;
  ByteWriter out;
  out.u64(store_->syncs());
  out.u64(store_->disk_bytes());
  out.u64(in_flight_);
  out.u64(budget_.booked());
  out.u64(budget_.process_limit());
  out.u64(budget_.collection_limit());
  out.u64(std::min(store_->free_bytes(), kUnknownBytes));
  out.u64(store_->reserve());
  // u32 n, then what the start left out: text collection, text file and reason; u64 rows that came from
  // state files, u64 collections that began from theirs.
  constexpr size_t kLeftOutMax = 1'000;
  uint64_t from_state = 0, rows_from_state = 0;
  std::vector<std::pair<std::string, std::string>> left_out;
  {
    std::shared_lock lock(names_mutex_);
    for (const auto& [name, collection] : collections_) {
      from_state += collection->started_from_state() ? 1 : 0;
      rows_from_state += collection->rows_from_state();
      for (std::string& one : collection->left_out()) {
        if (left_out.size() < kLeftOutMax) left_out.emplace_back(name, std::move(one));
      }
    }
  }
  out.u32(static_cast<uint32_t>(left_out.size()));
  for (const auto& [collection, what] : left_out) {
    out.text(collection);
    out.text(what);
  }
  out.u64(rows_from_state);
  out.u64(from_state);
  return std::move(out.bytes());
}

// u32 n: the n collections that hold most memory, most first. Answers u32 n, each the name.
std::string Engine::largest_collections(ByteReader& in) const {
  const size_t count = in.u32();
  std::vector<std::pair<uint64_t, std::string_view>> sizes;
  ByteWriter out;
  std::shared_lock lock(names_mutex_);
  sizes.reserve(collections_.size());
  for (const auto& [name, collection] : collections_) sizes.emplace_back(collection->booked(), name);
  const auto end = sizes.begin() + static_cast<ptrdiff_t>(std::min(count, sizes.size()));
  std::partial_sort(sizes.begin(), end, sizes.end(), [](const auto& a, const auto& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; });
  out.u32(static_cast<uint32_t>(end - sizes.begin()));
  for (auto at = sizes.begin(); at != end; ++at) out.text(at->second);
  return std::move(out.bytes());
}

// u32 n, each: u8 1 create (alias, collection), 2 rename (from, to), 3 delete (alias).
std::string Engine::update_aliases(ByteReader& in) {
  std::lock_guard admin(admin_mutex_);
  auto next = aliases_;
  for (uint32_t n = in.u32(); n > 0; --n) {
    const uint8_t kind = in.u8();
    const std::string first(in.text());
    if (kind == 3) {
      next.erase(first);
      continue;
    }
    const std::string second(in.text());
    if (kind == 1) {
      if (!collections_.contains(second)) no_collection(second);
      if (collections_.contains(first)) {
        throw Error(ErrorKind::kAlreadyExists, "Wrong input: Collection `" + first + "` already exists!", "alias_name");
      }
      next[first] = second;
    } else {
      const auto found = next.find(first);
      if (found == next.end()) throw Error(ErrorKind::kNotFound, "Not found: Alias " + first + " does not exists!", "old_alias_name");
      if (collections_.contains(second)) {
        throw Error(ErrorKind::kAlreadyExists, "Wrong input: Collection `" + second + "` already exists!", "new_alias_name");
      }
      const std::string target = found->second;
      next.erase(found);
      next[second] = target;
    }
  }
  rocksdb::WriteBatch batch;
  for (const auto& [alias, target] : aliases_) {
    if (!next.contains(alias)) batch.Delete(store_->meta(), "a" + alias);
  }
  for (const auto& [alias, target] : next) batch.Put(store_->meta(), "a" + alias, target);
  store_->write(batch);
  std::unique_lock lock(names_mutex_);
  aliases_ = std::move(next);
  return {};
}

std::string Engine::list_aliases(ByteReader& in) {
  const std::string_view collection = in.text();
  if (!collection.empty()) require(collection);
  ByteWriter rows;
  uint32_t count = 0;
  std::shared_lock lock(names_mutex_);
  for (const auto& [alias, target] : aliases_) {
    if (!collection.empty() && target != collection) continue;
    rows.text(alias);
    rows.text(target);
    ++count;
  }
  ByteWriter out;
  out.u32(count);
  out.raw(rows.bytes().data(), rows.bytes().size());
  return std::move(out.bytes());
}

}  // namespace sealpoint
