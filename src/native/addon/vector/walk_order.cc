#include "walk_order.h"

namespace sealpoint {

std::vector<uint32_t> walk_order(const Graph& graph, uint32_t rows, uint32_t m) {
  // Breadth first from the entry point; the list itself is the queue.
  std::vector<uint32_t> order;
  order.reserve(rows);
  std::vector<bool> seen(rows);
  auto add = [&](uint32_t row) {
    if (seen[row]) return;
    seen[row] = true;
    order.push_back(row);
  };
  add(graph.entry);
  size_t next = 0;
  auto follow = [&] {
    for (; next < order.size(); ++next) {
      const uint32_t* links = graph.links.data() + size_t{order[next]} * 2 * m;
      for (uint32_t i = 0; i < 2 * m && links[i] != kNoRow; ++i) add(links[i]);
    }
  };
  follow();
  // Rows that no link leads to.
  for (uint32_t row = 0; row < rows; ++row) {
    add(row);
    follow();
  }
  return order;
}

}  // namespace sealpoint
