// The thread that fills payload indexes beside the writes, and keeps the temporary ones of all collections within their budget.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace sealpoint {

class Collection;

class IndexFiller {
 public:
  using Collections = std::function<std::vector<std::shared_ptr<Collection>>()>;
  // `temporary_bytes`: what temporary indexes may take in all; 0: none are made.
  IndexFiller(Collections collections, uint64_t temporary_bytes);
  ~IndexFiller() { stop(); }

  // The collection has indexes to fill.
  void post(std::weak_ptr<Collection> collection);
  uint64_t temporary_bytes_max() const { return temporary_bytes_; }
  // Gives up what is being filled; later posts fail at once.
  void stop();

 private:
  void loop();
  void keep_budget();

  const Collections collections_;
  const uint64_t temporary_bytes_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::weak_ptr<Collection>> waiting_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace sealpoint
