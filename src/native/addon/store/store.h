// RocksDB, the only truth. One write batch holds everything that a write changes; it is in the log before anybody hears of
// it, and SyncQueue makes many writes share one fdatasync.
//
// Keys are a disk format and may never change:
//   meta      "c" cid            collection record (engine/collection_record.h)
//             "a" alias          collection name
//             "n"                next cid, u32 LE
//             "s" cid stream id  last applied sequence, time of last use (ms): two u64 LE
//             "o" cid            last operation id, u64 LE
//   points    cid id             slot, version, flags, vectors present (engine/point_record.h)
//   payloads  cid id             payload bytes
//   vectors   cid vector id      f32 LE values; vector is the place of the name in the collection record, u16 BE
// cid is u32 BE; id is PointId's key form, so an iterator gives Qdrant's order.
#pragma once
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

#include "../core/point_id.h"
#include "../core/status.h"

namespace sealpoint {

// A RocksDB snapshot that releases itself.
using Snapshot = std::shared_ptr<const rocksdb::Snapshot>;

class Store {
 public:
  // Creates the folder when it is missing. Throws kUnavailable when another process holds it, kDataLoss when it cannot be read.
  explicit Store(const std::string& path);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  rocksdb::DB& db() { return *db_; }
  rocksdb::ColumnFamilyHandle* meta() const { return handles_[0]; }
  rocksdb::ColumnFamilyHandle* points() const { return handles_[1]; }
  rocksdb::ColumnFamilyHandle* payloads() const { return handles_[2]; }
  rocksdb::ColumnFamilyHandle* vectors() const { return handles_[3]; }

  // Puts the batch into the log and the memtables, without a sync. Throws; then nothing of the batch is there.
  void write(rocksdb::WriteBatch& batch);
  // Calls `done` on the sync thread once all writes made before this call survive power loss; with false when they may not.
  void when_durable(std::function<void(bool durable)> done);
  // The same, waiting for it. Throws kUnavailable.
  void sync();
  Snapshot snapshot();
  uint64_t syncs() const { return syncs_; }
  size_t memory_bytes();
  size_t memtable_bytes();
  // Flushes memtables, so that the next start has no log to replay.
  void flush();

  static std::string collection_key(char kind, uint32_t cid);
  static std::string cid_prefix(uint32_t cid);
  static std::string point_key(uint32_t cid, const PointId& id);
  static std::string vector_key(uint32_t cid, uint16_t vector, const PointId& id);

 private:
  void sync_loop();

  std::unique_ptr<rocksdb::DB> db_;
  std::shared_ptr<rocksdb::Cache> cache_;
  std::vector<rocksdb::ColumnFamilyHandle*> handles_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::function<void(bool)>> waiting_;
  bool stopping_ = false;
  std::atomic<bool> failed_{false};
  std::atomic<uint64_t> syncs_{0};
  std::thread syncer_;
};

// Turns a RocksDB status into an Error of the right kind; ok passes.
void check(const rocksdb::Status& status, const char* doing);

}  // namespace sealpoint
