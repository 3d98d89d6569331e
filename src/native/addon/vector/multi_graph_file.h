// The file of a graph over multivectors: its links, and by slot and version which rows they join. The rows themselves are the store's, so whatever
// a file says, a search's scores are right. Derived, and made anew when it is missing or damaged. A disk format: kMultiGraphFormat.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "../core/bitset.h"
#include "graph_build.h"

namespace sealpoint {

class MultiGraph;

constexpr uint32_t kMultiGraphFormat = 1;

struct MultiGraphFile {
  uint32_t m = 0;
  uint32_t ef_construct = 0;
  std::vector<uint32_t> slots;
  std::vector<uint64_t> versions;
  Graph graph;
};

std::string encode_multi_graph(const MultiGraph& graph);
// Nothing when the bytes fail their checksum or make no graph.
std::optional<MultiGraphFile> decode_multi_graph(const std::string& bytes);
// The graph of the rows that are not among `lost`, in the same order: what was joined through these is joined.
Graph without_rows(const Graph& graph, uint32_t m, uint32_t rows, const Bitset& lost);

}  // namespace sealpoint
