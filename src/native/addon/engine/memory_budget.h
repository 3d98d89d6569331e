// How much anonymous memory the process may hold, and each collection of it. What the engine itself keeps (tails, ids, payload indexes,
// running builds) is booked exactly; the rest of the process (JavaScript, RocksDB, the allocator) is measured now and then
// and counts too. What would go over a limit is refused before anything is changed; reads and deletes book nothing.
#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

namespace sealpoint {

// The process's anonymous memory; 0 where the system does not tell.
uint64_t anonymous_bytes();

class MemoryBudget {
 public:
  // Bytes; 0: no limit.
  MemoryBudget(uint64_t process_limit, uint64_t collection_limit) : process_limit_(process_limit), collection_limit_(collection_limit) {}

  uint64_t process_limit() const { return process_limit_; }
  uint64_t collection_limit() const { return collection_limit_; }
  uint64_t booked() const;
  // Booked, and what the process holds besides as last measured.
  uint64_t used() const { return booked() + other_.load(std::memory_order_relaxed); }

  // More than half is used: what frees memory should not wait.
  bool tight() const { return process_limit_ != 0 && used() > process_limit_ / 2; }

  // Room that the next build needs and that writes therefore leave; kept up by the optimizer.
  void set_build_room(uint64_t bytes) { build_room_ = bytes; }

 private:
  friend class Booking;
  // Throws kExhausted, naming the limit; then nothing is booked.
  void reserve(uint64_t bytes, uint64_t spare, const std::string& what);
  void add(int64_t bytes) { booked_.fetch_add(bytes, std::memory_order_relaxed); }
  bool fits(uint64_t bytes) const { return used() + bytes <= process_limit_; }
  void measure(bool before_refusal);

  const uint64_t process_limit_;
  const uint64_t collection_limit_;
  std::atomic<int64_t> booked_{0};
  std::atomic<uint64_t> other_{0};
  std::atomic<uint64_t> build_room_{0};
  std::mutex measure_mutex_;
  std::atomic<int64_t> measured_ms_{0};
  int64_t trimmed_ms_ = 0;  // under measure_mutex_
  int64_t booked_at_trim_ = 0;
};

// What one holder has booked; given back at its end.
class Booking {
 public:
  explicit Booking(MemoryBudget& budget) : budget_(budget) {}
  ~Booking() { set(0); }
  Booking(const Booking&) = delete;
  Booking& operator=(const Booking&) = delete;

  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  // What is held by now, whatever the limits say.
  void set(uint64_t bytes) { budget_.add(static_cast<int64_t>(bytes) - static_cast<int64_t>(bytes_.exchange(bytes))); }
  // Before memory is taken. Throws kExhausted; then nothing is booked. `what` begins the message.
  void grow(uint64_t bytes, const std::string& what);
  // The same for a write to a collection, which has its own limit, too, and leaves room for the next build.
  void grow_collection(uint64_t bytes, const std::string& collection);
  // After a `grow` whose memory was not taken.
  void shrink(uint64_t bytes);

 private:
  MemoryBudget& budget_;
  std::atomic<uint64_t> bytes_{0};
};

}  // namespace sealpoint
