#include "index_filler.h"

#include <algorithm>
#include <chrono>

#include "../core/priority.h"
#include "collection.h"

namespace sealpoint {

namespace {

constexpr auto kBudgetEvery = std::chrono::seconds(1);
// A temporary index that no filter asked for in so long goes.
constexpr int64_t kIdleMsMax = 10 * 60 * 1000;

}  // namespace

IndexFiller::IndexFiller(Collections collections, uint64_t temporary_bytes)
    : collections_(std::move(collections)), temporary_bytes_(temporary_bytes), thread_([this] { loop(); }) {}

void IndexFiller::post(std::weak_ptr<Collection> collection) {
  {
    std::lock_guard lock(mutex_);
    if (!stopping_) {
      waiting_.push_back(std::move(collection));
      wake_.notify_one();
      return;
    }
  }
  if (const auto alive = collection.lock()) alive->refuse_fills();
}

void IndexFiller::stop() {
  std::deque<std::weak_ptr<Collection>> left;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    left.swap(waiting_);
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
  for (const auto& collection : left) {
    if (const auto alive = collection.lock()) alive->refuse_fills();
  }
}

void IndexFiller::loop() {
  bool gives_way = false;
  std::unique_lock lock(mutex_);
  auto budget_at = std::chrono::steady_clock::now();
  while (!stopping_) {
    if (waiting_.empty()) wake_.wait_for(lock, kBudgetEvery);
    bool filled = false;
    while (!stopping_ && !waiting_.empty()) {
      const auto collection = waiting_.front().lock();
      waiting_.pop_front();
      lock.unlock();
      // Filling gives way to searches and writes, but for what a start has left: filters wait for that.
      if (collection != nullptr && !collection->restoring() && !gives_way) {
        gives_way = true;
        give_way();
      }
      if (collection != nullptr) collection->fill_indexes(stopping_);
      lock.lock();
      filled = true;
    }
    const auto now = std::chrono::steady_clock::now();
    if (stopping_ || (!filled && now - budget_at < kBudgetEvery)) continue;
    budget_at = now;
    lock.unlock();
    keep_budget();
    lock.lock();
  }
}

void IndexFiller::keep_budget() {
  struct Held {
    std::shared_ptr<Collection> collection;
    TemporaryIndexInfo info;
  };
  std::vector<Held> held;
  uint64_t total = 0;
  for (const auto& collection : collections_()) {
    if (!collection->has_temporaries()) continue;
    for (auto& info : collection->temporaries()) {
      total += info.bytes;
      held.push_back({collection, std::move(info)});
    }
  }
  // The longest unused first.
  std::sort(held.begin(), held.end(), [](const Held& a, const Held& b) { return a.info.used_ms < b.info.used_ms; });
  const int64_t now = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
  for (const Held& each : held) {
    const bool idle = now - each.info.used_ms > kIdleMsMax;
    if (!idle && total <= temporary_bytes_) break;
    each.collection->drop_temporary(each.info.key, each.info.type, !idle);
    total -= std::min(total, each.info.bytes);
  }
}

}  // namespace sealpoint
