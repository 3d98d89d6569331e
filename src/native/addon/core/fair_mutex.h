// A shared mutex that starves nobody: who waits for it alone lets no later reader in. glibc's own prefers readers, and a server under
// constant search would never write.
#pragma once
#include <mutex>
#include <shared_mutex>

namespace sealpoint {

class FairSharedMutex {
 public:
  void lock() {
    std::lock_guard turn(turnstile_);
    inner_.lock();
  }
  void unlock() { inner_.unlock(); }
  void lock_shared() {
    std::lock_guard turn(turnstile_);
    inner_.lock_shared();
  }
  void unlock_shared() { inner_.unlock_shared(); }

 private:
  std::mutex turnstile_;
  std::shared_mutex inner_;
};

}  // namespace sealpoint
