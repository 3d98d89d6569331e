// Operations in a minute: a bucket that starts full and fills evenly.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <mutex>

namespace sealpoint {

struct RateAnswer {
  bool granted = false;
  double available = 0;            // tokens
  double retry_after_seconds = 0;  // 0: there will never be so many
};

class RateLimiter {
 public:
  RateAnswer spend(uint32_t per_minute, uint64_t cost) {
    std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (per_minute != per_minute_) {
      per_minute_ = per_minute;
      tokens_ = per_minute;
    } else {
      tokens_ = std::min<double>(per_minute, tokens_ + std::chrono::duration<double>(now - since_).count() * per_minute / 60.0);
    }
    since_ = now;
    const auto wanted = static_cast<double>(cost);
    if (wanted > per_minute) return {false, tokens_, 0};
    if (wanted > tokens_) return {false, tokens_, (wanted - tokens_) * 60.0 / per_minute};
    tokens_ -= wanted;
    return {true, tokens_, 0};
  }

 private:
  std::mutex mutex_;
  uint32_t per_minute_ = 0;
  double tokens_ = 0;
  std::chrono::steady_clock::time_point since_{};
};

}  // namespace sealpoint
