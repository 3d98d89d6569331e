// The background thread: builds graphs when the load allows it, repairs what searches and builds found damaged, and gives memory back in quiet moments.
#include <malloc.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>

#include "engine.h"

namespace sealpoint {

namespace {

// Points written per second above which a build would only compete with the load that is going on.
constexpr double kBusyPointsPerSecond = 3000;
// How long a build may be put off for that.
constexpr auto kBuildDelayMax = std::chrono::seconds(20);
// Without a write for so long, a collection counts as idle.
constexpr auto kIdleMin = std::chrono::seconds(2);
// After a build that failed, on a full disk for instance.
constexpr auto kFailureDelay = std::chrono::seconds(10);
// What memtables may keep while nothing is written.
constexpr size_t kMemtableIdleMax = 4 << 20;
constexpr auto kSnapshotAgeMax = std::chrono::seconds(10);

bool repair(Collection& collection) {
  try {
    return collection.repair() > 0;
  } catch (const Error&) {
    // The store cannot give them either: the collection's status says what the build said.
    return false;
  }
}

}  // namespace

void Engine::optimize_loop() {
  // Builds give way to searches and writes.
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), 5);
  const unsigned threads = options_.build_threads != 0 ? options_.build_threads : std::max(1u, std::thread::hardware_concurrency());
  std::map<uint32_t, std::chrono::steady_clock::time_point> wanted_since, idle_since, failed_at;
  auto snapshots_at = std::chrono::steady_clock::now();
  std::unique_lock lock(optimize_mutex_);
  while (!stop_optimizer_) {
    optimize_wake_.wait_for(lock, std::chrono::milliseconds(100));
    if (stop_optimizer_) return;
    lock.unlock();
    std::vector<std::shared_ptr<Collection>> all;
    {
      std::shared_lock names(names_mutex_);
      for (const auto& [name, collection] : collections_) all.push_back(collection);
    }
    const auto now = std::chrono::steady_clock::now();
    const bool refresh = now - snapshots_at > kSnapshotAgeMax;
    if (refresh) snapshots_at = now;
    bool built = false, quiet = true;
    for (const auto& collection : all) {
      if (stop_optimizer_) break;
      const double rate = collection->write_rate();
      if (refresh && rate == 0) collection->refresh_snapshot();
      const uint32_t cid = collection->cid();
      if (rate > 0) {
        idle_since.erase(cid);
        quiet = false;
      }
      if (collection->damaged()) repair(*collection);
      const bool idle = now - idle_since.try_emplace(cid, now).first->second > kIdleMin;
      if (!collection->wants_build(idle)) {
        wanted_since.erase(cid);
        continue;
      }
      const auto since = wanted_since.try_emplace(cid, now).first->second;
      if (rate > kBusyPointsPerSecond && now - since < kBuildDelayMax) continue;
      const auto failed = failed_at.find(cid);
      if (failed != failed_at.end() && now - failed->second < kFailureDelay) continue;
      if (collection->optimize(stop_optimizer_, threads, idle)) {
        failed_at.erase(cid);
        built = true;
      } else {
        // Rows that a build found damaged come back from the store, and the next try has them.
        failed_at[cid] = now;
        if (repair(*collection)) failed_at.erase(cid);
      }
      wanted_since.erase(cid);
    }
    if (built || (quiet && refresh)) {
      // A quiet moment: memtables go to disk, which also spares the next start their replay, and what was freed goes back to the system.
      try {
        if (store_->memtable_bytes() > kMemtableIdleMax) store_->flush();
      } catch (const Error&) {
        // The log has it all; the next quiet moment tries again.
      }
      malloc_trim(0);
    }
    lock.lock();
  }
}

}  // namespace sealpoint
