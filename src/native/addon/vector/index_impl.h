// The index itself: which parts there are, and where each slot's vector is.
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "parts.h"
#include "segment_build.h"
#include "vector_index.h"

namespace sealpoint {

class VectorIndexImpl final : public VectorIndex {
 public:
  explicit VectorIndexImpl(const VectorIndexConfig& config);
  void load();

  bool adopt(uint32_t slot, uint64_t version) override;
  void adopt_all(const std::vector<uint64_t>& versions) override;
  const std::vector<std::string>& damaged() const override { return damaged_; }
  void upsert(uint32_t slot, uint64_t version, const float* vector) override;
  void remove(uint32_t slot) override;
  bool contains(uint32_t slot) const override;
  bool get(uint32_t slot, float* out) const override;
  void search(const VectorSearch& request, std::vector<VectorHit>& out) const override;
  void search_many(const VectorSearch* requests, size_t count, std::vector<VectorHit>* out) const override;
  VectorIndexStats stats() const override;
  std::function<uint64_t()> resident_bytes() const override;
  bool wants_build() const override;
  bool wants_build_when_idle() const override;
  bool build_pending() const override;
  bool wants_cut() const override;
  std::unique_ptr<Build> start_build(BuildKind kind) override;
  bool collect_rows(Build& build, const GroupOf* group_of) const override;
  void publish(Build& build) override;
  bool swap_rows(Build& build, bool succeeded) override;
  void reconfigure(const VectorIndexConfig& config) override;
  bool verify_rows(std::string& why) const override;
  std::vector<uint32_t> damaged_slots() const override;
  bool damaged_rows() const override;

 private:
  struct Part {
    std::shared_ptr<Tail> tail;  // one of the two, or none for a free number
    std::shared_ptr<Segment> segment;
    bool busy = false;  // a build reads it
  };
  struct SearchState;
  struct Choice;

  Tail& current_tail() { return *tails_.back(); }
  void add_tail();
  void drop_tail(size_t index);
  uint32_t free_number();
  void forget(uint32_t slot);
  bool in_place(const Tail& tail, uint32_t row) const;
  void place(uint32_t slot, Location location);
  void load_segment(const std::string& name);
  std::vector<std::string> segment_names() const;
  bool busy(uint32_t number) const { return parts_[number].busy; }
  bool stale(const Segment& segment) const;
  bool unindexed(const Segment& segment) const;
  // Whether graphs are wanted, over all rows or over blocks.
  bool indexes() const { return config_.m > 0 || wanted_fields() != 0; }
  uint64_t wanted_fields() const { return config_.payload_m > 0 ? config_.block_fields : 0; }
  uint64_t kilobytes(uint64_t rows) const { return rows * config_.dim * sizeof(float) / 1024; }
  uint64_t rows_max() const;
  size_t segments_max() const;
  uint64_t tail_live() const;
  uint64_t waiting_rows() const;
  bool too_many_segments() const;
  Choice choose(BuildKind kind) const;
  void put_back(const SegmentBuild& build);

  void search_states(SearchState* const* states, size_t count) const;
  void scan_tail(const Tail& tail, uint32_t rows, SearchState* const* states, size_t count) const;
  void scan_rows(const Segment& segment, SearchState* const* states, size_t count) const;
  void scan_codes(const Segment& segment, SearchState* const* states, const CodeScorer* const* scorers, size_t count) const;
  void search_segment(const Segment& segment, SearchState* const* states, size_t count) const;
  bool walk_segment(const Segment& segment, const CodeScorer& scorer, SearchState& state) const;
  const BlockGraph* find_block(const Segment& segment, const VectorSearch& request, std::vector<uint32_t>& outside) const;
  void rescore(SearchState& state) const;
  RowFilter filter_of(const Segment& segment, const Bitset* allowed) const;

  VectorIndexConfig config_;
  std::vector<Part> parts_;  // by number
  std::vector<std::shared_ptr<Tail>> tails_;  // the last one is written
  std::vector<std::shared_ptr<Segment>> segments_;
  std::vector<Location> locations_;  // by slot
  std::vector<std::string> damaged_;
  uint64_t live_ = 0;
  uint64_t next_file_ = 1;
  bool building_[2] = {};  // by BuildKind
  std::mutex published_mutex_;
  std::vector<std::string> published_;  // segments that the manifest lists
};

}  // namespace sealpoint
