#include "tail_cutter.h"

#include "collection.h"

namespace sealpoint {

void TailCutter::post(std::weak_ptr<Collection> collection) {
  std::lock_guard lock(mutex_);
  if (stopping_) return;
  waiting_.push_back(std::move(collection));
  wake_.notify_one();
}

void TailCutter::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    waiting_.clear();
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

// At the writers' own priority, since it has to keep up with them.
void TailCutter::loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (waiting_.empty()) {
      wake_.wait(lock);
      continue;
    }
    const auto collection = waiting_.front().lock();
    waiting_.pop_front();
    lock.unlock();
    if (collection != nullptr) collection->cut_tails();
    lock.lock();
  }
}

}  // namespace sealpoint
