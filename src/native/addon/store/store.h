// RocksDB, the only truth. One write batch holds everything that a write changes; it is in the log before anybody hears of
// it, and many writes share one fdatasync.
//
// Keys are a disk format and may never change:
//   meta      "c" cid            collection record (engine/collection_record.h)
//             "a" alias          collection name
//             "n"                next cid, u32 LE
//             "s" cid stream id  last applied sequence, time of last use (ms): two u64 LE
//             "o" cid            last operation id, u64 LE
//             "f" cid            the state file that may be believed (engine/state_file.h)
//             "g" cid vector     nothing; segments of this vector were built, so their manifest is there
//             "j" cid operation  what the operation changed, u64 BE (engine/change_log.h); only behind a state file
//             "r" cid            being restored, or replaced by a restore: its rows go at the next start
//   points    cid id             slot, version, flags, vectors present (engine/point_record.h)
//   payloads  cid id             payload bytes
//   vectors   cid vector id      f32 LE values; vector is the place of the name in the collection record, u16 BE
// cid is u32 BE; id is PointId's key form, so an iterator gives Qdrant's order.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include "../core/file_cipher.h"
#include "../core/point_id.h"
#include "../core/status.h"
#include "disk_guard.h"
#include "lazy_sync.h"
#include "payload_cache.h"

namespace sealpoint {

// When the log is synced.
enum class FsyncPolicy : uint8_t {
  kAlways = 0,    // before a write is acknowledged; all writes that wait share one sync
  kInterval = 1,  // at least every so many milliseconds while writes come: a power failure loses at most that much
  kNever = 2,     // when the operating system likes
};

struct StoreOptions {
  FsyncPolicy fsync = FsyncPolicy::kAlways;
  uint32_t fsync_interval_ms = 1000;
  // A read-only store takes the lock and changes nothing, not even by replaying the log. An accepting one opens in spite of a log that lost
  // acknowledged writes: for repair, which has said so.
  bool read_only = false;
  bool accept_losses = false;
  uint32_t mark_after_ms = 2000;  // without a write for so long, what is synced is noted beside the store
  // Everything that is derived and written beside the store is to be under it too; nullptr: files in the clear.
  std::shared_ptr<const FileCipher> cipher;
  bool lazy = false;  // nothing is synced before make_durable()
  uint64_t disk_reserve = DiskGuard::kAutomatic;  // bytes that writes leave free on the disk
  // Collections of fewer points are read from the store at a start and need no state file; checks ask for less.
  uint32_t state_points_min = 5000;
  rocksdb::Env* env = nullptr;  // nullptr: the real one. Only the addon's own checks set it, to inject faults; the addon's door never does
};

// A RocksDB snapshot that releases itself.
using Snapshot = std::shared_ptr<const rocksdb::Snapshot>;

class Store {
 public:
  // Creates the folder when it is missing. Throws kUnavailable when another process holds it, kDataLoss when it cannot be read or lacks
  // writes that were acknowledged.
  explicit Store(const std::string& path, const StoreOptions& options = {});
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  const std::shared_ptr<const FileCipher>& cipher() const { return options_.cipher; }
  const std::string& path() const { return path_; }
  rocksdb::DB& db() { return *db_; }
  const StoreOptions& options() const { return options_; }
  PayloadCache& payload_cache() { return payload_cache_; }
  rocksdb::ColumnFamilyHandle* meta() const { return handles_[0]; }
  rocksdb::ColumnFamilyHandle* points() const { return handles_[1]; }
  rocksdb::ColumnFamilyHandle* payloads() const { return handles_[2]; }
  rocksdb::ColumnFamilyHandle* vectors() const { return handles_[3]; }

  // Puts the batch into the log and the memtables, without a sync. Throws, kExhausted when the disk is full; then nothing of the batch is there.
  void write(rocksdb::WriteBatch& batch, WriteUse use = WriteUse::kGrows);
  // Throws kExhausted when `bytes` more on this disk would leave less than the reserve: for what is written beside RocksDB.
  void require_room(uint64_t bytes) { disk_->admit(bytes / 2, WriteUse::kGrows, [this] { return memtable_bytes(); }); }
  // Free on the disk of the data (UINT64_MAX: nobody can tell), and what writes leave of it.
  uint64_t free_bytes() const { return disk_->free_bytes(); }
  uint64_t reserve() const { return disk_->reserve(); }
  // From now on no write waits for room on a full disk: before the threads that write are ended.
  void give_up();
  // Calls `done` once all writes made before this call are as durable as the policy has it, on the sync thread or at once;
  // with false when the disk refused.
  void when_durable(std::function<void(bool durable)> done);
  // Under the policy "always": lets a sync begin soon, for writes whose callers do not wait for it.
  void nudge();
  // Syncs now, whatever the policy. Throws kUnavailable.
  void sync();
  Snapshot snapshot();
  uint64_t syncs() const { return syncs_; }
  // Of the tables and blob files; without the log.
  size_t disk_bytes();
  size_t memtable_bytes();
  // What a collection's payloads take, about.
  uint64_t payload_bytes(uint32_t cid);
  // Flushes memtables, so that the next start has no log to replay.
  void flush();
  // Of a lazy store: what lies in its files is on the disk when this is done, and what follows is synced as of any other. Throws kUnavailable.
  void make_durable();
  // What damage of the logs an accepting or read-only opening passed over; one line each.
  const std::vector<std::string>& losses() const { return losses_; }

  static std::string collection_key(char kind, uint32_t cid);
  static std::string cid_prefix(uint32_t cid);
  static std::string change_key(uint32_t cid, uint64_t operation);
  static uint64_t change_operation(std::string_view key);
  static std::string point_key(uint32_t cid, const PointId& id);
  static std::string vector_prefix(uint32_t cid, uint16_t vector);
  static std::string vector_key(uint32_t cid, uint16_t vector, const PointId& id);

 private:
  class Listener;
  void sync_loop();
  void enqueue(std::function<void(bool)> done);
  bool sync_log();
  void find_losses();
  rocksdb::Status open(rocksdb::DBOptions options);
  void close();
  void unlock();
  void note_mark(uint64_t sequence);
  std::shared_ptr<rocksdb::EventListener> make_listener();
  void admit(uint64_t bytes, WriteUse use);
  bool flush_within(std::chrono::milliseconds patience);
  bool stalled();
  bool closing_full() const;
  void end_stall();
  bool failed() const { return failed_ || disk_->failed(); }

  const StoreOptions options_;
  const std::string path_;
  std::vector<std::string> losses_;
  std::unique_ptr<DiskGuard> disk_;
  std::unique_ptr<LazySync> lazy_;
  std::unique_ptr<rocksdb::Env> cipher_env_;
  rocksdb::FileLock* lock_ = nullptr;  // of a read-only store; otherwise RocksDB holds it
  std::unique_ptr<rocksdb::DB> db_;
  std::shared_ptr<rocksdb::Cache> cache_;
  PayloadCache payload_cache_;
  std::vector<rocksdb::ColumnFamilyHandle*> handles_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::function<void(bool)>> waiting_;
  bool stopping_ = false;
  bool dirty_ = false;                // written since the last sync
  uint64_t marked_ = 0;               // sequence that the mark holds; [sync thread]
  uint64_t synced_ = 0;               // sequence that is on the disk for sure; [sync thread]
  std::atomic<bool> failed_{false};   // no write is taken any more
  std::atomic<bool> ended_{false};    // RocksDB makes no table any more, because the store closes on a full disk
  std::mutex relief_mutex_;
  std::chrono::steady_clock::time_point relieved_at_{};  // [relief_mutex_]
  std::mutex flush_mutex_;
  std::condition_variable flush_ended_;
  std::atomic<uint64_t> syncs_{0};
  std::thread syncer_;
};

// Turns a RocksDB status into an Error of the right kind; ok passes.
void check(const rocksdb::Status& status, const char* doing);

}  // namespace sealpoint
