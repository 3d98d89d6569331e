// Threads that run operations. The last thread to fall idle is woken first, since its caches are warm; a queue that is full refuses.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace sealpoint {

class ThreadPool {
 public:
  explicit ThreadPool(unsigned threads) {
    for (unsigned i = 0; i < threads; ++i) workers_.push_back(std::make_unique<Worker>());
    for (auto& worker : workers_) worker->thread = std::thread([this, &worker = *worker] { loop(worker); });
  }
  ~ThreadPool() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      for (auto& worker : workers_) worker->wake.notify_one();
    }
    for (auto& worker : workers_) worker->thread.join();
  }
  void post(std::function<void()> job) {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    if (idle_.empty()) return;
    Worker* worker = idle_.back();
    idle_.pop_back();
    worker->called = true;
    worker->wake.notify_one();
  }

 private:
  struct Worker {
    std::condition_variable wake;
    bool called = false;
    std::thread thread;
  };

  void loop(Worker& worker) {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (!jobs_.empty()) {
        auto job = std::move(jobs_.front());
        jobs_.pop_front();
        lock.unlock();
        job();
        job = nullptr;
        lock.lock();
        continue;
      }
      if (stopping_) return;
      worker.called = false;
      idle_.push_back(&worker);
      worker.wake.wait(lock, [&] { return worker.called || stopping_; });
      if (!worker.called) std::erase(idle_, &worker);
    }
  }

  std::mutex mutex_;
  std::deque<std::function<void()>> jobs_;
  std::vector<Worker*> idle_;
  bool stopping_ = false;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace sealpoint
