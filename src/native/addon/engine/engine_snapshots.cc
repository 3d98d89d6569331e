// Snapshots: written beside the writes, and restored under a cid of their own until one batch puts them in place.
#include <sys/random.h>

#include <filesystem>

#include "engine.h"
#include "snapshot_reader.h"
#include "snapshot_writer.h"

namespace sealpoint {

namespace {

using Tallies = std::vector<std::shared_ptr<SnapshotTally>>;

// Counts work on some collections as long as it lasts.
class Running {
 public:
  Running(std::atomic<uint32_t> SnapshotTally::*which, Tallies tallies) : which_(which), tallies_(std::move(tallies)) {
    for (const auto& each : tallies_) ++(each.get()->*which_);
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    for (const auto& each : tallies_) --(each.get()->*which_);
  }

 private:
  std::atomic<uint32_t> SnapshotTally::*which_;
  const Tallies tallies_;
};

}  // namespace

// text collection (empty: the whole storage), text path of the new file, text path of the snapshot that it is based on (empty: none). Answers
// u64 size, text SHA-256.
std::string Engine::create_snapshot(ByteReader& in) {
  const std::string name(in.text()), path(in.text()), base_path(in.text());
  std::optional<SnapshotBase> base;
  std::vector<SnapshotSource> sources;
  std::vector<std::pair<std::string, std::string>> aliases;
  Tallies tallies;
  if (!name.empty()) {
    const auto collection = require(name);
    sources.push_back(collection->snapshot_source());
    tallies.push_back(collection->snapshot_tally());
    if (!base_path.empty()) base = read_base(base_path, sources.front().record, closing_);
  } else {
    std::shared_lock lock(names_mutex_);
    for (const auto& [each, collection] : collections_) {
      sources.push_back(collection->snapshot_source());
      tallies.push_back(collection->snapshot_tally());
    }
    aliases.assign(aliases_.begin(), aliases_.end());
  }
  const Running running(&SnapshotTally::writing, tallies);
  const auto [size, sha256] = write_snapshot(*store_, sources, aliases, name.empty(), base, path, closing_);
  for (const auto& each : tallies) ++each->written;
  ByteWriter out;
  out.u64(size);
  out.text(sha256);
  return std::move(out.bytes());
}

uint32_t Engine::allocate_restored() {
  std::lock_guard admin(admin_mutex_);
  ByteWriter next;
  next.u32(next_cid_ + 1);
  rocksdb::WriteBatch batch;
  batch.Put(store_->meta(), "n", next.bytes());
  batch.Put(store_->meta(), restore_mark(next_cid_), "");
  store_->write(batch);
  // Ingested rows reach the disk before the next log record does: the mark must be there first.
  store_->sync();
  return next_cid_++;
}

// u32 n and as many paths, the oldest first and each of the others based on the one before it; text collection (empty: the whole storage under its
// own names), text SHA-256 of the last (empty: not asked). Answers u32 n, each restored collection's name.
std::string Engine::restore_snapshot(ByteReader& in) {
  std::vector<std::string> paths;
  for (uint32_t n = in.u32(); n > 0; --n) paths.emplace_back(in.text());
  if (paths.empty()) throw Error(ErrorKind::kInternal, "no snapshot to restore");
  std::string name(in.text());
  const std::string sha256(in.text());
  Tallies tallies;
  {
    std::shared_lock lock(names_mutex_);
    const auto alias = aliases_.find(name);
    if (alias != aliases_.end()) name = alias->second;
    // What a snapshot of the whole storage replaces is known only at the end, so nothing is counted there.
    const auto replaced = collections_.find(name);
    if (replaced != collections_.end()) tallies.push_back(replaced->second->snapshot_tally());
  }
  const Running running(&SnapshotTally::restoring, std::move(tallies));
  std::vector<uint32_t> marked;
  std::vector<std::shared_ptr<Collection>> fresh;
  const auto discard = [&] {
    fresh.clear();
    for (const uint32_t cid : marked) {
      std::error_code failure;
      std::filesystem::remove_all(path_ + "/segments/" + std::to_string(cid), failure);
      try {
        discard_rows(*store_, cid);
      } catch (const Error&) {
        // The mark stays, and the next start removes them.
      }
    }
  };
  try {
    const std::function<uint32_t()> allocate = [&] {
      marked.push_back(allocate_restored());
      return marked.back();
    };
    const std::string folder = path_ + "/restore";
    StagedSnapshot staged = paths.size() == 1 ? stage_snapshot(*store_, paths.front(), folder, sha256, allocate, closing_)
                                              : stage_chain(*store_, paths, folder, sha256, allocate, closing_);
    if (staged.full != name.empty()) {
      throw Error(ErrorKind::kBadInput, staged.full ? "Wrong input: the file is a snapshot of the whole storage, not of a collection"
                                                    : "Wrong input: the file is a snapshot of a collection, not of the whole storage", "location");
    }
    if (!name.empty()) staged.collections.front().record.name = name;
    Booking room(budget_);
    uint64_t bytes = 0;
    for (const StagedCollection& one : staged.collections) bytes += one.memory_bytes();
    room.grow(bytes, "the restored snapshot");
    for (StagedCollection& one : staged.collections) {
      own_sealing_id(one.record);
      one.record.epoch = (uint64_t{one.record.cid} << 24) + 1;
      const std::string folder = path_ + "/segments/" + std::to_string(one.record.cid);
      std::filesystem::create_directories(folder);
      fresh.push_back(std::make_shared<Collection>(*store_, budget_, folder, one.record, one.operation, one.streams));
      fresh.back()->set_filler(filler_.get());
      fresh.back()->set_cutter(cutter_.get());
    }
    put_in_place(staged, fresh);
  } catch (...) {
    discard();
    throw;
  }
  ByteWriter out;
  out.u32(static_cast<uint32_t>(fresh.size()));
  for (const auto& collection : fresh) out.text(collection->record().name);
  return std::move(out.bytes());
}

// A collection beside the one that the snapshot was taken of gets a binding of its own, and opens envelopes of the old one too.
void Engine::own_sealing_id(CollectionRecord& record) const {
  std::shared_lock lock(names_mutex_);
  for (const auto& [name, collection] : collections_) {
    if (name == record.name || collection->record().sealing_id != record.sealing_id) continue;
    std::string id(16, '\0');
    if (getrandom(id.data(), id.size(), 0) != static_cast<ssize_t>(id.size())) throw Error(ErrorKind::kInternal, "the system gives no random bytes");
    record.sealing_id = id;
    record.accepted_ids.insert(record.accepted_ids.begin(), id);
    return;
  }
}

void Engine::put_in_place(const StagedSnapshot& staged, const std::vector<std::shared_ptr<Collection>>& fresh) {
  std::lock_guard admin(admin_mutex_);
  std::vector<std::shared_ptr<Collection>> replaced;
  rocksdb::WriteBatch batch;
  auto aliases = aliases_;
  for (size_t i = 0; i < fresh.size(); ++i) {
    const StagedCollection& one = staged.collections[i];
    const auto found = collections_.find(one.record.name);
    if (found != collections_.end()) {
      replaced.push_back(found->second);
      fresh[i]->set_snapshot_tally(found->second->snapshot_tally());
    }
    // In a snapshot of the whole storage the names of its collections win over aliases that came later.
    if (aliases.erase(one.record.name) != 0) batch.Delete(store_->meta(), "a" + one.record.name);
    one.commit(*store_, batch);
  }
  if (collections_.size() - replaced.size() + fresh.size() > options_.collections_max) {
    throw Error(ErrorKind::kExhausted, "no more than " + std::to_string(options_.collections_max) + " collections", "collection_name");
  }
  if (staged.full) {
    for (const auto& [alias, target] : staged.aliases) {
      if (collections_.contains(alias)) continue;
      aliases[alias] = target;
      batch.Put(store_->meta(), "a" + alias, target);
    }
  }
  for (const auto& old : replaced) {
    batch.Delete(store_->meta(), Store::collection_key('c', old->cid()));
    batch.Put(store_->meta(), restore_mark(old->cid()), "");
  }
  // From here on nothing is acknowledged that would go with the old ones.
  for (const auto& old : replaced) old->retire(true);
  try {
    store_->write(batch);
  } catch (...) {
    for (const auto& old : replaced) old->retire(false);
    throw;
  }
  // Now there is no way back: what is being built of them is of no use, and nobody finds them any more to end it.
  for (const auto& old : replaced) old->stop_builds();
  // Their views of the store were taken before the records were in it.
  const Snapshot now = store_->snapshot();
  for (const auto& collection : fresh) collection->refresh_snapshot(now);
  {
    std::unique_lock lock(names_mutex_);
    for (const auto& collection : fresh) collections_[collection->record().name] = collection;
    aliases_ = std::move(aliases);
  }
  ++collections_changes_;
  optimize_wake_.notify_all();
  for (const auto& old : replaced) {
    {
      std::lock_guard lock(strands_mutex_);
      strands_.erase(std::to_string(old->cid()));
    }
    std::error_code failure;
    std::filesystem::remove_all(path_ + "/segments/" + std::to_string(old->cid()), failure);
    try {
      discard_rows(*store_, old->cid());
    } catch (const Error&) {
      // The mark stays, and the next start removes them.
    }
  }
}

// What a stop in the middle of a restore left.
void Engine::discard_marked() {
  std::vector<uint32_t> marked;
  {
    const std::unique_ptr<rocksdb::Iterator> it(store_->db().NewIterator({}, store_->meta()));
    for (it->Seek("r"); it->Valid() && it->key().starts_with("r"); it->Next()) {
      uint32_t cid = 0;
      for (const char byte : it->key().ToStringView().substr(1)) cid = cid << 8 | static_cast<uint8_t>(byte);
      marked.push_back(cid);
    }
    check(it->status(), "cannot read the marks of restores");
  }
  for (const uint32_t cid : marked) discard_rows(*store_, cid);
  std::error_code failure;
  std::filesystem::remove_all(path_ + "/restore", failure);
}

}  // namespace sealpoint
