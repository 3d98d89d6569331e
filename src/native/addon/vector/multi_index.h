// Multivectors of one name in one collection, by slot, as they are stored, and the graph over them. What is not kept in memory is read from the
// store by who asks, and has no graph.
//
// Locking is the caller's, as for VectorIndex: [shared] any number at a time, [exclusive] alone, [none] without a lock.
#pragma once
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "multi_graph.h"
#include "multi_graph_file.h"
#include "vector_index.h"

namespace sealpoint {

class MultiIndex {
 public:
  MultiIndex() = default;
  MultiIndex(MultiIndex&&) noexcept = default;
  MultiIndex& operator=(MultiIndex&&) noexcept = default;
  ~MultiIndex() { abandon_build(); }

  // [exclusive] What the field is and when a graph is made of it.
  void configure(const VectorIndexConfig& config);
  // [exclusive] Whether what is written from now on is kept in memory. What was kept and shall not be any more is forgotten at once; what
  // was not is kept once it is written or loaded again.
  void keep_in_memory(bool kept);
  bool kept_in_memory() const { return kept_; }

  // [exclusive]
  void upsert(uint32_t slot, std::string_view row);
  void remove(uint32_t slot);

  // [shared] The row; empty where there is none or it is not in memory.
  std::string_view row(uint32_t slot) const {
    if (slot >= slots_.size() || slots_[slot].bytes == nullptr) return {};
    return {slots_[slot].bytes.get(), slots_[slot].size};
  }
  // Of the rows, without the graph.
  size_t memory_bytes() const { return slots_.capacity() * sizeof(Slot) + bytes_; }
  // Of the vectors' values that are kept in memory.
  size_t vector_bytes() const { return values_; }

  // [shared] Where a search may walk; nullptr: everything is to be scanned.
  const MultiGraph* graph() const { return graph_.get(); }
  // Slots that were written or removed since the graph was made: the rows that they have are the tail, which is scanned beside it.
  const Bitset& written() const { return since_graph_.slots; }
  size_t count() const { return count_; }
  size_t tail_count() const { return graph_ == nullptr ? count_ : since_graph_.rows; }
  size_t graph_count() const { return graph_ == nullptr ? 0 : count_ - since_graph_.rows; }
  // Of all rows, of the tail, and of so many rows of the usual size, in Qdrant's kilobytes.
  uint64_t kilobytes() const { return values_ / 1024; }
  uint64_t tail_kilobytes() const { return (graph_ == nullptr ? values_ : since_graph_.values) / 1024; }
  uint64_t kilobytes_of(size_t rows) const {
    return count_ == 0 ? 0 : static_cast<uint64_t>(static_cast<double>(values_) / static_cast<double>(count_) * static_cast<double>(rows)) / 1024;
  }
  // What the graph takes beside the rows that are the slots' own.
  size_t graph_bytes() const;

  // [shared] Whether a graph is wanted of what there is; whether one is; whether one is that waits until nothing is written.
  bool indexes() const { return kept_ && complete_ && config_.m > 0 && config_.indexing_threshold_kb > 0; }
  bool build_pending() const { return build_ == nullptr && stale(false); }
  bool wants_build() const { return config_.optimizer.threads != 0 && build_pending(); }
  bool wants_build_when_idle() const { return config_.optimizer.threads != 0 && build_ == nullptr && stale(true); }
  uint64_t build_room() const;
  const VectorIndexConfig& config() const { return config_; }

  // A build in steps. [exclusive] Begins it; nullptr when none is wanted.
  std::shared_ptr<MultiGraphBuild> start_build();
  // [shared] Notes the next rows of the build that was begun last, and by slot which operation wrote each; true while there are more.
  bool collect_rows(MultiGraphBuild& build, const std::vector<uint64_t>& versions) const;
  // [shared] Whether this one is still waited for.
  bool awaits(const MultiGraphBuild& build) const { return build_.get() == &build; }
  // [exclusive] Takes the graph into use, nullptr if it failed. Rows that the build was too small for stay in the tail. What it replaces is left in `graph`, to be freed without the lock.
  void finish_build(const MultiGraphBuild& build, std::shared_ptr<const MultiGraph>& graph);

  // [exclusive] At a start, when all rows are here: takes over what a file holds of the rows that are still the slots' own, by their versions.
  // False when it is of little use.
  bool adopt_graph(MultiGraphFile file, const std::vector<uint64_t>& versions);

 private:
  struct Slot {
    MultiBytes bytes;
    size_t size = 0;
  };
  // What happened since a graph was made, or begun to be.
  struct Since {
    Bitset slots;
    size_t rows = 0;  // that these slots have now
    size_t values = 0;
  };

  static void note_removed(Since& since, uint32_t slot, const Slot& row);
  bool stale(bool idle) const;
  bool rebuilds() const;
  size_t affordable_rows() const;
  void abandon_build();

  bool kept_ = true;
  bool complete_ = true;  // every row that the store has is here
  std::vector<Slot> slots_;
  size_t bytes_ = 0;
  size_t values_ = 0;
  size_t count_ = 0;
  VectorIndexConfig config_;
  std::shared_ptr<const MultiGraph> graph_;
  Since since_graph_;
  std::shared_ptr<MultiGraphBuild> build_;
  Since since_build_;
};

}  // namespace sealpoint
