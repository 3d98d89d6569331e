// Keeps RocksDB from ever meeting a full disk in its log, which RocksDB 7.8 may answer with an abort or with refusing writes until a restart.
// Three lines of defence: a write is refused while less than a reserve is free (admit); where others fill the disk in between, a file of a few
// MB is given up (the ballast) and the append tried again; where that does not do either, what RocksDB cannot do without waits for room: the log, the manifest and
// the tables of flushes. A flush must not fail: RocksDB 7.8 forgets the requests that were queued behind it, and its Resume waits for them for ever. The tables of
// compactions keep out of the reserve and fail instead, since they can be made again; they fail in their sync, because RocksDB 7.8 asserts when it goes on with a
// file whose append failed.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

namespace sealpoint {

// What a write is for: those that take data away, or change settings alone, may use most of the reserve.
enum class WriteUse : uint8_t { kGrows, kMakesRoom };

class DiskGuard {
 public:
  static constexpr uint64_t kAutomatic = UINT64_MAX;

  // `reserve` bytes are to stay free on the disk of `folder`; kAutomatic: 64 MiB, of a small disk a sixteenth. 0: refuses nothing before the disk is full.
  DiskGuard(rocksdb::Env* base, std::string folder, uint64_t reserve);
  ~DiskGuard();
  DiskGuard(const DiskGuard&) = delete;
  DiskGuard& operator=(const DiskGuard&) = delete;

  rocksdb::Env* env() { return env_.get(); }
  // Throws kExhausted when there is not even room to open the store, whose manifest and log begin anew: RocksDB 7.8 asserts when it runs out of room there.
  void require_opening() const;
  // From now on the log and flushes wait for room; before, while the store opens, it is an error when there is none.
  void opened();
  // Nothing waits any more: appends that wait for room fail.
  void give_up();
  bool given_up() const { return given_up_; }
  // Whether the tables that the calling thread makes are those of a flush. RocksDB's listeners tell.
  static void note_flush(bool flush);

  // Throws kExhausted, naming the disk, when `bytes` more would leave less than the reserve. `held` tells how many bytes lie in memtables, which need as
  // much room again; it is asked only when room is short.
  void admit(uint64_t bytes, WriteUse use, const std::function<uint64_t()>& held) const;
  // Bytes free on the disk for this process; UINT64_MAX where nobody can tell.
  uint64_t free_bytes() const;
  uint64_t reserve() const { return reserve_; }
  // Whether an append waits for room right now.
  bool waiting() const { return waiting_ > 0; }
  // Brings the ballast back when there is plenty of room.
  void restock();

  // Held while the log is synced: an append to the log that fails for good, for whatever reason, first waits for it and then sets failed(), because RocksDB 7.8
  // asserts when a sync meets a log whose first append failed.
  std::mutex& sync_gate() { return sync_gate_; }
  bool failed() const { return failed_; }

 private:
  class Fs;
  class File;
  class Stuck;
  // Whether to try again after an append or the making of a file found no room.
  bool make_room(bool insists, Stuck& stuck);
  // Whether so much for a table that can be made again would leave too little for what cannot wait.
  bool too_tight(uint64_t bytes) const;
  bool release_ballast();
  void fail_log();

  const std::shared_ptr<rocksdb::FileSystem> base_;
  const std::string folder_;
  const std::string ballast_path_;
  uint64_t reserve_ = 0;
  uint64_t ballast_bytes_ = 0;
  std::unique_ptr<rocksdb::Env> env_;

  std::mutex mutex_;
  std::condition_variable wake_;
  bool ballast_ = false;
  std::atomic<bool> opened_{false}, given_up_{false};
  std::atomic<int> waiting_{0};
  std::mutex sync_gate_;
  std::atomic<bool> failed_{false};
};

}  // namespace sealpoint
