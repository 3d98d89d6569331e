// The memory that a write needs while it is made.
#pragma once
#include <algorithm>
#include <memory>
#include <vector>

#include <rocksdb/write_batch.h>

namespace sealpoint {

// Vectors of one write, in few allocations.
class FloatArena {
 public:
  float* take(size_t count) {
    while (block_ < blocks_.size() && used_ + count > blocks_[block_].size) {
      ++block_;
      used_ = 0;
    }
    if (block_ == blocks_.size()) {
      const size_t size = std::max(count, kBlockFloats);
      blocks_.push_back({std::make_unique_for_overwrite<float[]>(size), size});
      floats_ += size;
    }
    float* const taken = blocks_[block_].floats.get() + used_;
    used_ += count;
    return taken;
  }
  void reuse() { block_ = used_ = 0; }
  size_t bytes() const { return floats_ * sizeof(float); }

 private:
  static constexpr size_t kBlockFloats = 1 << 15;
  struct Block {
    std::unique_ptr<float[]> floats;
    size_t size;
  };
  std::vector<Block> blocks_;
  size_t block_ = 0, used_ = 0, floats_ = 0;
};

// What a write fills and leaves, kept for the writer thread's next one: fresh memory would cost a page fault for every four kilobytes.
struct WriteScratch {
  FloatArena floats;
  rocksdb::WriteBatch batch;
};
// A thread keeps no more than this; a usual write of 256 points takes half.
inline constexpr size_t kScratchBytesMax = 2 << 20;

class ScratchLease {
 public:
  ScratchLease() : scratch_(kept() != nullptr ? std::move(kept()) : std::make_unique<WriteScratch>()) {}
  ~ScratchLease() {
    scratch_->floats.reuse();
    const size_t batch = scratch_->batch.GetDataSize();
    scratch_->batch.Clear();
    // The batch's memory doubles as it grows.
    if (scratch_->floats.bytes() + 2 * batch <= kScratchBytesMax) kept() = std::move(scratch_);
  }
  ScratchLease(const ScratchLease&) = delete;
  ScratchLease& operator=(const ScratchLease&) = delete;
  WriteScratch* operator->() const { return scratch_.get(); }

 private:
  static std::unique_ptr<WriteScratch>& kept() {
    thread_local std::unique_ptr<WriteScratch> scratch;
    return scratch;
  }
  std::unique_ptr<WriteScratch> scratch_;
};

}  // namespace sealpoint
