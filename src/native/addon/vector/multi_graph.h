// An HNSW graph whose points are multivectors and whose similarity is MaxSim. It shares the rows that MultiIndex keeps in memory, never changes
// once it is made, and holds on to rows that were overwritten or removed since, so that a walk can pass through them.
#pragma once
#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "../core/bitset.h"
#include "graph_build.h"
#include "max_sim.h"
#include "vector_index.h"

namespace sealpoint {

// A row of the store: u32 count, then so many vectors one after the other.
inline bool is_multi_row(std::string_view row, size_t vector_bytes) {
  uint32_t count = 0;
  if (row.size() >= 4) std::memcpy(&count, row.data(), 4);
  return count > 0 && row.size() == 4 + count * vector_bytes;
}
inline uint32_t multi_row_count(const char* row) {
  uint32_t count;
  std::memcpy(&count, row, 4);
  return count;
}
inline uint32_t multi_row_count(std::string_view row) { return multi_row_count(row.data()); }

using MultiBytes = std::shared_ptr<const char[]>;

// What the vectors of a row are.
struct MultiField {
  Distance distance = Distance::kCosine;
  Datatype datatype = Datatype::kFloat32;
  size_t dim = 0;
  size_t vector_bytes() const { return dim * value_bytes(datatype); }
  // The vectors of a stored row as floats, in place or in `room`.
  const float* floats(const char* row, std::vector<float>& room) const;
};

struct MultiWalk {
  MaxSimQuery& query;
  size_t ef = 0;
  size_t wanted = 0;              // fewer found than this, and the walk is given up
  const Bitset* allowed = nullptr;  // slots that may be found; nullptr: all
  const Bitset* written = nullptr;  // slots that were written or removed since the graph was made: none of them is found
  bool passes_over = false;       // whether any row may not be found
  size_t scored_max = 0;          // rows that are looked at; past them the walk is given up
};

class MultiGraph {
 public:
  MultiField field;
  uint32_t m = 0;
  uint32_t ef_construct = 0;
  std::vector<uint32_t> slots;  // by row
  std::vector<MultiBytes> rows;  // as they are stored
  std::vector<uint64_t> versions;  // the operations that wrote them: with the slot, a row's name for ever
  size_t row_bytes = 0;          // of all of them
  Bitset dead;                   // rows that were no slot's own any more when the graph was made
  Graph graph;

  // Beside the rows.
  size_t memory_bytes() const;
  // [shared] The best `ef` with their raw similarities (max_sim.h), in no order. False when a scan costs less or finds more.
  bool walk(const MultiWalk& walk, std::vector<VectorHit>& found) const;

 private:
  const uint32_t* upper_links(uint32_t row, uint32_t level) const;
};

// A graph in the making. MultiIndex fills it in steps, under the collection's lock; run() needs none.
class MultiGraphBuild {
 public:
  MultiGraphBuild(const MultiField& field, uint32_t m, uint32_t ef_construct) : field_(field), m_(m), ef_construct_(ef_construct) {}

  // Adds to this graph, whose slots `written` are no more what it holds.
  void extend(std::shared_ptr<const MultiGraph> base, Bitset written) {
    base_ = std::move(base);
    written_ = std::move(written);
  }
  bool extends() const { return base_ != nullptr; }
  const Bitset& written() const { return written_; }
  void add(uint32_t slot, uint64_t version, MultiBytes row) {
    slots_.push_back(slot);
    versions_.push_back(version);
    rows_.push_back(std::move(row));
  }
  size_t added() const { return slots_.size(); }
  // How many rows one build takes, which bounds how long other collections wait for theirs; the slot that is to be looked at next.
  size_t rows_max = 0;
  uint32_t next = 0;

  // About what run() takes while it lasts, and what it leaves, in bytes.
  size_t memory_bytes() const;
  // The graph; nullptr when `cancelled` became true or nobody wants it any more. Throws Error.
  std::shared_ptr<const MultiGraph> run(const std::function<bool()>& cancelled, unsigned threads);
  void abandon() { abandoned_ = true; }
  // Vectors that stand for a point at most while the graph is made.
  static size_t stand_ins_max(size_t dim);

 private:
  const MultiField field_;
  const uint32_t m_;
  const uint32_t ef_construct_;
  std::shared_ptr<const MultiGraph> base_;
  Bitset written_;
  std::vector<uint32_t> slots_;
  std::vector<uint64_t> versions_;
  std::vector<MultiBytes> rows_;
  std::atomic<bool> abandoned_{false};
};

}  // namespace sealpoint
