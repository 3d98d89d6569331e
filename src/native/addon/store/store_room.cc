// The store on a disk that is full or nearly so: which writes are let through, and how flushes and a close end all the same.
#include <rocksdb/convenience.h>
#include <rocksdb/listener.h>

#include "store.h"

namespace sealpoint {

namespace {

constexpr uint64_t kMiB = 1024 * 1024;
// Memtables that hold this much are worth a flush when the disk is nearly full, and no more often than this.
constexpr uint64_t kFlushWorth = kMiB;
constexpr auto kFlushEvery = std::chrono::milliseconds(500);
// How long a write waits for such a flush, or for RocksDB to take writes again.
constexpr auto kPatience = std::chrono::seconds(2);
constexpr auto kLook = std::chrono::milliseconds(10);
// With more than so much beside the reserve a stall ends by itself.
constexpr uint64_t kTight = 256 * kMiB;

}  // namespace

// RocksDB's own syncs, of logs that a flush closes for instance, can fail as well. After any fault but a full disk no page that was written since
// can be trusted, so writes end. A full disk is met by compactions alone (disk_guard.h), or by what is under way when the store closes.
class Store::Listener : public rocksdb::EventListener {
 public:
  explicit Listener(Store& store) : store_(store) {}
  void OnFlushBegin(rocksdb::DB*, const rocksdb::FlushJobInfo&) override { DiskGuard::note_flush(true); }
  void OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo&) override { store_.flush_ended_.notify_all(); }
  void OnCompactionBegin(rocksdb::DB*, const rocksdb::CompactionJobInfo&) override { DiskGuard::note_flush(false); }
  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* status) override {
    if (status->ok()) return;
    if (status->IsNoSpace() && reason == rocksdb::BackgroundErrorReason::kCompaction) {
      // It is tried again by itself. As an error it would keep flushes from being scheduled.
      *status = rocksdb::Status::OK();
      return;
    }
    if (status->IsNoSpace() && store_.disk_->given_up()) {
      store_.ended_ = true;
    } else {
      store_.failed_ = true;
    }
    store_.flush_ended_.notify_all();
  }
  // RocksDB goes on by itself after no fault: its Resume can wait for ever.
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status, bool* auto_recovery) override { *auto_recovery = false; }

 private:
  Store& store_;
};

std::shared_ptr<rocksdb::EventListener> Store::make_listener() { return std::make_shared<Listener>(*this); }

// Whether RocksDB holds up all writes: for a flush that waits for room, or since compactions lack it and level 0 is full.
bool Store::stalled() {
  uint64_t stopped = 0;
  db_->GetIntProperty(rocksdb::DB::Properties::kIsWriteStopped, &stopped);
  return stopped != 0;
}

// Lets a write through, or throws kExhausted. What memtables hold counts twice, in the log and as the tables it becomes, so flushing them may be all it takes.
void Store::admit(uint64_t bytes, WriteUse use) {
  uint64_t held = 0;
  const auto needed = [&] {
    held = memtable_bytes();
    // A write that waits for room in RocksDB would not hear that there is none.
    const auto end = std::chrono::steady_clock::now() + kPatience;
    std::unique_lock lock(flush_mutex_);
    while (stalled()) {
      if (disk_->waiting() || disk_->given_up() || std::chrono::steady_clock::now() > end) return UINT64_MAX / 4;
      flush_ended_.wait_for(lock, kLook);
    }
    return held;
  };
  try {
    disk_->admit(bytes, use, needed);
    return;
  } catch (const Error&) {
    const std::unique_lock lock(relief_mutex_, std::try_to_lock);
    const auto now = std::chrono::steady_clock::now();
    if (!lock || disk_->waiting() || held < kFlushWorth || disk_->free_bytes() < held + kMiB || now - relieved_at_ < kFlushEvery) throw;
    relieved_at_ = now;
    if (!flush_within(kPatience)) throw;
  }
  disk_->admit(bytes, use, needed);
}

// Whether what memtables held has become tables; false when it lacks the room or the time.
bool Store::flush_within(std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  rocksdb::FlushOptions options;
  options.wait = false;               // a wait of RocksDB's own knows no end
  options.allow_write_stall = true;  // else it waits for compactions, which may lack the room for ever
  if (!db_->Flush(options, handles_).ok()) return false;
  std::unique_lock lock(flush_mutex_);
  for (;;) {
    uint64_t left = 0;
    for (auto* handle : handles_) {
      uint64_t count = 0;
      db_->GetIntProperty(handle, rocksdb::DB::Properties::kNumImmutableMemTable, &count);
      left += count;
    }
    if (left == 0) return true;
    if (disk_->waiting() || ended_ || failed() || std::chrono::steady_clock::now() > end) return false;
    flush_ended_.wait_for(lock, kLook);
  }
}

void Store::flush() {
  // On a full disk the log keeps it, and nothing is gained by beginning.
  if (ended_ || failed() || disk_->waiting() || disk_->free_bytes() < memtable_bytes() || !flush_within(std::chrono::hours(1))) {
    throw Error(ErrorKind::kExhausted, "the disk has no room for a flush");
  }
}

void Store::give_up() {
  disk_->give_up();
  wake_.notify_one();
}

// Whether the store is about to close with so little room that compactions may lack it.
bool Store::closing_full() const { return disk_->given_up() && (disk_->waiting() || disk_->free_bytes() < disk_->reserve() + kTight); }

// [sync thread] A write that RocksDB holds up then would never end.
void Store::end_stall() {
  if (ended_ || !closing_full() || !stalled()) return;
  ended_ = true;
  rocksdb::CancelAllBackgroundWork(db_.get(), false);
}

}  // namespace sealpoint
