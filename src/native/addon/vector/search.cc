// One search: tails exactly, segments by walk or scan over codes, then the best candidates exactly.
#include <algorithm>
#include <cmath>
#include <limits>

#include "../core/cancellation.h"
#include "../core/status.h"
#include "index_impl.h"
#include "kernels.h"

namespace sealpoint {
namespace {

// Measured by check/vector_bench.cc: rows that an int8 scan gets through in the time that a walk takes per unit of ef.
// A walk with a mask takes 1/selectivity times as long.
constexpr double kScanRowsPerEf = 50;
// With a mask a walk goes through the other rows too, so it looks around more widely than its ef says: this part of ef, and of the
// rest as much as there are matches, finds at least what the whole ef finds without a mask (check/vector_bench.cc).
constexpr double kMaskedEf = 0.5;
constexpr size_t kScanBatch = 64;
// Rows of a scan between two looks whether anybody waits for it: some ten microseconds.
constexpr uint32_t kRowsPerLook = 1024;
using Steps = cancellation::Stride<kRowsPerLook>;
using BatchSteps = cancellation::Stride<kRowsPerLook / kScanBatch>;
// Binary and product codes, and scalar ones of bytes, are coarser than others and put a true neighbour this many times further down.
constexpr size_t kCoarseCandidates = 3;

struct Entry {
  float key;  // smaller is better
  uint32_t slot;
  bool operator<(const Entry& other) const { return key != other.key ? key < other.key : slot < other.slot; }
};

struct Candidate {
  float distance;
  uint32_t row;
  const Segment* segment;
  bool operator<(const Candidate& other) const { return distance < other.distance; }
};

struct SearchScratch {
  WalkScratch walk;
  ScorerScratch scorer;
  std::vector<float> widened;
  std::vector<float> code_query;
  std::vector<Entry> best;
  std::vector<Candidate> candidates;
};

SearchScratch& thread_scratch() {
  thread_local SearchScratch scratch;
  return scratch;
}

// How many candidates are rescored, since codes put a true neighbour some places too low. On data/wordnet the 10 nearest are all
// among the first 16 by whole codes, and among the first 32 by upper planes.
size_t rescore_count(size_t k) { return std::max(k + k / 2, k + 8); }
// How many are ranked by whole codes before.
size_t coarse_count(size_t k) { return std::max(k * 3, k + 40); }

size_t candidate_count(const VectorSearch& request, const VectorIndexConfig& config) {
  const CodeConfig& codes = config.codes;
  const size_t usual = rescore_count(request.k);
  if (codes.chosen && !request.originals && !request.rescore) return request.k;
  if (codes.chosen && !request.originals && request.oversampling >= 1) {
    return static_cast<size_t>(std::min(std::ceil(static_cast<double>(request.k) * request.oversampling), 1e9));
  }
  // Bytes lie to one side of zero, which leaves much of a scalar code's range unused.
  return codes.kind != CodeKind::kScalar || config.datatype == Datatype::kUint8 ? kCoarseCandidates * usual : usual;
}

// How many a walk brings.
size_t walk_count(const VectorSearch& request, const VectorIndexConfig& config) {
  const size_t candidates = candidate_count(request, config);
  return config.codes.kind == CodeKind::kScalar && !(request.originals && config.codes.chosen) ? std::max(candidates, coarse_count(request.k)) : candidates;
}

}  // namespace

struct VectorIndexImpl::SearchState {
  const VectorSearch& request;
  SearchScratch& scratch;
  const CodeConfig& codes;
  const RowScorer rows;
  const float* const code_query;
  const size_t candidates_max;

  bool originals() const { return request.originals && codes.chosen; }
  bool rescores() const { return request.rescore || !codes.chosen || request.originals; }

  void offer(uint32_t slot, const float* row) { offer_key(slot, rows.key(row)); }

  // Up to kScanBatch rows of a segment.
  void offer_rows(const Segment& segment, const uint32_t* numbers, size_t count) {
    float keys[kScanBatch];
    segment.read_rows(numbers, count, [&](size_t i, const uint8_t* row) { keys[i] = rows.key_of_stored(row); });
    for (size_t i = 0; i < count; ++i) offer_key(segment.file->slot(numbers[i]), keys[i]);
  }

  void offer_key(uint32_t slot, float key) {
    if (request.has_threshold && key > (score_is_similarity(rows.distance()) ? -request.threshold : request.threshold)) return;
    auto& best = scratch.best;
    const Entry entry{key, slot};
    if (best.size() >= request.k) {
      if (!(entry < best.front())) return;
      std::pop_heap(best.begin(), best.end());
      best.back() = entry;
    } else {
      best.push_back(entry);
    }
    std::push_heap(best.begin(), best.end());
  }

  // What a candidate must be nearer than; NaN, which nothing reaches, while there is room for any.
  float farthest() const {
    const auto& heap = scratch.candidates;
    return heap.size() < candidates_max ? std::numeric_limits<float>::quiet_NaN() : heap.front().distance;
  }

  void offer_candidate(const Candidate& candidate) {
    auto& heap = scratch.candidates;
    if (heap.size() >= candidates_max) {
      if (!(candidate < heap.front())) return;
      std::pop_heap(heap.begin(), heap.end());
      heap.back() = candidate;
    } else {
      heap.push_back(candidate);
    }
    std::push_heap(heap.begin(), heap.end());
  }

  // Visits the rows of a segment that may be found, by the shorter way: its rows, or the mask's bits.
  template <typename Visit>
  void for_each_match(const SegmentFile& file, const RowFilter& filter, Visit visit) const {
    if (filter.allowed == nullptr || request.allowed_count > file.rows()) {
      for (uint32_t row = 0; row < file.rows(); ++row) {
        if (filter(row)) visit(row);
      }
      return;
    }
    filter.allowed->for_each([&](uint32_t slot) {
      if (slot < filter.location_count && filter.locations[slot].part == filter.part) visit(filter.locations[slot].row);
    });
  }
};

RowFilter VectorIndexImpl::filter_of(const Segment& segment, const Bitset* allowed) const {
  return {locations_.data(), locations_.size(), segment.file->slots(), segment.number, allowed};
}

void VectorIndexImpl::scan_tail(const Tail& tail, SearchState& state) const {
  if (tail.live == 0) return;
  const Bitset* allowed = state.request.allowed;
  Steps steps;
  if (allowed != nullptr && state.request.allowed_count < tail.rows()) {
    allowed->for_each([&](uint32_t slot) {
      steps.step();
      if (slot < locations_.size() && locations_[slot].part == tail.number) {
        state.offer(slot, tail.row(locations_[slot].row));
      }
    });
    return;
  }
  for (uint32_t row = 0; row < tail.rows(); ++row) {
    steps.step();
    const uint32_t slot = tail.slot(row);
    if (allowed != nullptr && !allowed->test(slot)) continue;
    if (locations_[slot] == Location{tail.number, row}) state.offer(slot, tail.row(row));
  }
}

void VectorIndexImpl::scan_rows(const Segment& segment, SearchState& state) const {
  const SegmentFile& file = *segment.file;
  if (state.request.allowed == nullptr) file.expect_all_rows();
  uint32_t rows[kScanBatch];
  size_t count = 0;
  BatchSteps steps;
  state.for_each_match(file, filter_of(segment, state.request.allowed), [&](uint32_t row) {
    rows[count++] = row;
    if (count < kScanBatch) return;
    steps.step();
    state.offer_rows(segment, rows, count);
    count = 0;
  });
  state.offer_rows(segment, rows, count);
}

void VectorIndexImpl::scan_codes(const Segment& segment, const CodeScorer& scorer, SearchState& state) const {
  const SegmentFile& file = *segment.file;
  uint32_t rows[kScanBatch] = {};
  float distances[kScanBatch];
  size_t count = 0;
  BatchSteps steps;
  auto flush = [&] {
    steps.step();
    if (file.in_memory() && !state.originals()) {
      scorer.score(rows, count, distances);
    } else {
      segment.read_mapped([&] { scorer.score(rows, count, distances); });
    }
    for (size_t i = 0; i < count; ++i) {
      if (!(distances[i] >= state.farthest())) state.offer_candidate({distances[i], rows[i], &segment});
    }
    count = 0;
  };
  const size_t bytes = std::min<size_t>(file.walk_bytes(), 512);
  state.for_each_match(file, filter_of(segment, state.request.allowed), [&](uint32_t row) {
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(file.walk_code(row) + i);
    rows[count++] = row;
    if (count == kScanBatch) flush();
  });
  flush();
}

void VectorIndexImpl::search_segment(const Segment& segment, bool full_scan, SearchState& state) const {
  if (segment.live == 0) return;
  cancellation::check();
  const VectorSearch& request = state.request;
  VectorSearchReport unread;
  VectorSearchReport& report = request.report == nullptr ? unread : *request.report;
  if (full_scan) {
    ++report.rows_scanned;
    return scan_rows(segment, state);
  }
  const SegmentFile& file = *segment.file;
  const double live = static_cast<double>(segment.live);
  double matches = live;
  if (request.allowed != nullptr) {
    matches = static_cast<double>(request.allowed_count) * live / static_cast<double>(live_);
    matches = std::min(std::max(matches, 1.0), live);
  }
  size_t ef = request.ef != 0 ? request.ef : config_.ef_construct;
  ef = std::min<size_t>(std::max(ef, state.codes.chosen ? state.candidates_max : request.k), segment.live);
  const CodeScorer scorer = state.originals() ? CodeScorer(file, state.rows)
                                              : CodeScorer(file, state.code_query, state.codes.query_bits, state.scratch.scorer);
  if (request.allowed != nullptr) {
    const double part = kMaskedEf + (1 - kMaskedEf) * matches / live;
    ef = std::max<size_t>(static_cast<size_t>(static_cast<double>(ef) * part), std::min(ef, state.candidates_max));
  }
  const double walk_cost = static_cast<double>(ef) * kScanRowsPerEf * live / matches;
  if (walk_cost >= matches) {
    ++report.codes_scanned;
    return scan_codes(segment, scorer, state);
  }
  WalkScratch& walk = state.scratch.walk;
  const RowFilter filter = filter_of(segment, request.allowed);
  bool walked = true;
  auto run = [&] {
    if (request.allowed == nullptr && segment.live == file.rows()) {
      ++report.walked;
      walk_all(file, scorer, ef, walk);
    } else {
      ++report.walked_masked;
      walked = walk_filtered(file, scorer, filter, ef, static_cast<size_t>(matches / 2), walk);
    }
  };
  if (file.in_memory() && !state.originals()) {
    run();
  } else {
    segment.read_mapped(run);
  }
  // Matches far from the query: the walk has cost as much as a scan by now and is not near its end.
  if (!walked) {
    ++report.walks_given_up;
    return scan_codes(segment, scorer, state);
  }
  for (const ScoredRow& row : walk.found) state.offer_candidate({row.distance, row.row, &segment});
}

void VectorIndexImpl::rescore(SearchState& state) const {
  auto& candidates = state.scratch.candidates;
  const size_t bytes = std::min<size_t>(config_.dim * value_bytes(config_.datatype), 256);
  // By segment, and ascending, which is the order of the file.
  const auto by_place = [](const Candidate& a, const Candidate& b) {
    return a.segment->number != b.segment->number ? a.segment->number < b.segment->number : a.row < b.row;
  };
  std::sort(candidates.begin(), candidates.end(), by_place);
  uint32_t rows[kScanBatch];
  const size_t wanted = candidate_count(state.request, config_);
  if (!state.originals() && (candidates.size() > wanted || !state.rescores())) {
    float distances[kScanBatch];
    for (size_t first = 0; first < candidates.size();) {
      const Segment& segment = *candidates[first].segment;
      size_t count = 0;
      for (; count < kScanBatch && first + count < candidates.size() && candidates[first + count].segment == &segment; ++count) {
        rows[count] = candidates[first + count].row;
      }
      if (segment.file->in_planes()) {
        const CodeScorer scorer(*segment.file, state.code_query, state.codes.query_bits, state.scratch.scorer);
        if (segment.file->lower_mapped()) {
          segment.read_mapped([&] { scorer.score_whole(rows, count, distances); });
        } else {
          scorer.score_whole(rows, count, distances);
        }
        for (size_t i = 0; i < count; ++i) candidates[first + i].distance = distances[i];
      }
      first += count;
    }
    if (candidates.size() > wanted) {
      std::nth_element(candidates.begin(), candidates.begin() + static_cast<ptrdiff_t>(wanted), candidates.end());
      candidates.erase(candidates.begin() + static_cast<ptrdiff_t>(wanted), candidates.end());
    }
    std::sort(candidates.begin(), candidates.end(), by_place);
  }
  if (!state.rescores()) {
    for (const Candidate& candidate : candidates) {
      state.offer_key(candidate.segment->file->slot(candidate.row), state.rows.key_of_code_distance(candidate.distance));
    }
    return;
  }
  for (size_t first = 0; first < candidates.size();) {
    const Segment& segment = *candidates[first].segment;
    size_t count = 0;
    while (count < kScanBatch && first + count < candidates.size() && candidates[first + count].segment == &segment) {
      rows[count] = candidates[first + count].row;
      if (!segment.file->encrypted()) {
        const auto* ahead = reinterpret_cast<const char*>(segment.file->row(rows[count]));
        for (size_t j = 0; j < bytes; j += 64) __builtin_prefetch(ahead + j);
      }
      ++count;
    }
    state.offer_rows(segment, rows, count);
    first += count;
  }
}

void VectorIndexImpl::search(const VectorSearch& request, std::vector<VectorHit>& out) const {
  out.clear();
  if (request.query == nullptr) throw Error(ErrorKind::kInternal, "search without a query");
  if (request.k == 0 || live_ == 0 || (request.allowed != nullptr && request.allowed_count == 0)) return;
  SearchScratch& scratch = thread_scratch();
  scratch.best.clear();
  scratch.candidates.clear();
  const float* code_query = request.query;
  if (config_.distance == Distance::kCosine && !normalized(config_.distance, config_.datatype)) {
    scratch.code_query.assign(request.query, request.query + config_.dim);
    normalize(scratch.code_query.data(), config_.dim);
    code_query = scratch.code_query.data();
  }
  SearchState state{request,
                    scratch,
                    config_.codes,
                    RowScorer(config_.distance, config_.datatype, request.query, config_.dim, scratch.widened),
                    code_query,
                    walk_count(request, config_)};

  // "Indexed only" spares the caller long scans, not small ones.
  if (!request.indexed_only || kilobytes(tail_live()) <= config_.indexing_threshold_kb) {
    for (const auto& tail : tails_) {
      if (request.report != nullptr && tail->live > 0) ++request.report->tails_scanned;
      scan_tail(*tail, state);
    }
  }
  const bool full_scan = request.exact || kilobytes(live_) < config_.full_scan_threshold_kb;
  for (const auto& segment : segments_) search_segment(*segment, full_scan, state);
  rescore(state);

  std::sort_heap(scratch.best.begin(), scratch.best.end());
  out.reserve(scratch.best.size());
  const float sign = score_is_similarity(config_.distance) ? -1.0f : 1.0f;
  for (const Entry& entry : scratch.best) out.push_back({entry.slot, sign * entry.key + 0.0f});
}

}  // namespace sealpoint
