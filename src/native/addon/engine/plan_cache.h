// The last plans of a collection's filters. A plan holds for one state of the collection: the next write makes another.
#pragma once
#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "../core/bitset.h"

namespace sealpoint {

class PlanCache {
 public:
  struct Plan {
    std::shared_ptr<const Bitset> slots;
    size_t count = 0;
    bool exact = false;
  };
  // The state that a plan speaks of: the collection's last operation and its set of indexes.
  struct State {
    uint64_t operation = 0;
    uint64_t indexes = 0;
    bool operator==(const State& other) const { return operation == other.operation && indexes == other.indexes; }
  };

  PlanCache() = default;
  ~PlanCache() { clear(); }

  bool find(const std::string& program, bool plain_only, const State& state, Plan& out) {
    std::lock_guard lock(mutex_);
    for (auto at = entries_.begin(); at != entries_.end(); ++at) {
      if (at->plain_only != plain_only || at->program != program) continue;
      if (!(at->state == state)) return false;
      out = at->plan;
      entries_.splice(entries_.begin(), entries_, at);
      return true;
    }
    return false;
  }

  void put(const std::string& program, bool plain_only, const State& state, const Plan& plan) {
    const size_t bytes = plan.slots->words().capacity() * 8 + program.size();
    if (program.size() > kProgramBytesMax || bytes > kBytesMax / kPlansMax) return;
    std::lock_guard lock(mutex_);
    for (auto at = entries_.begin(); at != entries_.end();) {
      // What another state left behind is never found again.
      const bool same = at->plain_only == plain_only && at->program == program;
      if (!same && at->state == state) {
        ++at;
        continue;
      }
      // A plan that took longer than a write speaks of the past.
      if (same && at->state.operation > state.operation) return;
      at = drop(at);
    }
    if (entries_.size() >= kPlansMax) drop(std::prev(entries_.end()));
    if (total_bytes() + bytes > kBytesMax) return;
    total_bytes() += bytes;
    entries_.push_front({program, plain_only, state, plan, bytes});
  }

  void clear() {
    std::lock_guard lock(mutex_);
    while (!entries_.empty()) drop(entries_.begin());
  }

  size_t bytes() const {
    std::lock_guard lock(mutex_);
    size_t total = 0;
    for (const Entry& entry : entries_) total += entry.bytes;
    return total;
  }

 private:
  // Plans of one collection, bytes of a filter's program, and bytes of all plans of the process.
  static constexpr size_t kPlansMax = 16;
  static constexpr size_t kProgramBytesMax = 16 << 10;
  static constexpr size_t kBytesMax = size_t{64} << 20;

  struct Entry {
    std::string program;
    bool plain_only;
    State state;
    Plan plan;
    size_t bytes;
  };
  static std::atomic<size_t>& total_bytes() {
    static std::atomic<size_t> bytes{0};
    return bytes;
  }
  std::list<Entry>::iterator drop(std::list<Entry>::iterator at) {
    total_bytes() -= at->bytes;
    return entries_.erase(at);
  }

  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // the last used first
};

}  // namespace sealpoint
