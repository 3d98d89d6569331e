#include "block_graphs.h"

#include <algorithm>
#include <cstring>

namespace sealpoint {
namespace {

constexpr size_t kPad = 8;

template <typename T>
void append(std::vector<uint8_t>& out, const T* values, size_t count) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(values);
  out.insert(out.end(), bytes, bytes + count * sizeof(T));
  out.resize((out.size() + kPad - 1) / kPad * kPad);
}

struct BlockHead {
  uint32_t rows;
  uint32_t entry;
  uint32_t top;
  uint32_t upper_nodes;
  uint64_t upper_links;
};

// Takes parts off the front of some bytes.
struct Parts {
  const uint8_t* at;
  size_t left;
  template <typename T>
  const T* take(uint64_t count) {
    if (count > left / sizeof(T)) return nullptr;
    const auto* values = reinterpret_cast<const T*>(at);
    const size_t bytes = std::min(left, (count * sizeof(T) + kPad - 1) / kPad * kPad);
    at += bytes;
    left -= bytes;
    return values;
  }
};

bool in_range(const uint32_t* links, uint64_t count, uint32_t rows) {
  uint32_t bad = 0;
  for (uint64_t i = 0; i < count; ++i) bad |= static_cast<uint32_t>(links[i] >= rows) & (links[i] != kNoRow);
  return bad == 0;
}

bool sound(const BlockGraph& block, uint64_t upper_links, uint32_t rows) {
  if (block.count == 0 || block.entry_row >= block.count || !in_range(block.all_links, uint64_t{block.count} * 2 * block.m, block.count) ||
      !in_range(block.upper, upper_links, block.count)) {
    return false;
  }
  for (uint32_t i = 0; i < block.count; ++i) {
    if (block.list[i] >= rows || (i > 0 && block.list[i - 1] >= block.list[i])) return false;
  }
  for (uint32_t i = 0; i < block.upper_count; ++i) {
    const UpperNode& node = block.upper_nodes[i];
    if (node.row >= block.count || (i > 0 && block.upper_nodes[i - 1].row >= node.row) || node.level > 64 || node.first > upper_links ||
        uint64_t{node.level} * block.m > upper_links - node.first) {
      return false;
    }
  }
  return true;
}

}  // namespace

const uint32_t* BlockGraph::upper_links(uint32_t number, uint32_t level) const {
  const UpperNode* end = upper_nodes + upper_count;
  const UpperNode* node = std::lower_bound(upper_nodes, end, number, [](const UpperNode& a, uint32_t wanted) { return a.row < wanted; });
  if (node == end || node->row != number || node->level < level) return nullptr;
  return upper + node->first + static_cast<size_t>(level - 1) * m;
}

std::vector<uint8_t> encode_blocks(const std::vector<BuiltBlock>& blocks, uint32_t m) {
  std::vector<uint8_t> out;
  for (const BuiltBlock& block : blocks) {
    const auto count = static_cast<uint32_t>(block.rows.size());
    // By ascending row, which is the order of the segment's codes.
    std::vector<uint32_t> order(count), place(count);
    for (uint32_t i = 0; i < count; ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return block.rows[a] < block.rows[b]; });
    for (uint32_t i = 0; i < count; ++i) place[order[i]] = i;
    const auto placed = [&](uint32_t row) { return row == kNoRow ? kNoRow : place[row]; };
    const BlockHead head{count, place[block.graph.entry], block.graph.max_level, static_cast<uint32_t>(block.graph.upper_nodes.size()),
                         block.graph.upper_links.size()};
    append(out, &head, 1);
    std::vector<uint32_t> rows(count), links(size_t{count} * 2 * m);
    for (uint32_t i = 0; i < count; ++i) {
      rows[i] = block.rows[order[i]];
      std::transform(block.graph.links.begin() + static_cast<ptrdiff_t>(size_t{order[i]} * 2 * m),
                     block.graph.links.begin() + static_cast<ptrdiff_t>(size_t{order[i] + size_t{1}} * 2 * m),
                     links.begin() + static_cast<ptrdiff_t>(size_t{i} * 2 * m), placed);
    }
    append(out, rows.data(), rows.size());
    append(out, links.data(), links.size());
    std::vector<UpperNode> nodes = block.graph.upper_nodes;
    for (UpperNode& node : nodes) node.row = place[node.row];
    std::sort(nodes.begin(), nodes.end(), [](const UpperNode& a, const UpperNode& b) { return a.row < b.row; });
    append(out, nodes.data(), nodes.size());
    std::vector<uint32_t> upper(block.graph.upper_links.size());
    std::transform(block.graph.upper_links.begin(), block.graph.upper_links.end(), upper.begin(), placed);
    append(out, upper.data(), upper.size());
  }
  return out;
}

std::unique_ptr<BlockGraphs> BlockGraphs::decode(std::vector<uint8_t> bytes, uint32_t blocks, uint32_t m, const uint32_t* slots, uint32_t rows) {
  auto graphs = std::make_unique<BlockGraphs>();
  graphs->bytes_ = std::move(bytes);
  Parts parts{graphs->bytes_.data(), graphs->bytes_.size()};
  if (blocks > 0) {
    for (uint32_t row = 0; row < rows; ++row) graphs->segment_slots_.set(slots[row]);
  }
  std::vector<bool> in_block(blocks > 0 ? rows : 0);
  for (uint32_t i = 0; i < blocks; ++i) {
    const BlockHead* head = parts.take<BlockHead>(1);
    if (head == nullptr) return nullptr;
    BlockGraph block;
    block.m = m;
    block.count = head->rows;
    block.entry_row = head->entry;
    block.top = head->top;
    block.upper_count = head->upper_nodes;
    block.list = parts.take<uint32_t>(head->rows);
    block.all_links = parts.take<uint32_t>(uint64_t{head->rows} * 2 * m);
    block.upper_nodes = parts.take<UpperNode>(head->upper_nodes);
    block.upper = parts.take<uint32_t>(head->upper_links);
    if (block.list == nullptr || block.all_links == nullptr || block.upper_nodes == nullptr || block.upper == nullptr || !sound(block, head->upper_links, rows)) {
      return nullptr;
    }
    for (uint32_t number = 0; number < block.count; ++number) {
      block.slots.set(slots[block.list[number]]);
      if (!in_block[block.list[number]]) ++graphs->rows_;
      in_block[block.list[number]] = true;
    }
    graphs->blocks_.push_back(std::move(block));
  }
  return graphs;
}

uint64_t BlockGraphs::bytes() const {
  uint64_t total = bytes_.capacity() + segment_slots_.words().capacity() * 8 + blocks_.capacity() * sizeof(BlockGraph);
  for (const BlockGraph& block : blocks_) total += block.slots.words().capacity() * 8;
  return total;
}

}  // namespace sealpoint
