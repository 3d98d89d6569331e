// Values in order, each with the slot that holds it, for ranges. Sorted blocks: an insert moves one block, a range
// reads memory straight through, and there is no node per value. Blocks stand in groups that know all their slots, so
// that a wide range takes whole groups and reads values only at its ends.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

#include "slot_set.h"

namespace sealpoint::filter {

template <typename T>
void sort_unique(std::vector<T>& values) {
  std::sort(values.begin(), values.end());
  // By < alone, as the ordered index compares: 0.0 and -0.0 are one value.
  values.erase(std::unique(values.begin(), values.end(), [](const T& a, const T& b) { return !(a < b) && !(b < a); }),
               values.end());
}

template <typename V, bool kGroupSets = true>  // V has operator<
class OrderedIndex {
 public:
  void insert(const V& value, uint32_t slot) {
    size_t g = group_for(value, slot);
    if (g == groups_.size()) {
      if (groups_.empty()) groups_.emplace_back();
      g = groups_.size() - 1;
    }
    {
      auto& blocks = groups_[g].blocks;
      size_t at = block_for(groups_[g], value, slot);
      if (at == blocks.size()) {
        // Behind everything: values that only grow (times, counters) fill each block to its end.
        if (blocks.empty() || blocks.back()->slots.size() == kBlockMax) blocks.push_back(std::make_unique<Block>());
        at = blocks.size() - 1;
      }
      if (blocks[at]->slots.size() == kBlockMax) {
        split(groups_[g], at);
        if (less(blocks[at]->values.back(), blocks[at]->slots.back(), value, slot)) ++at;
      }
      Block& block = *blocks[at];
      const size_t position = lower(block, value, slot);
      if (position < block.slots.size() && !less(value, slot, block.values[position], block.slots[position])) return;
      block.values.insert(block.values.begin() + static_cast<std::ptrdiff_t>(position), value);
      block.slots.insert(block.slots.begin() + static_cast<std::ptrdiff_t>(position), slot);
    }
    ++groups_[g].size;
    if constexpr (kGroupSets) groups_[g].set.add(slot);
    ++size_;
    if (groups_[g].blocks.size() > kGroupBlocksMax) split_group(g);
  }

  // `only`: the slot holds no other value here.
  void erase(const V& value, uint32_t slot, bool only) {
    const size_t g = group_for(value, slot);
    if (g == groups_.size()) return;
    Group& group = groups_[g];
    auto& blocks = group.blocks;
    const size_t at = block_for(group, value, slot);
    Block& block = *blocks[at];
    const size_t position = lower(block, value, slot);
    if (position == block.slots.size() || less(value, slot, block.values[position], block.slots[position])) return;
    block.values.erase(block.values.begin() + static_cast<std::ptrdiff_t>(position));
    block.slots.erase(block.slots.begin() + static_cast<std::ptrdiff_t>(position));
    --size_;
    --group.size;
    if constexpr (kGroupSets) {
      if (only || !holds(group, slot)) group.set.remove(slot);
    }
    if (block.slots.empty()) {
      blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(at));
      if (blocks.empty()) groups_.erase(groups_.begin() + static_cast<std::ptrdiff_t>(g));
    } else if (block.slots.size() < kBlockMax / 4 && at + 1 < blocks.size() &&
               block.slots.size() + blocks[at + 1]->slots.size() <= kBlockMax / 2) {
      Block& next = *blocks[at + 1];
      block.values.insert(block.values.end(), next.values.begin(), next.values.end());
      block.slots.insert(block.slots.end(), next.slots.begin(), next.slots.end());
      blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }
  }

  // Visit(value, slot) for all values that are neither below(value) nor above(value); both must be monotone over the
  // order.
  template <typename Below, typename Above, typename Visit>
  void scan(Below below, Above above, Visit visit) const {
    for (size_t g = first_group(below); g < groups_.size(); ++g) {
      if (above(groups_[g].front())) return;
      scan_group(groups_[g], below, above, visit);
    }
  }

  // Visit(value, slot) -> bool, ascending and by slot, from the first value on that is not before(value), which must be monotone; false ends it.
  template <typename Before, typename Visit>
  void walk(Before before, Visit visit) const {
    for (size_t g = first_group(before); g < groups_.size(); ++g) {
      for (const auto& block : groups_[g].blocks) {
        if (before(block->values.back())) continue;
        const auto begin = std::partition_point(block->values.begin(), block->values.end(), before);
        for (auto i = static_cast<size_t>(begin - block->values.begin()); i < block->slots.size(); ++i) {
          if (!visit(block->values[i], block->slots[i])) return;
        }
      }
    }
  }

  // The same, descending: from the last value on that is not after(value).
  template <typename After, typename Visit>
  void walk_back(After after, Visit visit) const {
    for (size_t g = groups_.size(); g-- > 0;) {
      if (after(groups_[g].front())) continue;
      const auto& blocks = groups_[g].blocks;
      for (size_t b = blocks.size(); b-- > 0;) {
        const Block& block = *blocks[b];
        if (after(block.values.front())) continue;
        const auto end = std::partition_point(block.values.begin(), block.values.end(), [&](const V& value) { return !after(value); });
        for (auto i = static_cast<size_t>(end - block.values.begin()); i-- > 0;) {
          if (!visit(block.values[i], block.slots[i])) return;
        }
      }
    }
  }

  // The slots that scan() would visit.
  template <typename Below, typename Above>
  SlotSet slots(Below below, Above above) const {
    if (count(below, above) <= kListMax) {
      std::vector<uint32_t> list;
      scan(below, above, [&](const V&, uint32_t slot) { list.push_back(slot); });
      return SlotSet::from(list);
    }
    Bitset dense;
    for (size_t g = first_group(below); g < groups_.size(); ++g) {
      const Group& group = groups_[g];
      if (above(group.front())) break;
      if (kGroupSets && !below(group.front()) && !above(group.back())) {
        group.set.add_to(dense);
      } else {
        scan_group(group, below, above, [&](const V&, uint32_t slot) { dense.set(slot); });
      }
    }
    return SlotSet::from(dense);
  }

  // How many values scan() would visit.
  template <typename Below, typename Above>
  uint64_t count(Below below, Above above) const {
    uint64_t total = 0;
    for (size_t g = first_group(below); g < groups_.size(); ++g) {
      const Group& group = groups_[g];
      if (above(group.front())) break;
      if (!below(group.front()) && !above(group.back())) {
        total += group.size;
        continue;
      }
      for (const auto& block : group.blocks) {
        if (below(block->values.back())) continue;
        if (above(block->values.front())) break;
        const auto [begin, end] = bounds(*block, below, above);
        total += static_cast<uint64_t>(end - begin);
      }
    }
    return total;
  }

  // u64 entries, then the values in order, then their slots. A disk format.
  void write(ByteWriter& out) const {
    static_assert(std::is_trivially_copyable_v<V>);
    out.u64(size_);
    const auto each = [&](auto write) {
      for (const Group& group : groups_) {
        for (const auto& block : group.blocks) write(*block);
      }
    };
    each([&](const Block& block) { out.raw(block.values.data(), block.values.size() * sizeof(V)); });
    each([&](const Block& block) { out.raw(block.slots.data(), block.slots.size() * sizeof(uint32_t)); });
  }
  // Into an empty index; slots of `without` are left out. Throws when the entries are not in order.
  void read(ByteReader& in, const SlotSet& without) {
    const uint64_t size = in.u64();
    if (size > in.left() / (sizeof(V) + sizeof(uint32_t))) throw Error(ErrorKind::kDataLoss, "an index is cut short");
    const char* const values = in.span(size * sizeof(V));
    const char* const slots = in.span(size * sizeof(uint32_t));
    // Blocks and groups with room for what comes later.
    constexpr size_t kBlockFill = kBlockMax * 3 / 4, kGroupFill = kGroupBlocksMax / 2;
    V last{};
    uint32_t last_slot = 0;
    for (uint64_t i = 0; i < size; ++i) {
      V value;
      uint32_t slot;
      std::memcpy(&value, values + i * sizeof(V), sizeof(V));
      std::memcpy(&slot, slots + i * sizeof(uint32_t), sizeof(uint32_t));
      if (without.contains(slot)) continue;
      if (groups_.empty() || (groups_.back().blocks.size() == kGroupFill && groups_.back().blocks.back()->slots.size() == kBlockFill)) groups_.emplace_back();
      auto& blocks = groups_.back().blocks;
      if (blocks.empty() || blocks.back()->slots.size() == kBlockFill) {
        blocks.push_back(std::make_unique<Block>());
        blocks.back()->values.reserve(kBlockFill);
        blocks.back()->slots.reserve(kBlockFill);
      }
      Block& block = *blocks.back();
      if (size_ > 0 && !less(last, last_slot, value, slot)) throw Error(ErrorKind::kDataLoss, "an index is out of order");
      last = value;
      last_slot = slot;
      block.values.push_back(value);
      block.slots.push_back(slot);
      ++size_;
    }
    for (Group& group : groups_) recount(group);
  }

  size_t size() const { return size_; }
  size_t bytes() const {
    size_t total = groups_.capacity() * sizeof(Group);
    for (const Group& group : groups_) {
      total += group.blocks.capacity() * sizeof(void*) + group.set.bytes();
      for (const auto& block : group.blocks) {
        total += sizeof(Block) + block->values.capacity() * sizeof(V) + block->slots.capacity() * sizeof(uint32_t);
      }
    }
    return total;
  }

 private:
  static constexpr size_t kBlockMax = 512;
  static constexpr size_t kGroupBlocksMax = 48;
  // Slots that are sorted into a bitmap; more are set in a dense one first.
  static constexpr size_t kListMax = 2048;
  struct Block {
    std::vector<V> values;
    std::vector<uint32_t> slots;
  };
  struct Group {
    std::vector<std::unique_ptr<Block>> blocks;  // none is empty
    SlotSet set;
    size_t size = 0;
    const V& front() const { return blocks.front()->values.front(); }
    const V& back() const { return blocks.back()->values.back(); }
  };

  static bool less(const V& a, uint32_t a_slot, const V& b, uint32_t b_slot) {
    if (a < b) return true;
    if (b < a) return false;
    return a_slot < b_slot;
  }
  template <typename Below>
  size_t first_group(Below below) const {
    return static_cast<size_t>(std::partition_point(groups_.begin(), groups_.end(), [&](const Group& group) { return below(group.back()); }) -
                               groups_.begin());
  }
  // The first group whose last entry is not before (value, slot).
  size_t group_for(const V& value, uint32_t slot) const {
    return static_cast<size_t>(std::partition_point(groups_.begin(), groups_.end(),
                                                    [&](const Group& group) {
                                                      const Block& last = *group.blocks.back();
                                                      return less(last.values.back(), last.slots.back(), value, slot);
                                                    }) -
                               groups_.begin());
  }
  static size_t block_for(const Group& group, const V& value, uint32_t slot) {
    return static_cast<size_t>(
        std::partition_point(
            group.blocks.begin(), group.blocks.end(),
            [&](const auto& block) { return less(block->values.back(), block->slots.back(), value, slot); }) -
        group.blocks.begin());
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
  template <typename Below, typename Above>
  static auto bounds(const Block& block, Below below, Above above) {
    const auto begin = below(block.values.front())
                           ? std::partition_point(block.values.begin(), block.values.end(), below)
                           : block.values.begin();
    const auto end = above(block.values.back()) ? std::partition_point(begin, block.values.end(), [&](const V& value) { return !above(value); })
                                                : block.values.end();
    return std::pair(begin, end);
  }
  template <typename Below, typename Above, typename Visit>
  static void scan_group(const Group& group, Below below, Above above, Visit visit) {
    auto block = std::partition_point(group.blocks.begin(), group.blocks.end(),
                                      [&](const auto& b) { return below(b->values.back()); });
    for (; block != group.blocks.end(); ++block) {
      const Block& b = **block;
      if (above(b.values.front())) return;
      const auto [begin, end] = bounds(b, below, above);
      for (auto i = begin; i != end; ++i) visit(*i, b.slots[static_cast<size_t>(i - b.values.begin())]);
    }
  }
  // Rare: a slot with several values loses one of them.
  static bool holds(const Group& group, uint32_t slot) {
    for (const auto& block : group.blocks) {
      if (std::find(block->slots.begin(), block->slots.end(), slot) != block->slots.end()) return true;
    }
    return false;
  }
  static void split(Group& group, size_t at) {
    Block& block = *group.blocks[at];
    auto next = std::make_unique<Block>();
    const auto middle = static_cast<std::ptrdiff_t>(block.slots.size() / 2);
    next->values.assign(block.values.begin() + middle, block.values.end());
    next->slots.assign(block.slots.begin() + middle, block.slots.end());
    block.values.resize(static_cast<size_t>(middle));
    block.slots.resize(static_cast<size_t>(middle));
    group.blocks.insert(group.blocks.begin() + static_cast<std::ptrdiff_t>(at) + 1, std::move(next));
  }
  void split_group(size_t g) {
    Group next;
    auto& blocks = groups_[g].blocks;
    const auto middle = static_cast<std::ptrdiff_t>(blocks.size() / 2);
    next.blocks.assign(std::make_move_iterator(blocks.begin() + middle), std::make_move_iterator(blocks.end()));
    blocks.resize(static_cast<size_t>(middle));
    groups_.insert(groups_.begin() + static_cast<std::ptrdiff_t>(g) + 1, std::move(next));
    recount(groups_[g]);
    recount(groups_[g + 1]);
  }
  static void recount(Group& group) {
    group.size = 0;
    std::vector<uint32_t> slots;
    for (const auto& block : group.blocks) {
      group.size += block->slots.size();
      if constexpr (kGroupSets) slots.insert(slots.end(), block->slots.begin(), block->slots.end());
    }
    group.set = SlotSet::from(slots);
  }

  std::vector<Group> groups_;
  size_t size_ = 0;
};

}  // namespace sealpoint::filter
