// Whether anybody still waits for the answer of the read that this thread runs. Long reads look now and then, and end with kCancelled.
//
// The flag belongs to one operation and is set by whoever gave it away; which one a thread runs is the thread's own matter, so the rooms below
// need not hand it through. Writes have none: what was begun is finished.
#pragma once
#include <atomic>
#include <cstdint>

#include "status.h"

namespace sealpoint {

class CancelFlag {
 public:
  void set() { set_.store(true, std::memory_order_relaxed); }
  // For checks: as if set() came at that look from now, so that they see which loops look.
  void set_at(int look) { looks_.store(look, std::memory_order_relaxed); }
  bool look() {
    if (looks_.load(std::memory_order_relaxed) > 0 && looks_.fetch_sub(1, std::memory_order_relaxed) == 1) set();
    return set_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<bool> set_{false};
  std::atomic<int> looks_{0};
};

namespace cancellation {
inline thread_local CancelFlag* current = nullptr;

inline bool requested() { return current != nullptr && current->look(); }
inline void check() {
  if (requested()) throw Error(ErrorKind::kCancelled, "nobody waits for the answer any more");
}

// The flag of what this thread runs while the object lives; nullptr: what it runs goes to its end.
class Scope {
 public:
  explicit Scope(CancelFlag* flag) : before_(current) { current = flag; }
  ~Scope() { current = before_; }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  CancelFlag* const before_;
};

// Looks at each kSteps-th step of a loop, whose steps are too short for a look each.
template <uint32_t kSteps>
class Stride {
 public:
  void step() {
    if (++steps_ % kSteps == 0) check();
  }

 private:
  uint32_t steps_ = 0;
};
}  // namespace cancellation

}  // namespace sealpoint
