// Values in order, each with the slot that holds it, for ranges. Sorted blocks: an insert moves one block, a range
// reads memory straight through, and there is no node per value.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

namespace sealpoint::filter {

template <typename V>  // V has operator<
class OrderedIndex {
 public:
  void insert(const V& value, uint32_t slot) {
    size_t at = block_for(value, slot);
    if (at == blocks_.size()) {
      // Behind everything: values that only grow (times, counters) fill each block to its end.
      if (blocks_.empty() || blocks_.back()->slots.size() == kBlockMax) blocks_.push_back(std::make_unique<Block>());
      at = blocks_.size() - 1;
    }
    if (blocks_[at]->slots.size() == kBlockMax) {
      split(at);
      if (less(blocks_[at]->values.back(), blocks_[at]->slots.back(), value, slot)) ++at;
    }
    Block& block = *blocks_[at];
    const size_t position = lower(block, value, slot);
    if (position < block.slots.size() && !less(value, slot, block.values[position], block.slots[position])) return;
    block.values.insert(block.values.begin() + static_cast<std::ptrdiff_t>(position), value);
    block.slots.insert(block.slots.begin() + static_cast<std::ptrdiff_t>(position), slot);
    ++size_;
  }

  void erase(const V& value, uint32_t slot) {
    const size_t at = block_for(value, slot);
    if (at == blocks_.size()) return;
    Block& block = *blocks_[at];
    const size_t position = lower(block, value, slot);
    if (position == block.slots.size() || less(value, slot, block.values[position], block.slots[position])) return;
    block.values.erase(block.values.begin() + static_cast<std::ptrdiff_t>(position));
    block.slots.erase(block.slots.begin() + static_cast<std::ptrdiff_t>(position));
    --size_;
    if (block.slots.empty()) {
      blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(at));
    } else if (block.slots.size() < kBlockMax / 4 && at + 1 < blocks_.size() &&
               block.slots.size() + blocks_[at + 1]->slots.size() <= kBlockMax / 2) {
      Block& next = *blocks_[at + 1];
      block.values.insert(block.values.end(), next.values.begin(), next.values.end());
      block.slots.insert(block.slots.end(), next.slots.begin(), next.slots.end());
      blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }
  }

  // Visit(value, slot) for all values that are neither below(value) nor above(value); both must be monotone over the
  // order.
  template <typename Below, typename Above, typename Visit>
  void scan(Below below, Above above, Visit visit) const {
    auto block =
        std::partition_point(blocks_.begin(), blocks_.end(), [&](const auto& b) { return below(b->values.back()); });
    for (; block != blocks_.end(); ++block) {
      const Block& b = **block;
      if (above(b.values.front())) return;
      const auto begin =
          below(b.values.front()) ? std::partition_point(b.values.begin(), b.values.end(), below) : b.values.begin();
      const auto end = above(b.values.back())
                           ? std::partition_point(begin, b.values.end(), [&](const V& value) { return !above(value); })
                           : b.values.end();
      for (auto i = begin; i != end; ++i) visit(*i, b.slots[static_cast<size_t>(i - b.values.begin())]);
      if (end != b.values.end()) return;
    }
  }

  size_t size() const { return size_; }
  size_t bytes() const {
    size_t total = blocks_.capacity() * sizeof(void*);
    for (const auto& block : blocks_) {
      total += sizeof(Block) + block->values.capacity() * sizeof(V) + block->slots.capacity() * sizeof(uint32_t);
    }
    return total;
  }

 private:
  static constexpr size_t kBlockMax = 512;
  struct Block {
    std::vector<V> values;
    std::vector<uint32_t> slots;
  };

  static bool less(const V& a, uint32_t a_slot, const V& b, uint32_t b_slot) {
    if (a < b) return true;
    if (b < a) return false;
    return a_slot < b_slot;
  }
  // The first block whose last entry is not before (value, slot).
  size_t block_for(const V& value, uint32_t slot) const {
    return static_cast<size_t>(
        std::partition_point(
            blocks_.begin(), blocks_.end(),
            [&](const auto& block) { return less(block->values.back(), block->slots.back(), value, slot); }) -
        blocks_.begin());
  }
  static size_t lower(const Block& block, const V& value, uint32_t slot) {
    size_t low = 0, high = block.slots.size();
    while (low < high) {
      const size_t middle = (low + high) / 2;
      if (less(block.values[middle], block.slots[middle], value, slot)) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
  void split(size_t at) {
    Block& block = *blocks_[at];
    auto next = std::make_unique<Block>();
    const auto middle = static_cast<std::ptrdiff_t>(block.slots.size() / 2);
    next->values.assign(block.values.begin() + middle, block.values.end());
    next->slots.assign(block.slots.begin() + middle, block.slots.end());
    block.values.resize(static_cast<size_t>(middle));
    block.slots.resize(static_cast<size_t>(middle));
    blocks_.insert(blocks_.begin() + static_cast<std::ptrdiff_t>(at) + 1, std::move(next));
  }

  std::vector<std::unique_ptr<Block>> blocks_;
  size_t size_ = 0;
};

}  // namespace sealpoint::filter
