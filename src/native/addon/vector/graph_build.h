// Builds an HNSW graph over int8 codes, or over anything that tells how far two rows are apart. The only file that knows FAISS is graph_build.cc.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "vector_index.h"

namespace sealpoint {

constexpr uint32_t kNoRow = 0xffffffffu;

struct GraphInput {
  const uint8_t* codes = nullptr;
  size_t code_bytes = 0;
  uint32_t rows = 0;
  Distance distance = Distance::kCosine;
  const int32_t* biases = nullptr;  // per row, 128 times the sum of the plain codes; not used for manhattan
  const int32_t* norms = nullptr;   // per row, sum of the squared plain codes; euclid only
  uint32_t m = 16;
  uint32_t ef_construct = 128;
};

// A row above level 0. Its links for level l (from 1) start at first + (l - 1) * m in Graph::upper_links.
struct UpperNode {
  uint32_t row;
  uint32_t level;
  uint64_t first;
};

struct Graph {
  uint32_t entry = 0;
  uint32_t max_level = 0;
  std::vector<uint32_t> links;            // 2 * m per row, ended by kNoRow when there are fewer
  std::vector<UpperNode> upper_nodes;     // ascending rows
  std::vector<uint32_t> upper_links;      // m per row and level, ended likewise
};

// False when `cancel` became true.
bool build_graph(const GraphInput& input, unsigned threads, const std::atomic<bool>& cancel, Graph& graph);

// How far rows are apart, smaller being nearer: of one thread's. It must not throw.
class RowDistance {
 public:
  virtual ~RowDistance() = default;
  // The row that is being inserted; to() measures from it.
  virtual void set_row(uint32_t row) = 0;
  virtual float to(uint32_t row) = 0;
  virtual float between(uint32_t from, uint32_t to) = 0;
};

struct GraphPlan {
  uint32_t rows = 0;
  uint32_t m = 16;
  uint32_t ef_construct = 128;
  // Of the first `base_rows` rows, made with the same m; the others are added to it. nullptr: all are.
  const Graph* base = nullptr;
  uint32_t base_rows = 0;
};

// False when `cancelled` became true, which is asked before each row.
// The highest level above the lowest that a graph of these links may have: more has no place in FAISS's tables.
uint32_t graph_levels_max(uint32_t m);
bool build_graph(const GraphPlan& plan, unsigned threads, const std::function<bool()>& cancelled,
                 const std::function<std::unique_ptr<RowDistance>()>& distance_of_thread, Graph& graph);

}  // namespace sealpoint
