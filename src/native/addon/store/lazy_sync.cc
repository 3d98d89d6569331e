#include "lazy_sync.h"

#include <fcntl.h>
#include <rocksdb/file_system.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "../core/status.h"

namespace sealpoint {

namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using Switch = std::shared_ptr<const std::atomic<bool>>;

class LazyFile : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  LazyFile(std::unique_ptr<rocksdb::FSWritableFile>&& file, Switch syncs) : FSWritableFileOwnerWrapper(std::move(file)), syncs_(std::move(syncs)) {}
  IOStatus Sync(const IOOptions& options, IODebugContext* context) override { return *syncs_ ? target()->Sync(options, context) : IOStatus::OK(); }
  IOStatus Fsync(const IOOptions& options, IODebugContext* context) override { return *syncs_ ? target()->Fsync(options, context) : IOStatus::OK(); }

 private:
  const Switch syncs_;
};

class LazyFolder : public rocksdb::FSDirectoryWrapper {
 public:
  LazyFolder(std::unique_ptr<rocksdb::FSDirectory>&& folder, Switch syncs) : FSDirectoryWrapper(std::move(folder)), syncs_(std::move(syncs)) {}
  IOStatus Fsync(const IOOptions& options, IODebugContext* context) override {
    return *syncs_ ? FSDirectoryWrapper::Fsync(options, context) : IOStatus::OK();
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* context, const rocksdb::DirFsyncOptions& how) override {
    return *syncs_ ? FSDirectoryWrapper::FsyncWithDirOptions(options, context, how) : IOStatus::OK();
  }

 private:
  const Switch syncs_;
};

class LazyFs : public rocksdb::FileSystemWrapper {
 public:
  LazyFs(const std::shared_ptr<rocksdb::FileSystem>& base, Switch syncs) : FileSystemWrapper(base), syncs_(std::move(syncs)) {}
  const char* Name() const override { return "SealpointLazySync"; }

  IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* result,
                           IODebugContext* context) override {
    std::unique_ptr<rocksdb::FSWritableFile> file;
    auto status = target()->NewWritableFile(path, options, &file, context);
    if (status.ok()) result->reset(new LazyFile(std::move(file), syncs_));
    return status;
  }
  IOStatus NewDirectory(const std::string& path, const IOOptions& options, std::unique_ptr<rocksdb::FSDirectory>* result, IODebugContext* context) override {
    std::unique_ptr<rocksdb::FSDirectory> folder;
    auto status = target()->NewDirectory(path, options, &folder, context);
    if (status.ok()) result->reset(new LazyFolder(std::move(folder), syncs_));
    return status;
  }

 private:
  const Switch syncs_;
};

void sync(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  // Removed meanwhile: nothing needs it.
  if (file < 0 && errno == ENOENT) return;
  const bool synced = file >= 0 && ::fsync(file) == 0;
  if (file >= 0) ::close(file);
  if (!synced) throw Error(ErrorKind::kUnavailable, "cannot sync a file of the store");
}

}  // namespace

LazySync::LazySync(rocksdb::Env* base) {
  const auto below = base != nullptr ? base->GetFileSystem() : rocksdb::FileSystem::Default();
  env_ = rocksdb::NewCompositeEnv(std::make_shared<LazyFs>(below, syncs_));
}

void LazySync::begin(const std::string& folder) {
  // First, so that no file slips through between its own sync and this one.
  *syncs_ = true;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failure)) sync(entry.path());
  if (failure) throw Error(ErrorKind::kUnavailable, "cannot sync the store: " + failure.message());
  sync(folder);
  // Which has the folder's own name.
  sync(std::filesystem::path(folder).parent_path());
}

}  // namespace sealpoint
