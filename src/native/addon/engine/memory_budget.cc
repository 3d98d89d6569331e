#include "memory_budget.h"

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../core/status.h"

namespace sealpoint {

namespace {

// Reading /proc costs some 30 us: not for every write.
constexpr int64_t kMeasureMs = 1000;
// Before a refusal it is read anew, though not for each of many refusals.
constexpr int64_t kMeasureAgainMs = 50;
constexpr int64_t kTrimMs = 1000;
constexpr int64_t kFreedMin = 1 << 20;

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string megabytes(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f", static_cast<double>(bytes) / (1 << 20));
  return text;
}

}  // namespace

uint64_t anonymous_bytes() {
  std::FILE* file = std::fopen("/proc/self/status", "re");
  if (file == nullptr) return 0;
  char line[256];
  uint64_t kilobytes = 0;
  while (std::fgets(line, sizeof(line), file) != nullptr) {
    if (std::strncmp(line, "RssAnon:", 8) != 0) continue;
    kilobytes = std::strtoull(line + 8, nullptr, 10);
    break;
  }
  std::fclose(file);
  return kilobytes * 1024;
}

uint64_t MemoryBudget::booked() const { return static_cast<uint64_t>(std::max<int64_t>(0, booked_.load(std::memory_order_relaxed))); }

void MemoryBudget::measure(bool before_refusal) {
  const std::unique_lock lock(measure_mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return;
  const int64_t now = now_ms();
  if (before_refusal) {
    const bool freed = booked_.load() + kFreedMin < booked_at_trim_;
    if (!freed && now - measured_ms_ < kMeasureAgainMs) return;
    if (freed || now - trimmed_ms_ >= kTrimMs) {
      // What was freed counts against nobody once the system has it back.
      malloc_trim(0);
      trimmed_ms_ = now;
      booked_at_trim_ = booked_;
    }
  }
  const uint64_t anonymous = anonymous_bytes();
  const uint64_t mine = booked();
  other_ = anonymous > mine ? anonymous - mine : 0;
  measured_ms_ = now_ms();
}

void MemoryBudget::reserve(uint64_t bytes, uint64_t spare, const std::string& what) {
  if (process_limit_ == 0) {
    add(static_cast<int64_t>(bytes));
    return;
  }
  if (now_ms() - measured_ms_ >= kMeasureMs) measure(false);
  add(static_cast<int64_t>(bytes));
  if (fits(spare)) return;
  add(-static_cast<int64_t>(bytes));
  measure(true);
  add(static_cast<int64_t>(bytes));
  if (fits(spare)) return;
  add(-static_cast<int64_t>(bytes));
  throw Error(ErrorKind::kExhausted, what + " needs about " + megabytes(bytes) + " MB, and the server holds " + megabytes(used()) + " MB" +
                                         (spare == 0 ? std::string() : " and keeps " + megabytes(spare) + " MB for the next index build") +
                                         " of its limit of " + megabytes(process_limit_) + " MB (SEALPOINT_MEMORY_LIMIT_MB)");
}

void Booking::grow(uint64_t bytes, const std::string& what) {
  budget_.reserve(bytes, 0, what);
  bytes_ += bytes;
}

void Booking::grow_collection(uint64_t bytes, const std::string& collection) {
  const uint64_t limit = budget_.collection_limit_;
  if (limit != 0 && this->bytes() + bytes > limit) {
    throw Error(ErrorKind::kExhausted, "Collection `" + collection + "`: this write needs about " + megabytes(bytes) + " MB, and the collection holds " +
                                           megabytes(this->bytes()) + " MB of its limit of " + megabytes(limit) +
                                           " MB (SEALPOINT_COLLECTION_MEMORY_LIMIT_MB)",
                "collection_name");
  }
  budget_.reserve(bytes, budget_.build_room_, "Collection `" + collection + "`: this write");
  bytes_ += bytes;
}

void Booking::shrink(uint64_t bytes) {
  bytes_ -= bytes;
  budget_.add(-static_cast<int64_t>(bytes));
}

}  // namespace sealpoint
