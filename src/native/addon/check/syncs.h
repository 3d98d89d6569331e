// Which files a program syncs, its libraries included: fsync and fdatasync of this program stand in the places of the C library's. For one source file of a program.
#pragma once
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <mutex>
#include <set>
#include <string>
#include <utility>

namespace sealpoint::checks {

class Syncs {
 public:
  // Paths, without links, of what was synced since the last time.
  std::set<std::string> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(paths_, {});
  }
  void note(int file) {
    std::error_code failure;
    const auto path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(file), failure);
    const std::lock_guard lock(mutex_);
    paths_.insert(failure ? "?" : path.string());
  }

 private:
  std::mutex mutex_;
  std::set<std::string> paths_;
};

inline Syncs& syncs() {
  static Syncs all;
  return all;
}

}  // namespace sealpoint::checks

extern "C" __attribute__((visibility("default"))) int fsync(int file) {
  sealpoint::checks::syncs().note(file);
  return static_cast<int>(::syscall(SYS_fsync, file));
}

extern "C" __attribute__((visibility("default"))) int fdatasync(int file) {
  sealpoint::checks::syncs().note(file);
  return static_cast<int>(::syscall(SYS_fdatasync, file));
}
