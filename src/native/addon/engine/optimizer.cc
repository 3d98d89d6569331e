// The background thread: builds graphs when the load allows it, repairs what searches and builds found damaged, and gives memory back in quiet moments.
#include <malloc.h>

#include <chrono>
#include <optional>
#include <unordered_map>

#include "../core/priority.h"
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
// Counting what a collection holds walks its payload indexes.
constexpr auto kBookingDelay = std::chrono::seconds(1);
// Freed memory goes back to the system at once when it is more than this.
constexpr uint64_t kTrimBytes = 16 << 20;
// Reads, too, leave freed memory with the allocator: every so often it goes back once the process has grown by so much.
constexpr auto kTrimLook = std::chrono::seconds(5);
constexpr uint64_t kTrimGrowth = 8 << 20;

using Clock = std::chrono::steady_clock;

// Every so many rounds, collections without work are looked at for damage that a search found.
constexpr uint64_t kDamageRounds = 10;

bool repair(Collection& collection) {
  try {
    return collection.repair() > 0;
  } catch (const Error&) {
    // The store cannot give them either: the collection's status says what the build said.
    return false;
  }
}

}  // namespace

void Engine::save_state(Collection& collection, StateMoment moment) {
  if (!collection.wants_state(moment)) return;
  try {
    collection.save_state(moment);
  } catch (const std::exception&) {
    // A start without it takes longer; the next change brings another try.
  }
}

// What the loop knows of a collection. One that is settled costs it a look at a counter until something changes.
struct Engine::Watched {
  uint32_t cid = 0;
  std::weak_ptr<Collection> collection;  // one that is dropped gives its memory back at once
  uint64_t changes = 0, booked_changes = 0;
  Clock::time_point booked_at{};
  bool settled = false;
  std::optional<Clock::time_point> wanted_since, idle_since, failed_at;
};

void Engine::watch_collections(std::vector<Watched>& watched) const {
  std::unordered_map<uint32_t, Watched> before;
  for (Watched& one : watched) before.emplace(one.cid, std::move(one));
  watched.clear();
  std::shared_lock names(names_mutex_);
  for (const auto& [name, collection] : collections_) {
    const auto known = before.find(collection->cid());
    if (known != before.end()) {
      watched.push_back(std::move(known->second));
    } else {
      Watched& fresh = watched.emplace_back();
      fresh.cid = collection->cid();
      fresh.collection = collection;
    }
  }
}

// Whether the collection was built. `now` is the round's time.
bool Engine::attend(Watched& watched, Collection& collection, Clock::time_point now, unsigned threads) {
  const double rate = collection.write_rate();
  watched.changes = collection.changes();
  if (watched.booked_changes != watched.changes && now - watched.booked_at > kBookingDelay) {
    watched.booked_changes = watched.changes;
    watched.booked_at = now;
    collection.book_memory();
  }
  if (rate > 0) watched.idle_since.reset();
  if (!watched.idle_since) watched.idle_since = now;
  const bool idle = now - *watched.idle_since > kIdleMin;
  save_state(collection, idle ? StateMoment::kQuiet : StateMoment::kBusy);
  if (!collection.wants_build(idle)) {
    // What a failed build wanted is gone.
    if (watched.failed_at) collection.forget_build_error();
    watched.wanted_since.reset();
    watched.failed_at.reset();
    watched.settled = idle && watched.booked_changes == watched.changes;
    return false;
  }
  if (!watched.wanted_since) watched.wanted_since = now;
  if (rate > kBusyPointsPerSecond && now - *watched.wanted_since < kBuildDelayMax && !budget_.tight()) return false;
  if (watched.failed_at && now - *watched.failed_at < kFailureDelay) return false;
  watched.wanted_since.reset();
  if (collection.optimize(threads, idle)) {
    watched.failed_at.reset();
    return true;
  }
  // Rows that a build found damaged come back from the store, and the next try has them.
  watched.failed_at = now;
  if (repair(collection)) watched.failed_at.reset();
  return false;
}

void Engine::optimize_loop() {
  // Builds give way to searches and writes.
  give_way();
  const unsigned threads = options_.build_threads != 0 ? options_.build_threads : std::max(1u, std::thread::hardware_concurrency());
  std::vector<Watched> watched;
  uint64_t collections = 0, booked_most = 0, trimmed = anonymous_bytes();
  auto snapshots_at = Clock::now(), looked_at = snapshots_at;
  std::unique_lock lock(optimize_mutex_);
  for (uint64_t round = 0; !stop_optimizer_; ++round) {
    optimize_wake_.wait_for(lock, std::chrono::milliseconds(100));
    if (stop_optimizer_) return;
    lock.unlock();
    if (const uint64_t changes = collections_changes_; changes != collections) {
      collections = changes;
      watch_collections(watched);
    }
    const auto now = Clock::now();
    const bool refresh = now - snapshots_at > kSnapshotAgeMax;
    bool built = false, quiet = true;
    uint64_t room = 0;
    for (Watched& one : watched) {
      if (stop_optimizer_) break;
      const auto collection = one.collection.lock();
      if (collection == nullptr) continue;
      const bool settled = one.settled && collection->changes() == one.changes;
      if ((!settled || round % kDamageRounds == 0) && collection->damaged()) repair(*collection);
      if (settled) continue;
      one.settled = false;
      built = attend(one, *collection, now, threads) || built;
      quiet = quiet && collection->write_rate() == 0;
      room = std::max(room, collection->build_room());
    }
    budget_.set_build_room(room);
    if (refresh && !watched.empty()) {
      // One snapshot serves all that are idle.
      snapshots_at = now;
      const Snapshot shared = store_->snapshot();
      for (const Watched& one : watched) {
        if (const auto collection = one.collection.lock()) collection->refresh_snapshot(shared);
      }
    }
    const uint64_t booked = budget_.booked();
    booked_most = std::max(booked_most, booked);
    const bool much_went = booked_most - booked > kTrimBytes;
    if (built || much_went || (quiet && refresh)) {
      // A quiet moment: memtables go to disk, which also spares the next start their replay, and what was freed goes back to the system.
      try {
        if (store_->memtable_bytes() > kMemtableIdleMax) store_->flush();
      } catch (const Error&) {
        // The log has it all; the next quiet moment tries again.
      }
      malloc_trim(0);
      booked_most = booked;
      trimmed = anonymous_bytes();
    } else if (now - looked_at > kTrimLook) {
      looked_at = now;
      // What is held rightly is not looked for again before as much has come on top of it.
      const uint64_t held = anonymous_bytes();
      trimmed = std::min(trimmed, held);
      if (held > trimmed + kTrimGrowth) {
        malloc_trim(0);
        trimmed = anonymous_bytes();
      }
    }
    lock.lock();
  }
}

}  // namespace sealpoint
