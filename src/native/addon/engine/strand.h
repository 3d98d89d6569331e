#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "engine.h"
#include "thread_pool.h"

namespace sealpoint {

// Jobs of one collection, run one after the other on the writers' threads.
struct Engine::Strand {
  std::mutex mutex;
  std::deque<std::function<void()>> jobs;
  bool running = false;

  static void post(const std::shared_ptr<Strand>& strand, ThreadPool& pool, std::function<void()> job) {
    {
      std::lock_guard lock(strand->mutex);
      strand->jobs.push_back(std::move(job));
      if (strand->running) return;
      strand->running = true;
    }
    pool.post([strand, &pool] { drain(strand, pool); });
  }
  static void drain(const std::shared_ptr<Strand>& strand, ThreadPool& pool) {
    for (int turn = 0; turn < 16; ++turn) {
      std::function<void()> job;
      {
        std::lock_guard lock(strand->mutex);
        if (strand->jobs.empty()) {
          strand->running = false;
          return;
        }
        job = std::move(strand->jobs.front());
        strand->jobs.pop_front();
      }
      job();
    }
    // Other collections get their turn.
    pool.post([strand, &pool] { drain(strand, pool); });
  }
};

}  // namespace sealpoint
