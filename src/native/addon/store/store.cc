#include "store.h"

#include "cipher_env.h"
#include "log_check.h"

#include <rocksdb/file_checksum.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/write_buffer_manager.h>

#include <chrono>
#include <filesystem>

namespace sealpoint {

namespace {

constexpr size_t kMiB = 1024 * 1024;
// Together they bound what the store holds in memory; the rest of the data stays in the page cache.
constexpr size_t kBlockCacheBytes = 16 * kMiB;
constexpr size_t kPayloadCacheBytes = 16 * kMiB;
constexpr size_t kSealedPayloadCacheBytes = 1 * kMiB;
constexpr size_t kMemtableBytes = 32 * kMiB;
// There is such a store for each session's index, and it is written once.
constexpr size_t kSealedMemtableBytes = 12 * kMiB;
// Bounds what a start after kill -9 has to replay.
constexpr uint64_t kLogBytesMax = 96 * kMiB;
// Under constant load the mark is noted so often.
constexpr auto kMarkEvery = std::chrono::seconds(10);
constexpr const char* kMarkName = "/synced";
constexpr auto kCareEvery = std::chrono::seconds(5);
// While the store is about to close.
constexpr auto kStallEvery = std::chrono::milliseconds(100);

rocksdb::ColumnFamilyOptions family(const std::shared_ptr<rocksdb::Cache>& cache, size_t write_buffer, size_t block) {
  rocksdb::ColumnFamilyOptions options;
  options.write_buffer_size = write_buffer;
  options.max_write_buffer_number = 3;
  options.compression = rocksdb::kNoCompression;
  options.level_compaction_dynamic_level_bytes = true;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.cache_index_and_filter_blocks = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.block_size = block;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.format_version = 5;
  // Answers read points one by one: short runs of delta-coded keys cost less to search than they save.
  table.block_restart_interval = 4;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

// `tight`: opened on a disk that is nearly full. What the log holds then stays in memtables, however much it is; the bound of all memtables flushes them as soon
// as there are writes and room.
std::vector<rocksdb::ColumnFamilyDescriptor> column_families(const std::shared_ptr<rocksdb::Cache>& cache, bool tight) {
  auto vectors = family(cache, 16 * kMiB, 4096);
  // Vectors never change in place: blob files keep compaction from copying them again and again.
  vectors.enable_blob_files = true;
  vectors.min_blob_size = 128;
  vectors.blob_file_size = 64 * kMiB;
  vectors.enable_blob_garbage_collection = true;
  auto payloads = family(cache, 16 * kMiB, 4096);
  payloads.compression = rocksdb::kLZ4Compression;
  std::vector<rocksdb::ColumnFamilyDescriptor> all = {{rocksdb::kDefaultColumnFamilyName, family(cache, 2 * kMiB, 4096)},
                                                      {"points", family(cache, 8 * kMiB, 4096)},
                                                      {"payloads", payloads},
                                                      {"vectors", vectors}};
  if (tight) {
    for (auto& each : all) each.options.write_buffer_size = 2 * kLogBytesMax;
  }
  return all;
}

class Silence : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

// Whether memtables hold nothing, so that the logs may be empty.
bool all_in_tables(rocksdb::DB& db, const std::vector<rocksdb::ColumnFamilyHandle*>& handles) {
  for (auto* handle : handles) {
    for (const auto* property : {&rocksdb::DB::Properties::kNumEntriesActiveMemTable, &rocksdb::DB::Properties::kNumDeletesActiveMemTable,
                                 &rocksdb::DB::Properties::kNumImmutableMemTable}) {
      uint64_t count = 1;
      if (!db.GetIntProperty(handle, *property, &count) || count != 0) return false;
    }
  }
  return true;
}

bool write_mark(rocksdb::Env* given, const std::string& folder, const SyncMark& mark) {
  auto* env = given != nullptr ? given : rocksdb::Env::Default();
  const std::string path = folder + kMarkName;
  if (!rocksdb::WriteStringToFile(env, mark_text(mark), path + ".tmp", true).ok() || !env->RenameFile(path + ".tmp", path).ok()) return false;
  std::unique_ptr<rocksdb::Directory> names;
  return env->NewDirectory(folder, &names).ok() && names->Fsync().ok();
}

}  // namespace

void check(const rocksdb::Status& status, const char* doing) {
  if (status.ok()) return;
  const std::string text = std::string(doing) + ": " + status.ToString();
  if (status.IsNoSpace()) throw Error(ErrorKind::kExhausted, text);
  if (status.IsCorruption()) throw Error(ErrorKind::kDataLoss, text);
  if (status.IsIOError() || status.IsBusy() || status.IsAborted()) throw Error(ErrorKind::kUnavailable, text);
  throw Error(ErrorKind::kInternal, text);
}

Store::Store(const std::string& path, const StoreOptions& store_options)
    : options_(store_options), path_(path), payload_cache_(store_options.cipher != nullptr ? kSealedPayloadCacheBytes : kPayloadCacheBytes) {
  std::error_code failure;
  if (!options_.read_only) std::filesystem::create_directories(path, failure);
  if (failure) throw Error(ErrorKind::kUnavailable, "cannot create the data folder: " + failure.message());
  cache_ = rocksdb::NewLRUCache(kBlockCacheBytes);
  rocksdb::DBOptions options;
  options.create_if_missing = !options_.read_only;
  options.create_missing_column_families = true;
  options.max_background_jobs = 2;
  options.max_total_wal_size = kLogBytesMax;
  options.write_buffer_manager = std::make_shared<rocksdb::WriteBufferManager>(options_.cipher != nullptr ? kSealedMemtableBytes : kMemtableBytes);
  options.keep_log_file_num = 2;
  options.max_log_file_size = 4 * kMiB;
  options.max_open_files = 512;
  options.bytes_per_sync = kMiB;
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  options.paranoid_checks = true;
  // Its purges run in the background, which RocksDB does not have ready for a read-only store.
  options.avoid_unnecessary_blocking_io = !options_.read_only;
  options.track_and_verify_wals_in_manifest = true;
  // Checksums of whole files stand in the manifest, so that damage to a blob file is found without reading each vector.
  options.file_checksum_gen_factory = rocksdb::GetFileChecksumGenCrc32cFactory();
  options.listeners.push_back(make_listener());
  if (options_.env != nullptr) options.env = options_.env;
  disk_ = std::make_unique<DiskGuard>(options.env, path, options_.read_only ? 0 : options_.disk_reserve);
  if (!options_.read_only) {
    options.env = disk_->env();
    // A full disk has no room for the log's data as tables: it stays in the log.
    options.avoid_flush_during_recovery = disk_->free_bytes() < kLogBytesMax;
  }
  if (options_.lazy) {
    lazy_ = std::make_unique<LazySync>(options.env);
    options.env = lazy_->env();
  }
  if (options_.cipher != nullptr) {
    cipher_env_ = make_cipher_env(options_.cipher, options.env);
    options.env = cipher_env_.get();
    // What does not open under the key was changed, so it is no torn end.
    options.wal_recovery_mode = rocksdb::WALRecoveryMode::kAbsoluteConsistency;
    // RocksDB writes its own log past the cipher.
    options.info_log = std::make_shared<Silence>();
  }
  const auto refuse_held = [&](const rocksdb::Status& status) {
    if (status.IsIOError() && status.ToString().find("lock") != std::string::npos) {
      throw Error(ErrorKind::kUnavailable, "the data folder " + path + " is in use by another server");
    }
  };
  // What the logs hold is judged before anything replays them, under the lock that keeps others from writing them.
  const bool exists = std::filesystem::is_directory(path + "/store");
  if (exists) {
    const auto status = options.env->LockFile(path + "/store/LOCK", &lock_);
    refuse_held(status);
    check(status, "cannot lock the store");
  }
  try {
    if (exists) find_losses();
    if (!options_.read_only) {
      disk_->require_opening();
      unlock();
    }
    const auto status = open(options);
    refuse_held(status);
    check(status, "cannot open the store");
    if (marked_ > db_->GetLatestSequenceNumber()) {
      losses_.push_back("the store ends at sequence " + std::to_string(db_->GetLatestSequenceNumber()) + ", but " + std::to_string(marked_) +
                        " was synced: a log is missing or cut short");
      if (!options_.read_only) note_mark(db_->GetLatestSequenceNumber());
    }
  } catch (...) {
    close();
    throw;
  }
  if (options_.read_only) return;
  disk_->opened();
  syncer_ = std::thread([this] { sync_loop(); });
}

// Damage that recovery would pass over in silence, taking acknowledged writes along.
void Store::find_losses() {
  bool tables = false;
  for (const auto& entry : std::filesystem::directory_iterator(path_ + "/store")) {
    tables = tables || entry.path().extension() == ".sst" || entry.path().extension() == ".blob";
  }
  std::string why;
  const SyncMark mark = read_mark(path_ + kMarkName, why);
  marked_ = mark.sequence;
  // RocksDB would begin anew without a word.
  if ((tables || marked_ > 0) && !std::filesystem::exists(path_ + "/store/CURRENT")) {
    throw Error(ErrorKind::kDataLoss, "the store in " + path_ + " has lost its file CURRENT: bring the folder back from a backup");
  }
  // A mark that cannot be read is no loss by itself, and the next sync writes it anew.
  if (!why.empty() && options_.read_only) losses_.push_back(why);
  // A scan would find ciphertext. What lies under a cipher is a copy that can be made again, and RocksDB 7.8 asserts on some files that were changed.
  if (options_.cipher != nullptr) return check(read_small_files(*cipher_env_, path_ + "/store"), "an encrypted store");
  const LogScan logs = scan_logs(path_ + "/store");
  losses_.insert(losses_.end(), logs.damage.begin(), logs.damage.end());
  if (options_.read_only || options_.accept_losses) return;
  const bool in_tables = !mark.tables.empty() && mark.tables == tables_state(path_ + "/store");
  if (losses_.empty() && logs.last_sequence < marked_ && !in_tables) {
    // The tables may hold the rest: a look that changes nothing tells.
    StoreOptions look = options_;
    look.read_only = true;
    unlock();
    losses_ = Store(path_, look).losses();
  }
  if (losses_.empty()) return;
  throw Error(ErrorKind::kDataLoss, "the store in " + path_ + " may lack acknowledged writes: " + losses_.front() +
                                        "; nothing was changed: see `sealpoint verify` and `sealpoint repair`");
}

rocksdb::Status Store::open(rocksdb::DBOptions options) {
  const auto families = column_families(cache_, options.avoid_flush_during_recovery);
  rocksdb::DB* db = nullptr;
  rocksdb::Status status;
  if (options_.read_only) {
    // Not even a line in RocksDB's own log.
    options.info_log = std::make_shared<Silence>();
    status = rocksdb::DB::OpenForReadOnly(options, path_ + "/store", families, &handles_, &db);
  } else {
    status = rocksdb::DB::Open(options, path_ + "/store", families, &handles_, &db);
  }
  db_.reset(db);
  return status;
}

void Store::unlock() {
  if (lock_ == nullptr) return;
  (options_.env != nullptr ? options_.env : rocksdb::Env::Default())->UnlockFile(lock_);
  lock_ = nullptr;
}

void Store::make_durable() {
  if (lazy_ != nullptr) lazy_->begin(path_ + "/store");
}

void Store::close() {
  if (db_ != nullptr) {
    const bool whole = !options_.read_only && !failed() && all_in_tables(*db_, handles_);
    for (auto* handle : handles_) db_->DestroyColumnFamilyHandle(handle);
    handles_.clear();
    // Then the next start needs no look at the tables before it trusts them.
    const uint64_t sequence = db_->GetLatestSequenceNumber();
    const bool closed = db_->Close().ok();
    if (whole && closed) write_mark(options_.env, path_, {sequence, tables_state(path_ + "/store")});
    db_.reset();
  }
  unlock();
}

Store::~Store() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (syncer_.joinable()) syncer_.join();
  close();
}

// [sync thread, or while it stands still] Notes up to where the store is synced. A failure does no harm: the older note stays true.
void Store::note_mark(uint64_t sequence) {
  if (write_mark(options_.env, path_, {sequence, ""})) marked_ = sequence;
}

void Store::write(rocksdb::WriteBatch& batch, WriteUse use) {
  const char* refusal = "the store takes no writes: the disk failed earlier; restart the server when it is well";
  const char* full = "No space left on device: nothing was written; make room and try again";
  if (failed()) throw Error(ErrorKind::kUnavailable, refusal);
  admit(batch.GetDataSize(), use);
  rocksdb::WriteOptions options;
  options.sync = false;
  // Nothing would end a stall once the store is about to close.
  options.no_slowdown = closing_full();
  const auto status = db_->Write(options, &batch);
  if (status.IsNoSpace() || (options.no_slowdown && status.IsIncomplete()) || (ended_ && !status.ok())) throw Error(ErrorKind::kExhausted, full);
  if (!status.ok() && failed()) throw Error(ErrorKind::kUnavailable, refusal);
  check(status, "cannot write");
  if (options_.fsync != FsyncPolicy::kInterval) return;
  std::lock_guard lock(mutex_);
  if (!dirty_) wake_.notify_one();
  dirty_ = true;
}

void Store::when_durable(std::function<void(bool)> done) {
  if (options_.fsync != FsyncPolicy::kAlways) {
    done(!failed());
    return;
  }
  enqueue(std::move(done));
}

void Store::enqueue(std::function<void(bool)> done) {
  {
    std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(done));
  }
  wake_.notify_one();
}

void Store::nudge() {
  if (options_.fsync == FsyncPolicy::kAlways) enqueue([](bool) {});
}

void Store::sync() {
  std::mutex mutex;
  std::condition_variable ready;
  int outcome = -1;
  enqueue([&](bool durable) {
    std::lock_guard lock(mutex);
    outcome = durable ? 1 : 0;
    ready.notify_one();
  });
  std::unique_lock lock(mutex);
  ready.wait(lock, [&] { return outcome >= 0; });
  if (outcome == 0) throw Error(ErrorKind::kUnavailable, "the disk did not confirm the write");
}

bool Store::sync_log() {
  std::lock_guard gate(disk_->sync_gate());
  // After a failed fsync the kernel may have dropped the pages, so no later success can be trusted.
  if (failed()) return false;
  const uint64_t sequence = db_->GetLatestSequenceNumber();
  const bool durable = db_->SyncWAL().ok();
  if (!durable) failed_ = true;
  if (durable) synced_ = sequence;
  ++syncs_;
  return durable && !failed_;
}

void Store::sync_loop() {
  using Clock = std::chrono::steady_clock;
  constexpr auto never = Clock::time_point::max();
  const auto interval = std::chrono::milliseconds(std::max(1u, options_.fsync_interval_ms));
  const auto mark_after = std::chrono::milliseconds(options_.mark_after_ms);
  auto sync_due = never, mark_due = never, marked_at = Clock::now(), care_due = Clock::now() + kCareEvery;
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto now = Clock::now();
    if (dirty_ && sync_due == never) sync_due = now + interval;
    if (waiting_.empty() && sync_due > now) {
      if (mark_due <= now || (stopping_ && mark_due != never)) {
        lock.unlock();
        note_mark(synced_);
        lock.lock();
        mark_due = never;
        marked_at = now;
        continue;
      }
      if (stopping_) return;
      if (now >= care_due) {
        lock.unlock();
        disk_->restock();
        end_stall();
        lock.lock();
        care_due = now + (disk_->given_up() ? kStallEvery : kCareEvery);
        continue;
      }
      const bool armed = sync_due != never, given_up = disk_->given_up();
      if (given_up) care_due = std::min(care_due, now + kStallEvery);
      const auto called = [&] { return stopping_ || !waiting_.empty() || (dirty_ && !armed) || disk_->given_up() != given_up; };
      const auto wake_at = std::min({sync_due, mark_due, care_due});
      wake_.wait_until(lock, wake_at, called);
      continue;
    }
    auto batch = std::move(waiting_);
    waiting_.clear();
    dirty_ = false;
    sync_due = never;
    lock.unlock();
    const bool durable = sync_log();
    if (durable && synced_ > marked_) {
      if (mark_after.count() == 0 || now - marked_at > kMarkEvery) {
        note_mark(synced_);
        marked_at = now;
      } else {
        mark_due = now + mark_after;
      }
    }
    for (auto& done : batch) done(durable);
    batch.clear();
    lock.lock();
  }
}

Snapshot Store::snapshot() {
  rocksdb::DB* db = db_.get();
  return Snapshot(db->GetSnapshot(), [db](const rocksdb::Snapshot* snapshot) { db->ReleaseSnapshot(snapshot); });
}

size_t Store::memtable_bytes() {
  uint64_t memtables = 0;
  db_->GetAggregatedIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables, &memtables);
  return memtables;
}

uint64_t Store::payload_bytes(uint32_t cid) {
  const std::string from = cid_prefix(cid), to = cid_prefix(cid + 1);
  const rocksdb::Range range(from, to);
  rocksdb::SizeApproximationOptions options;
  options.include_memtables = true;
  uint64_t size = 0;
  (void)db_->GetApproximateSizes(options, payloads(), &range, 1, &size);
  return size;
}

size_t Store::disk_bytes() {
  uint64_t total = 0;
  for (auto* handle : handles_) {
    uint64_t tables = 0, blobs = 0;
    db_->GetIntProperty(handle, rocksdb::DB::Properties::kTotalSstFilesSize, &tables);
    db_->GetIntProperty(handle, rocksdb::DB::Properties::kTotalBlobFileSize, &blobs);
    total += tables + blobs;
  }
  return total;
}

std::string Store::collection_key(char kind, uint32_t cid) { return std::string(1, kind) + cid_prefix(cid); }

std::string Store::change_key(uint32_t cid, uint64_t operation) {
  std::string key = collection_key('j', cid);
  for (int shift = 56; shift >= 0; shift -= 8) key.push_back(static_cast<char>(operation >> shift));
  return key;
}

uint64_t Store::change_operation(std::string_view key) {
  uint64_t operation = 0;
  for (const char byte : key.substr(5)) operation = operation << 8 | static_cast<uint8_t>(byte);
  return operation;
}

std::string Store::cid_prefix(uint32_t cid) {
  std::string key;
  for (int shift = 24; shift >= 0; shift -= 8) key.push_back(static_cast<char>(cid >> shift));
  return key;
}

std::string Store::point_key(uint32_t cid, const PointId& id) {
  std::string key = cid_prefix(cid);
  id.append_key(key);
  return key;
}

std::string Store::vector_prefix(uint32_t cid, uint16_t vector) {
  std::string key = cid_prefix(cid);
  key.push_back(static_cast<char>(vector >> 8));
  key.push_back(static_cast<char>(vector));
  return key;
}

std::string Store::vector_key(uint32_t cid, uint16_t vector, const PointId& id) {
  std::string key = vector_prefix(cid, vector);
  id.append_key(key);
  return key;
}

}  // namespace sealpoint
