// The thread that makes segments without a graph of tails that grow too long, beside the builds of the optimizer.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

namespace sealpoint {

class Collection;

class TailCutter {
 public:
  TailCutter() : thread_([this] { loop(); }) {}
  ~TailCutter() { stop(); }

  // The collection has a tail to cut.
  void post(std::weak_ptr<Collection> collection);
  // Gives up what is being cut.
  void stop();

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::weak_ptr<Collection>> waiting_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace sealpoint
