// A file system whose files need not outlive a power failure yet: syncs do nothing until somebody asks for all of them at once. RocksDB syncs some twenty-five times when it
// makes a folder, which a disk with other work to do turns into tenths of a second.
#pragma once
#include <atomic>
#include <memory>
#include <string>

#include <rocksdb/env.h>

namespace sealpoint {

class LazySync {
 public:
  // Over `base`, which outlives it; nullptr: the real one.
  explicit LazySync(rocksdb::Env* base);
  rocksdb::Env* env() { return env_.get(); }
  // Syncs all files of `folder`, the folder itself and the one that it lies in, and from now on whatever is asked for. What a file holds before it was handed to the system is not synced: flush
  // first. Throws kUnavailable.
  void begin(const std::string& folder);

 private:
  const std::shared_ptr<std::atomic<bool>> syncs_ = std::make_shared<std::atomic<bool>>(false);
  std::unique_ptr<rocksdb::Env> env_;
};

}  // namespace sealpoint
