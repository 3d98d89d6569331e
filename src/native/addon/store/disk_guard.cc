#include "disk_guard.h"

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string_view>

#include "../core/status.h"

namespace sealpoint {

namespace {

constexpr uint64_t kMiB = 1024 * 1024;
constexpr uint64_t kReserveBytes = 64 * kMiB;
constexpr uint64_t kBallastBytes = 8 * kMiB;
// Of a disk that is small, so much is the reserve, and so much the ballast.
constexpr uint64_t kReserveShare = 16, kBallastShare = 64;
// What writes that take data away may not use of the reserve.
constexpr uint64_t kLastShare = 4;
// With more than so much beside the reserve nobody asks what memtables hold: they are bounded well below it.
constexpr uint64_t kPlentyBytes = 256 * kMiB;
constexpr uint64_t kOpeningBytes = kMiB;
constexpr auto kRetryEvery = std::chrono::milliseconds(20);
constexpr const char* kBallastName = "/ballast";

std::string megabytes(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f", static_cast<double>(bytes) / static_cast<double>(kMiB));
  return text;
}

// A quota that is used up is a full disk as well.
bool no_room(const rocksdb::IOStatus& status, int code) { return status.IsNoSpace() || (status.IsIOError() && code == EDQUOT); }

bool is_log(const std::string& path) { return path.ends_with(".log"); }
bool is_named(const std::string& path, std::string_view start) { return std::string_view(path).substr(path.rfind('/') + 1).starts_with(start); }
// RocksDB may stop for good when one of these fails.
bool is_vital(const std::string& path) { return is_log(path) || path.ends_with(".dbtmp") || is_named(path, "MANIFEST-"); }
// What RocksDB tells people; nobody misses a line.
bool is_diary(const std::string& path) { return is_named(path, "LOG"); }

thread_local bool flushes = false;

}  // namespace

// From the first wait of an append to its end.
class DiskGuard::Stuck {
 public:
  explicit Stuck(DiskGuard& guard) : guard_(guard) {}
  ~Stuck() {
    if (begun_) --guard_.waiting_;
  }
  void begin() {
    if (!begun_) ++guard_.waiting_;
    begun_ = true;
  }

 private:
  DiskGuard& guard_;
  bool begun_ = false;
};

// Every append names its place, so that one that was half done can be done again.
class DiskGuard::File : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  File(std::unique_ptr<rocksdb::FSWritableFile>&& file, DiskGuard& guard, const std::string& path)
      : FSWritableFileOwnerWrapper(std::move(file)), guard_(guard), log_(is_log(path)), insists_(is_vital(path) || flushes), diary_(is_diary(path)) {}

  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options, rocksdb::IODebugContext* context) override {
    if (lost_) {
      size_ += data.size();
      return rocksdb::IOStatus::OK();
    }
    if (!insists_ && !diary_ && guard_.too_tight(data.size())) return lose(data.size(), options, context);
    Stuck stuck(guard_);
    for (;;) {
      errno = 0;
      auto status = target()->PositionedAppend(data, size_, options, context);
      const int code = errno;
      if (status.ok()) {
        size_ += data.size();
        return status;
      }
      const bool full = no_room(status, code);
      if (diary_) return rocksdb::IOStatus::OK();
      if (full && guard_.make_room(insists_, stuck)) continue;
      if (log_) guard_.fail_log();
      if (log_ || !full) return full ? rocksdb::IOStatus::NoSpace("the disk is full") : status;
      return lose(data.size(), options, context);
    }
  }
  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options, const rocksdb::DataVerificationInfo&,
                           rocksdb::IODebugContext* context) override {
    return Append(data, options, context);
  }
  rocksdb::IOStatus Truncate(uint64_t size, const rocksdb::IOOptions& options, rocksdb::IODebugContext* context) override {
    auto status = target()->Truncate(size, options, context);
    if (status.ok()) size_ = size;
    return status;
  }
  uint64_t GetFileSize(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override { return size_; }
  rocksdb::IOStatus Sync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* context) override {
    return lost_ ? rocksdb::IOStatus::NoSpace("the disk is full") : target()->Sync(options, context);
  }
  rocksdb::IOStatus Fsync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* context) override {
    return lost_ ? rocksdb::IOStatus::NoSpace("the disk is full") : target()->Fsync(options, context);
  }
  rocksdb::IOStatus RangeSync(uint64_t offset, uint64_t bytes, const rocksdb::IOOptions& options, rocksdb::IODebugContext* context) override {
    return lost_ ? rocksdb::IOStatus::OK() : target()->RangeSync(offset, bytes, options, context);
  }

 private:
  rocksdb::IOStatus lose(size_t bytes, const rocksdb::IOOptions& options, rocksdb::IODebugContext* context) {
    // What it took so far is worth more to others.
    lost_ = true;
    target()->Truncate(0, options, context).PermitUncheckedError();
    size_ += bytes;
    return rocksdb::IOStatus::OK();
  }

  DiskGuard& guard_;
  const bool log_, insists_, diary_;
  bool lost_ = false;  // an append found no room: nothing is written any more, and the sync fails
  uint64_t size_ = 0;
};

class DiskGuard::Fs : public rocksdb::FileSystemWrapper {
 public:
  Fs(const std::shared_ptr<rocksdb::FileSystem>& base, DiskGuard& guard) : FileSystemWrapper(base), guard_(guard) {}
  const char* Name() const override { return "DiskGuard"; }

  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* context) override {
    Stuck stuck(guard_);
    for (;;) {
      std::unique_ptr<rocksdb::FSWritableFile> file;
      errno = 0;
      auto status = target()->NewWritableFile(path, options, &file, context);
      const int code = errno;
      if (status.ok()) {
        result->reset(new File(std::move(file), guard_, path));
        return status;
      }
      if (!no_room(status, code)) return status;
      if (!guard_.make_room(is_vital(path) || flushes, stuck)) return rocksdb::IOStatus::NoSpace("the disk is full");
    }
  }
  // CURRENT is such a name: a folder may lack room for it.
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to, const rocksdb::IOOptions& options, rocksdb::IODebugContext* context) override {
    Stuck stuck(guard_);
    for (;;) {
      errno = 0;
      auto status = target()->RenameFile(from, to, options, context);
      if (!no_room(status, errno) || !guard_.make_room(true, stuck)) return status;
    }
  }

  // RocksDB 7.8 asserts when it goes on with a log for people whose append failed: it goes through File, which forgives that.
  rocksdb::IOStatus NewLogger(const std::string& path, const rocksdb::IOOptions&, std::shared_ptr<rocksdb::Logger>* result,
                              rocksdb::IODebugContext*) override {
    return rocksdb::status_to_io_status(rocksdb::NewEnvLogger(path, guard_.env(), result));
  }

 private:
  DiskGuard& guard_;
};

DiskGuard::DiskGuard(rocksdb::Env* base, std::string folder, uint64_t reserve)
    : base_(base->GetFileSystem()), folder_(std::move(folder)), ballast_path_(folder_ + kBallastName) {
  std::error_code failure;
  const auto space = std::filesystem::space(folder_, failure);
  const uint64_t capacity = failure || space.capacity == static_cast<uintmax_t>(-1) ? UINT64_MAX : space.capacity;
  reserve_ = reserve != kAutomatic ? reserve : std::min(kReserveBytes, capacity / kReserveShare);
  ballast_bytes_ = reserve == 0 ? 0 : std::min(kBallastBytes, capacity / kBallastShare);
  env_ = rocksdb::NewCompositeEnv(std::make_shared<Fs>(base_, *this));
  ballast_ = base_->FileExists(ballast_path_, {}, nullptr).ok();
  // A store that opens needs room for a manifest and a log.
  if (ballast_ && free_bytes() < ballast_bytes_) release_ballast();
}

void DiskGuard::require_opening() const {
  const uint64_t free = free_bytes();
  if (free >= kOpeningBytes) return;
  throw Error(ErrorKind::kExhausted, "the disk is full: " + megabytes(free) + " MB free where " + folder_ + " lies, and the store needs " +
                                         megabytes(kOpeningBytes) + " MB to open; nothing was changed: make room and start again");
}

DiskGuard::~DiskGuard() { give_up(); }

void DiskGuard::note_flush(bool flush) { flushes = flush; }

void DiskGuard::opened() {
  opened_ = true;
  restock();
}

void DiskGuard::give_up() {
  std::lock_guard lock(mutex_);
  given_up_ = true;
  wake_.notify_all();
}

uint64_t DiskGuard::free_bytes() const {
  uint64_t bytes = 0;
  return base_->GetFreeSpace(folder_, {}, &bytes, nullptr).ok() ? bytes : UINT64_MAX;
}

void DiskGuard::admit(uint64_t bytes, WriteUse use, const std::function<uint64_t()>& held) const {
  const uint64_t kept = use == WriteUse::kMakesRoom ? reserve_ / kLastShare : reserve_;
  const uint64_t free = free_bytes();
  bool room = !waiting();
  // The log takes it now, a table later.
  uint64_t needed = kept + 2 * bytes;
  if (room && free < needed + kPlentyBytes && reserve_ > 0) {
    needed += held();
    room = free >= needed;
  }
  if (room) return;
  throw Error(ErrorKind::kExhausted, "No space left on device: " + (free == UINT64_MAX ? "a quota is used up" : megabytes(free) + " MB free") + " where " +
                                         folder_ + " lies, and " + megabytes(reserve_) +
                                         " MB are kept free (SEALPOINT_DISK_RESERVE_MB); nothing was written: make room and try again");
}

bool DiskGuard::too_tight(uint64_t bytes) const {
  if (!opened_ || reserve_ == 0) return false;
  return free_bytes() < bytes + reserve_ / kLastShare;
}

bool DiskGuard::make_room(bool insists, Stuck& stuck) {
  if (opened_ && !insists) return false;
  std::unique_lock lock(mutex_);
  if (release_ballast()) return true;
  if (!opened_ || given_up_) return false;
  stuck.begin();
  wake_.wait_for(lock, kRetryEvery);
  return !given_up_;
}

// [mutex_]
bool DiskGuard::release_ballast() {
  if (!ballast_) return false;
  ballast_ = false;
  return base_->DeleteFile(ballast_path_, {}, nullptr).ok();
}

void DiskGuard::restock() {
  std::lock_guard lock(mutex_);
  if (ballast_ || ballast_bytes_ == 0) return;
  const uint64_t free = free_bytes();
  if (free == UINT64_MAX || free < reserve_ + 2 * ballast_bytes_) return;
  std::unique_ptr<rocksdb::FSWritableFile> file;
  if (!base_->NewWritableFile(ballast_path_, {}, &file, nullptr).ok()) return;
  auto status = file->Allocate(0, ballast_bytes_, {}, nullptr);
  if (!status.ok() && !status.IsNoSpace()) {
    // A file system without fallocate.
    const std::string zeros(kMiB, '\0');
    status = rocksdb::IOStatus::OK();
    for (uint64_t at = 0; status.ok() && at < ballast_bytes_; at += zeros.size()) status = file->Append(zeros, {}, nullptr);
  }
  const bool closed = file->Close({}, nullptr).ok();
  ballast_ = status.ok() && closed;
  if (!ballast_) base_->DeleteFile(ballast_path_, {}, nullptr).PermitUncheckedError();
}

void DiskGuard::fail_log() {
  std::lock_guard gate(sync_gate_);
  failed_ = true;
}

}  // namespace sealpoint
