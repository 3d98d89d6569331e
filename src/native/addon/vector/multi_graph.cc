#include "multi_graph.h"

#include <algorithm>

#include "../core/cancellation.h"

namespace sealpoint {

namespace {

// Where a walk with a mask begins beside the entry: matches may lie where the way from it does not lead.
constexpr uint32_t kStarts = 32;

struct Seen {
  float similarity;
  uint32_t row;
};
struct FarthestFirst {
  bool operator()(const Seen& a, const Seen& b) const { return a.similarity > b.similarity; }
};
struct NearestFirst {
  bool operator()(const Seen& a, const Seen& b) const { return a.similarity < b.similarity; }
};

}  // namespace

const float* MultiField::floats(const char* row, std::vector<float>& room) const {
  if (datatype == Datatype::kFloat32) return reinterpret_cast<const float*>(row + 4);
  const size_t count = multi_row_count(row);
  if (room.size() < count * dim) room.resize(count * dim);
  load_max_sim_rows(distance, datatype, dim, row + 4, count, room.data());
  return room.data();
}

size_t MultiGraph::memory_bytes() const {
  return sizeof(*this) + slots.capacity() * sizeof(uint32_t) + rows.capacity() * sizeof(MultiBytes) + versions.capacity() * sizeof(uint64_t) + dead.words().capacity() * 8 +
         graph.links.capacity() * sizeof(uint32_t) + graph.upper_nodes.capacity() * sizeof(UpperNode) + graph.upper_links.capacity() * sizeof(uint32_t);
}

const uint32_t* MultiGraph::upper_links(uint32_t row, uint32_t level) const {
  const auto node = std::lower_bound(graph.upper_nodes.begin(), graph.upper_nodes.end(), row, [](const UpperNode& one, uint32_t wanted) { return one.row < wanted; });
  if (node == graph.upper_nodes.end() || node->row != row || node->level < level) return nullptr;
  return graph.upper_links.data() + node->first + static_cast<size_t>(level - 1) * m;
}

bool MultiGraph::walk(const MultiWalk& walk, std::vector<VectorHit>& hits) const {
  std::vector<float> room;
  const auto similarity = [&](uint32_t row) {
    // One of them may be worth a millisecond.
    cancellation::check();
    const char* const bytes = rows[row].get();
    return walk.query.similarity(field.floats(bytes, room), multi_row_count(bytes));
  };
  const auto passes = [&](uint32_t row) {
    if (!walk.passes_over) return true;
    const uint32_t slot = slots[row];
    return !dead.test(row) && !walk.written->test(slot) && (walk.allowed == nullptr || walk.allowed->test(slot));
  };
  Seen entry{similarity(graph.entry), graph.entry};
  for (uint32_t level = graph.max_level; level > 0; --level) {
    for (bool moved = true; moved;) {
      moved = false;
      const uint32_t* const links = upper_links(entry.row, level);
      if (links == nullptr) break;
      for (uint32_t i = 0; i < m && links[i] != kNoRow; ++i) {
        const float one = similarity(links[i]);
        if (!(one > entry.similarity)) continue;
        entry = {one, links[i]};
        moved = true;
      }
    }
  }
  const auto count = static_cast<uint32_t>(slots.size());
  std::vector<uint64_t> visited((count + size_t{63}) / 64);
  const auto is_fresh = [&](uint32_t row) {
    uint64_t& word = visited[row >> 6];
    const uint64_t bit = uint64_t{1} << (row & 63);
    const bool fresh = (word & bit) == 0;
    word |= bit;
    return fresh;
  };
  std::vector<Seen> queue, found;
  const auto see = [&](const Seen& one) {
    if (found.size() >= walk.ef && !(one.similarity > found.front().similarity)) return;
    queue.push_back(one);
    std::push_heap(queue.begin(), queue.end(), NearestFirst());
    if (!passes(one.row)) return;
    if (found.size() >= walk.ef) {
      std::pop_heap(found.begin(), found.end(), FarthestFirst());
      found.pop_back();
    }
    found.push_back(one);
    std::push_heap(found.begin(), found.end(), FarthestFirst());
  };
  is_fresh(entry.row);
  see(entry);
  size_t scored = 1;
  if (walk.passes_over) {
    const uint32_t starts = std::min(kStarts, count);
    for (uint32_t i = 0; i < starts; ++i) {
      const auto row = static_cast<uint32_t>(uint64_t{i} * count / starts);
      if (!is_fresh(row)) continue;
      ++scored;
      see({similarity(row), row});
    }
  }
  while (!queue.empty()) {
    const Seen nearest = queue.front();
    if (found.size() >= walk.ef && nearest.similarity < found.front().similarity) break;
    std::pop_heap(queue.begin(), queue.end(), NearestFirst());
    queue.pop_back();
    const uint32_t* const links = graph.links.data() + static_cast<size_t>(nearest.row) * 2 * m;
    for (uint32_t i = 0; i < 2 * m && links[i] != kNoRow; ++i) {
      if (!is_fresh(links[i])) continue;
      if (++scored > walk.scored_max) return false;
      see({similarity(links[i]), links[i]});
    }
  }
  if (found.size() < walk.wanted) return false;
  hits.clear();
  hits.reserve(found.size());
  for (const Seen& one : found) hits.push_back({slots[one.row], one.similarity});
  return true;
}

}  // namespace sealpoint
