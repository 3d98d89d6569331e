// Graphs over blocks: rows of one segment that shared a payload value when it was built. A search whose matches lie in one block walks its
// graph alone, however rare they are among all rows.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../core/bitset.h"
#include "graph_build.h"

namespace sealpoint {

// One block. Its rows are numbered from 0, by ascending row of the segment.
struct BlockGraph {
  uint32_t m = 0;
  uint32_t count = 0;
  uint32_t entry_row = 0;
  uint32_t top = 0;
  const uint32_t* list = nullptr;   // rows of the segment
  const uint32_t* all_links = nullptr;  // 2 m per row, ended by kNoRow when there are fewer
  const UpperNode* upper_nodes = nullptr;
  uint32_t upper_count = 0;
  const uint32_t* upper = nullptr;
  Bitset slots;

  // What a walk asks of any graph.
  uint32_t rows() const { return count; }
  uint32_t entry() const { return entry_row; }
  uint32_t max_level() const { return top; }
  uint32_t links_max() const { return m; }
  uint32_t row_of(uint32_t number) const { return list[number]; }
  const uint32_t* links(uint32_t number) const { return all_links + static_cast<size_t>(number) * 2 * m; }
  const uint32_t* upper_links(uint32_t number, uint32_t level) const;
};

// A block as it was built: its rows' places in the segment, and the graph over them in that order.
struct BuiltBlock {
  std::vector<uint32_t> rows;
  Graph graph;
};

// All blocks of one segment in a form that is a disk format: per block u32 rows, entry, top level, upper nodes, u64 upper links, then the rows, links, upper
// nodes and upper links, each part padded to 8 bytes.
std::vector<uint8_t> encode_blocks(const std::vector<BuiltBlock>& blocks, uint32_t m);

class BlockGraphs {
 public:
  // `slots` are the segment's, by row. nullptr when the bytes are no such blocks.
  static std::unique_ptr<BlockGraphs> decode(std::vector<uint8_t> bytes, uint32_t blocks, uint32_t m, const uint32_t* slots, uint32_t rows);

  const std::vector<BlockGraph>& all() const { return blocks_; }
  // Of all rows of the segment, dead ones too.
  const Bitset& segment_slots() const { return segment_slots_; }
  // Rows that are in any block.
  uint32_t rows() const { return rows_; }
  uint64_t bytes() const;

 private:
  std::vector<uint8_t> bytes_;
  std::vector<BlockGraph> blocks_;
  Bitset segment_slots_;
  uint32_t rows_ = 0;
};

}  // namespace sealpoint
