// Searching one segment by its codes: the greedy descent and the beam of level 0.
#pragma once
#include <cstdint>
#include <vector>

#include "code_kinds.h"
#include "row_scorer.h"
#include "segment_file.h"

namespace sealpoint {

struct Location {
  uint32_t part = 0xffffffffu;  // number of the tail or segment, kNoPart for none
  uint32_t row = 0;
  bool operator==(const Location&) const = default;
};
constexpr uint32_t kNoPart = 0xffffffffu;
// With a mask a walk goes through the other rows too, so it looks around more widely than its ef says: this part of ef, and of the
// rest as much as there are matches on the way, finds at least what the whole ef finds without a mask (check/vector_bench.cc).
constexpr double kMaskedEf = 0.5;

struct ScoredRow {
  float distance;  // by codes: smaller is better, comparable between segments
  uint32_t row;
};

// A 64-byte aligned buffer that keeps its memory.
class AlignedBytes {
 public:
  uint8_t* resize(size_t bytes) {
    if (storage_.size() < bytes + 63) storage_.resize(bytes + 63);
    return reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(storage_.data()) + 63) & ~uintptr_t{63});
  }

 private:
  std::vector<uint8_t> storage_;
};

// What a search needs besides the index; one per thread, so that a search allocates next to nothing.
struct WalkScratch {
  std::vector<uint64_t> visited;  // one bit a row
  std::vector<ScoredRow> pool;
  std::vector<ScoredRow> candidates;
  std::vector<uint32_t> fresh;
  std::vector<uint32_t> rows;
  std::vector<float> distances;
  std::vector<ScoredRow> found;
};

// Memory of a scorer, kept from search to search.
struct ScorerScratch {
  AlignedBytes query;
  CodeTable table;
};

// Distances by codes between one query and the rows of one segment, or by the rows themselves.
class CodeScorer {
 public:
  // `query` is normalised for cosine; `query_bits` are of binary codes.
  CodeScorer(const SegmentFile& file, const float* query, uint8_t query_bits, ScorerScratch& scratch);
  CodeScorer(const SegmentFile& file, const RowScorer& rows);
  void score(const uint32_t* rows, size_t count, float* out) const;
  // By all that the codes say, where score() reads the upper plane only.
  void score_whole(const uint32_t* rows, size_t count, float* out) const;
  float score_one(uint32_t row) const {
    float distance;
    score(&row, 1, &distance);
    return distance;
  }

 private:
  const SegmentFile& file_;
  const struct Kernels& kernels_;
  Distance distance_;
  size_t bytes_;
  void add_norms(const uint32_t* rows, size_t count, float* out) const;

  const CodeTable* table_ = nullptr;  // all but scalar codes
  const RowScorer* rows_ = nullptr;   // instead of codes
  const uint8_t* biased_ = nullptr;   // manhattan
  const int8_t* plain_ = nullptr;     // all others
  int32_t bias_ = 0;
  float upper_bias_ = 0;
  float factor_ = 0;        // of the dot product or the sum of differences
  float norm_factor_ = 0;   // euclid
  float query_norm_ = 0;    // euclid
};

// Which rows may be found: alive, and in the mask if there is one.
struct RowFilter {
  const Location* locations;
  size_t location_count;
  const uint32_t* slots;
  uint32_t part;
  const Bitset* allowed;

  bool alive(uint32_t row) const {
    const uint32_t slot = slots[row];
    return slot < location_count && locations[slot] == Location{part, row};
  }
  bool operator()(uint32_t row) const {
    return (allowed == nullptr || allowed->test(slots[row])) && alive(row);
  }
};

// The best `ef` rows into scratch.found, in no order. For segments whose rows are all alive.
void walk_all(const SegmentFile& file, const CodeScorer& scorer, size_t ef, WalkScratch& scratch);
// When a walk with a filter is not worth going on.
struct WalkLimits {
  size_t scored_max = 0;   // rows that are looked at
  double density = 0;      // the part of the rows that pass; far fewer on the way means that the matches lie elsewhere
  size_t ef_min = 0;       // what is left of ef at least, where few rows on the way pass
};
// The same for rows that pass the filter; the walk goes through the others. False when it was given up: the caller scans instead.
bool walk_filtered(const SegmentFile& file, const CodeScorer& scorer, const RowFilter& filter, size_t ef, const WalkLimits& limits,
                   WalkScratch& scratch);
// In the graph of a block; without a filter when all its rows may be found.
bool walk_block(const SegmentFile& file, const BlockGraph& block, const CodeScorer& scorer, const RowFilter* filter, size_t ef,
                const WalkLimits& limits, WalkScratch& scratch);

// The plain code of a value at a scale.
inline int quantize(float value, float inverse_scale) {
  const float scaled = value * inverse_scale;
  if (!(scaled > -127.0f)) return -127;  // and NaN
  if (scaled > 127.0f) return 127;
  return static_cast<int>(scaled + (scaled >= 0 ? 0.5f : -0.5f));
}

}  // namespace sealpoint
