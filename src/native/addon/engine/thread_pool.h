// Threads that run operations. The last thread to fall idle is woken first, since its caches are warm; a queue that is full refuses.
#pragma once
#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
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
    Worker* worker = nullptr;
    {
      std::lock_guard lock(mutex_);
      jobs_.push_back(std::move(job));
      if (idle_.empty()) return;
      worker = idle_.back();
      idle_.pop_back();
      worker->called = true;
    }
    // Without the lock, which the woken thread wants at once.
    worker->wake.notify_one();
  }
  // Calls `work` with every number below `count`, on this thread and on those of the pool that are free, and returns when all calls have. After a call
  // that throws no further one begins; the failure of the lowest number is thrown.
  void spread(size_t count, const std::function<void(size_t)>& work) {
    auto state = std::make_shared<Spread>(count, work);
    for (size_t helper = 1; helper < std::min(count, workers_.size()); ++helper) post([state] { state->help(); });
    state->help();
    std::unique_lock lock(state->mutex);
    // A helper that begins later finds nothing left, and never touches `work`.
    state->left.wait(lock, [&] { return state->helpers == 0; });
    // Owned by this thread alone from now on.
    if (const std::exception_ptr failure = std::exchange(state->failure, nullptr)) std::rethrow_exception(failure);
  }

 private:
  struct Worker {
    std::condition_variable wake;
    bool called = false;
    std::thread thread;
  };

  struct Spread {
    Spread(size_t count, const std::function<void(size_t)>& work) : count(count), work(work) {}
    void help() {
      std::unique_lock lock(mutex);
      ++helpers;
      while (next < count) {
        const size_t number = next++;
        lock.unlock();
        std::exception_ptr thrown;
        try {
          work(number);
        } catch (...) {
          thrown = std::current_exception();
        }
        lock.lock();
        if (thrown == nullptr) continue;
        next = count;
        if (failure == nullptr || number < failed) {
          failure = std::move(thrown);
          failed = number;
        }
      }
      if (--helpers == 0) left.notify_all();
    }
    const size_t count;
    const std::function<void(size_t)>& work;
    std::mutex mutex;
    std::condition_variable left;
    size_t next = 0, helpers = 0, failed = 0;
    std::exception_ptr failure;
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
