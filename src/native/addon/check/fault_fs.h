// A file system that fails as disks do, for fault_check.cc: it knows which bytes and which names were synced, so that a power cut can take the rest back; it
// fills up in the middle of a write, and its syncs fail. RocksDB writes through FaultFs; segments and manifests, which are written by plain
// system calls, through SegmentFaults, whose calls this program's own fsync, rename and unlink report.
#pragma once
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

namespace faults {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
namespace fs = std::filesystem;

// Changes of names that no sync of their folder has made durable yet, in their order.
class Names {
 public:
  explicit Names(std::string shadow) : shadow_(std::move(shadow)) { fs::create_directories(shadow_); }

  void created(const std::string& path) { add({path, "", ""}); }
  // Before the change is made: what it replaces is kept under a second name.
  std::string keep(const std::string& path) {
    std::error_code failure;
    const std::string kept = shadow_ + "/" + std::to_string(next_++);
    if (!fs::exists(path, failure)) return "";
    fs::create_hard_link(path, kept, failure);
    return failure ? "" : kept;
  }
  void renamed(const std::string& from, const std::string& to, const std::string& kept) { add({to, from, kept}); }
  void removed(const std::string& path, const std::string& kept) { add({path, "", kept}); }
  void synced(const std::string& folder) {
    std::erase_if(pending_, [&](const Change& change) {
      if (fs::path(change.path).parent_path() != fs::path(folder)) return false;
      std::error_code failure;
      if (!change.kept.empty()) fs::remove(change.kept, failure);
      return true;
    });
  }
  // Takes changes back, the last first: all of them, or those behind a random place, as a journal would.
  void undo(std::mt19937& random) {
    const size_t from = random() % 2 == 0 ? 0 : random() % (pending_.size() + 1);
    while (pending_.size() > from) {
      const Change change = pending_.back();
      pending_.pop_back();
      std::error_code failure;
      if (!change.from.empty()) {
        fs::rename(change.path, change.from, failure);
      } else {
        fs::remove(change.path, failure);
      }
      if (!change.kept.empty()) fs::rename(change.kept, change.path, failure);
    }
    pending_.clear();
  }

 private:
  struct Change {
    std::string path, from, kept;
  };
  void add(Change change) { pending_.push_back(std::move(change)); }

  const std::string shadow_;
  std::vector<Change> pending_;
  std::atomic<uint64_t> next_{0};
};

inline void cut_file(const std::string& path, uint64_t synced, std::mt19937& random) {
  std::error_code failure;
  const uint64_t size = fs::file_size(path, failure);
  if (failure || size <= synced) return;
  fs::resize_file(path, random() % 2 == 0 ? synced : synced + random() % (size - synced + 1), failure);
}

class FaultFs : public rocksdb::FileSystemWrapper {
 public:
  explicit FaultFs(const std::string& shadow) : FileSystemWrapper(rocksdb::FileSystem::Default()), names_(shadow) {}
  const char* Name() const override { return "FaultFs"; }

  std::atomic<bool> dead{false};       // the power is off: nothing is written any more
  std::atomic<bool> fail_sync{false};
  std::atomic<int64_t> space{-1};      // bytes that still fit; -1: no end
  std::atomic<bool> lies{false};       // says that there is room when there is none, as with a quota

  // After everything that writes is closed.
  void cut(std::mt19937& random) {
    std::lock_guard lock(mutex_);
    names_.undo(random);
    for (const auto& [path, file] : files_) cut_file(path, file.synced, random);
  }

  IOStatus NewWritableFile(const std::string& path, const FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* result,
                           IODebugContext* context) override {
    if (dead) return off();
    if (space == 0) return IOStatus::NoSpace("the disk is full");
    std::unique_ptr<rocksdb::FSWritableFile> file;
    const auto status = target()->NewWritableFile(path, options, &file, context);
    if (!status.ok()) return status;
    std::lock_guard lock(mutex_);
    files_[path] = {};
    names_.created(path);
    result->reset(new File(std::move(file), *this, path));
    return status;
  }
  IOStatus GetFreeSpace(const std::string& path, const IOOptions& options, uint64_t* free, IODebugContext* context) override {
    if (space < 0 || lies) return target()->GetFreeSpace(path, options, free, context);
    *free = static_cast<uint64_t>(space);
    return IOStatus::OK();
  }
  IOStatus NewDirectory(const std::string& path, const IOOptions& options, std::unique_ptr<rocksdb::FSDirectory>* result,
                        IODebugContext* context) override {
    std::unique_ptr<rocksdb::FSDirectory> folder;
    const auto status = target()->NewDirectory(path, options, &folder, context);
    if (status.ok()) result->reset(new Folder(std::move(folder), *this, path));
    return status;
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options, IODebugContext* context) override {
    if (dead) return off();
    std::lock_guard lock(mutex_);
    const std::string kept = names_.keep(to);
    const auto status = target()->RenameFile(from, to, options, context);
    if (!status.ok()) return status;
    names_.renamed(from, to, kept);
    files_[to] = files_[from];
    files_.erase(from);
    return status;
  }
  IOStatus DeleteFile(const std::string& path, const IOOptions& options, IODebugContext* context) override {
    if (dead) return off();
    std::lock_guard lock(mutex_);
    const std::string kept = names_.keep(path);
    const auto status = target()->DeleteFile(path, options, context);
    if (!status.ok()) return status;
    names_.removed(path, kept);
    if (space >= 0) space += static_cast<int64_t>(std::max(files_[path].size, files_[path].allocated));
    return status;
  }

 private:
  struct State {
    uint64_t size = 0, synced = 0, allocated = 0;
  };
  static IOStatus off() { return IOStatus::IOError("the power is off"); }

  class File : public rocksdb::FSWritableFileOwnerWrapper {
   public:
    File(std::unique_ptr<rocksdb::FSWritableFile>&& file, FaultFs& owner, std::string path)
        : FSWritableFileOwnerWrapper(std::move(file)), owner_(owner), path_(std::move(path)) {}
    IOStatus Append(const rocksdb::Slice& data, const IOOptions& options, IODebugContext* context) override {
      return PositionedAppend(data, place_, options, context);
    }
    IOStatus Append(const rocksdb::Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&, IODebugContext* context) override {
      return Append(data, options, context);
    }
    IOStatus PositionedAppend(const rocksdb::Slice& data, uint64_t offset, const IOOptions& options, IODebugContext* context) override {
      if (owner_.dead) return off();
      rocksdb::Slice part = data;
      int64_t left = owner_.space;
      if (left >= 0) {
        part = rocksdb::Slice(data.data(), std::min<size_t>(data.size(), static_cast<size_t>(left)));
        owner_.space = left - static_cast<int64_t>(part.size());
      }
      const auto status = target()->PositionedAppend(part, offset, options, context);
      std::lock_guard lock(owner_.mutex_);
      place_ = offset + part.size();
      owner_.files_[path_].size = std::max(owner_.files_[path_].size, place_);
      return part.size() < data.size() ? IOStatus::NoSpace("the disk is full") : status;
    }
    IOStatus Allocate(uint64_t offset, uint64_t size, const IOOptions& options, IODebugContext* context) override {
      if (owner_.dead) return off();
      const auto status = target()->Allocate(offset, size, options, context);
      std::lock_guard lock(owner_.mutex_);
      owner_.files_[path_].allocated = offset + size;
      return status;
    }
    IOStatus Truncate(uint64_t size, const IOOptions& options, IODebugContext* context) override {
      if (owner_.dead) return off();
      return target()->Truncate(size, options, context);
    }
    // The real disk is spared: what counts is what was asked to be durable.
    IOStatus Sync(const IOOptions&, IODebugContext*) override {
      if (owner_.dead) return off();
      if (owner_.fail_sync) return IOStatus::IOError("fsync failed");
      std::lock_guard lock(owner_.mutex_);
      State& state = owner_.files_[path_];
      state.synced = state.size;
      return IOStatus::OK();
    }
    IOStatus Fsync(const IOOptions& options, IODebugContext* context) override { return Sync(options, context); }
    IOStatus RangeSync(uint64_t, uint64_t, const IOOptions&, IODebugContext*) override { return owner_.dead ? off() : IOStatus::OK(); }
    bool IsSyncThreadSafe() const override { return true; }

   private:
    FaultFs& owner_;
    const std::string path_;
    uint64_t place_ = 0;
  };

  class Folder : public rocksdb::FSDirectoryWrapper {
   public:
    Folder(std::unique_ptr<rocksdb::FSDirectory>&& folder, FaultFs& owner, std::string path)
        : FSDirectoryWrapper(std::move(folder)), owner_(owner), path_(std::move(path)) {}
    IOStatus Fsync(const IOOptions&, IODebugContext*) override {
      if (owner_.dead) return off();
      if (owner_.fail_sync) return IOStatus::IOError("fsync failed");
      std::lock_guard lock(owner_.mutex_);
      owner_.names_.synced(path_);
      return IOStatus::OK();
    }
    IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* context, const rocksdb::DirFsyncOptions&) override {
      return Fsync(options, context);
    }

   private:
    FaultFs& owner_;
    const std::string path_;
  };

  std::mutex mutex_;
  std::map<std::string, State> files_;
  Names names_;
};

// What the plain system calls did below a folder of segments.
class SegmentFaults {
 public:
  SegmentFaults(std::string root, const std::string& shadow) : root_(std::move(root)), names_(shadow) {
    // What outlived the last cut is on the disk.
    std::error_code failure;
    for (const auto& entry : fs::recursive_directory_iterator(root_, failure)) {
      struct stat info;
      if (::stat(entry.path().c_str(), &info) == 0) synced_[info.st_ino] = static_cast<uint64_t>(info.st_size);
    }
  }

  bool covers(const std::string& path) const { return path.starts_with(root_ + "/"); }
  // The fsync itself is not passed on.
  int sync(const std::string& path) {
    if (dead || fail_sync) {
      errno = EIO;
      return -1;
    }
    std::lock_guard lock(mutex_);
    struct stat info;
    if (::stat(path.c_str(), &info) != 0) return 0;
    if (S_ISDIR(info.st_mode)) {
      names_.synced(path);
    } else {
      synced_[info.st_ino] = static_cast<uint64_t>(info.st_size);
    }
    return 0;
  }
  int rename(const char* from, const char* to) {
    if (dead) {
      errno = EIO;
      return -1;
    }
    std::lock_guard lock(mutex_);
    const std::string kept = names_.keep(to);
    const int result = static_cast<int>(::syscall(SYS_rename, from, to));
    if (result == 0) names_.renamed(from, to, kept);
    return result;
  }
  void cut(std::mt19937& random) {
    std::lock_guard lock(mutex_);
    names_.undo(random);
    std::error_code failure;
    for (const auto& entry : fs::recursive_directory_iterator(root_, failure)) {
      struct stat info;
      if (::stat(entry.path().c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
      const auto found = synced_.find(info.st_ino);
      cut_file(entry.path(), found == synced_.end() ? 0 : found->second, random);
    }
  }

  std::atomic<bool> dead{false};
  std::atomic<bool> fail_sync{false};

 private:
  const std::string root_;
  std::mutex mutex_;
  std::map<ino_t, uint64_t> synced_;
  Names names_;
};

}  // namespace faults
