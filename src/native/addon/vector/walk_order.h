// The order that a segment's rows lie in.
#pragma once
#include <cstdint>
#include <vector>

#include "graph_build.h"

namespace sealpoint {

// By place: the row of the graph. Rows near in the graph come near each other, so that a walk finds the next rows in memory that
// it has just read from.
std::vector<uint32_t> walk_order(const Graph& graph, uint32_t rows, uint32_t m);

}  // namespace sealpoint
