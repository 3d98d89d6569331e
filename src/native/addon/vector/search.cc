// One search: tails exactly, segments by walk or scan over codes, then the best candidates exactly.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>

#include "../core/cancellation.h"
#include "../core/status.h"
#include "index_impl.h"
#include "kernels.h"

namespace sealpoint {
namespace {

// Measured by check/vector_bench.cc: rows that an int8 scan gets through in the time that a walk takes per unit of ef.
// A walk with a mask takes 1/selectivity times as long.
constexpr double kScanRowsPerEf = 50;
constexpr size_t kScanBatch = 64;
// Rows of a scan between two looks whether anybody waits for it: some ten microseconds.
constexpr uint32_t kRowsPerLook = 1024;
using Steps = cancellation::Stride<kRowsPerLook>;
using BatchSteps = cancellation::Stride<kRowsPerLook / kScanBatch>;
// Binary and product codes, and scalar ones of bytes, are coarser than others and put a true neighbour this many times further down.
constexpr size_t kCoarseCandidates = 3;
constexpr size_t kScanCandidates = 4;

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

// Searches that share a scan.
constexpr size_t kSharedMax = 8;

struct SearchScratch {
  WalkScratch walk;
  std::vector<uint32_t> outside;
  ScorerScratch scorer;
  std::vector<float> widened;
  std::vector<float> code_query;
  std::vector<Entry> best;
  std::vector<Candidate> candidates;
};

SearchScratch& thread_scratch(size_t number) {
  thread_local std::unique_ptr<SearchScratch> scratches[kSharedMax];
  if (scratches[number] == nullptr) scratches[number] = std::make_unique<SearchScratch>();
  return *scratches[number];
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

// How many a walk or a scan of codes brings. A scan of all codes costs so much that a few more candidates do not matter, and whoever chose to have no
// graph wants what is exact.
size_t walk_count(const VectorSearch& request, const VectorIndexConfig& config, bool scans) {
  const size_t candidates = candidate_count(request, config);
  if (scans && config.codes.kind == CodeKind::kScalar) return std::max(candidates, kScanCandidates * coarse_count(request.k));
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
  const size_t rescored_max;

  mutable VectorSearchReport unread;
  float candidate_bound = std::numeric_limits<float>::quiet_NaN();

  VectorSearchReport& report() const { return request.report == nullptr ? unread : *request.report; }
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
  float farthest() const { return candidate_bound; }

  // Keeps up to twice as many as are wanted, which costs half of what a heap does: a scan of 1,000 codes puts every second row in.
  void offer_candidate(const Candidate& candidate) {
    scratch.candidates.push_back(candidate);
    if (scratch.candidates.size() >= 2 * candidates_max) trim_candidates();
  }

  // Leaves the nearest `candidates_max`.
  void trim_candidates() {
    auto& candidates = scratch.candidates;
    if (candidates.size() <= candidates_max) return;
    const auto last = candidates.begin() + static_cast<ptrdiff_t>(candidates_max) - 1;
    std::nth_element(candidates.begin(), last, candidates.end());
    candidate_bound = last->distance;
    candidates.erase(last + 1, candidates.end());
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

// The first `rows` of a tail, which are its oldest.
void VectorIndexImpl::scan_tail(const Tail& tail, uint32_t rows, SearchState* const* states, size_t count) const {
  if (tail.live == 0) return;
  const auto offer = [&](uint32_t slot, uint32_t row) {
    for (size_t i = 0; i < count; ++i) states[i]->offer(slot, tail.row(row));
  };
  const VectorSearch& request = states[0]->request;
  const Bitset* allowed = request.allowed;
  Steps steps;
  if (allowed != nullptr && request.allowed_count < tail.rows()) {
    allowed->for_each([&](uint32_t slot) {
      steps.step();
      if (slot < locations_.size() && locations_[slot].part == tail.number && locations_[slot].row < rows) offer(slot, locations_[slot].row);
    });
    return;
  }
  for (uint32_t row = 0; row < rows; ++row) {
    steps.step();
    const uint32_t slot = tail.slot(row);
    if (allowed != nullptr && !allowed->test(slot)) continue;
    if (locations_[slot] == Location{tail.number, row}) offer(slot, row);
  }
}

void VectorIndexImpl::scan_rows(const Segment& segment, SearchState* const* states, size_t count) const {
  const SegmentFile& file = *segment.file;
  const Bitset* allowed = states[0]->request.allowed;
  if (allowed == nullptr) file.expect_all_rows();
  uint32_t rows[kScanBatch];
  size_t found = 0;
  BatchSteps steps;
  const auto flush = [&] {
    steps.step();
    for (size_t i = 0; i < count; ++i) states[i]->offer_rows(segment, rows, found);
    found = 0;
  };
  states[0]->for_each_match(file, filter_of(segment, allowed), [&](uint32_t row) {
    rows[found++] = row;
    if (found == kScanBatch) flush();
  });
  flush();
}

void VectorIndexImpl::scan_codes(const Segment& segment, SearchState* const* states, const CodeScorer* const* scorers, size_t count) const {
  const SegmentFile& file = *segment.file;
  uint32_t rows[kScanBatch] = {};
  float distances[kScanBatch];
  size_t found = 0;
  BatchSteps steps;
  const auto flush = [&] {
    steps.step();
    for (size_t i = 0; i < count; ++i) {
      SearchState& state = *states[i];
      if (file.in_memory() && !state.originals()) {
        scorers[i]->score(rows, found, distances);
      } else {
        segment.read_mapped([&] { scorers[i]->score(rows, found, distances); });
      }
      for (size_t j = 0; j < found; ++j) {
        if (!(distances[j] >= state.farthest())) state.offer_candidate({distances[j], rows[j], &segment});
      }
    }
    found = 0;
  };
  const size_t bytes = std::min<size_t>(file.walk_bytes(), 512);
  states[0]->for_each_match(file, filter_of(segment, states[0]->request.allowed), [&](uint32_t row) {
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(file.walk_code(row) + i);
    rows[found++] = row;
    if (found == kScanBatch) flush();
  });
  flush();
}

// False when a scan of the codes costs less or finds more.
bool VectorIndexImpl::walk_segment(const Segment& segment, const CodeScorer& scorer, SearchState& state) const {
  const VectorSearch& request = state.request;
  VectorSearchReport& report = state.report();
  const SegmentFile& file = *segment.file;
  // As at Qdrant: matches of fewer kilobytes than the threshold are compared, whatever a walk would cost.
  if (request.allowed != nullptr && kilobytes(request.allowed_count) < config_.full_scan_threshold_kb) return false;
  std::vector<uint32_t>& outside = state.scratch.outside;
  outside.clear();
  const BlockGraph* block = find_block(segment, request, outside);
  if (block == nullptr && !file.has_graph()) return false;
  const double live = block != nullptr ? block->count : static_cast<double>(segment.live);
  double matches = live;
  if (block != nullptr) {
    size_t common = 0;
    const std::vector<uint64_t>&mine = block->slots.words(), &allowed = request.allowed->words();
    for (size_t i = 0; i < std::min(mine.size(), allowed.size()); ++i) common += static_cast<size_t>(__builtin_popcountll(mine[i] & allowed[i]));
    matches = static_cast<double>(common);
  } else if (request.allowed != nullptr) {
    matches = static_cast<double>(request.allowed_count) * live / static_cast<double>(live_);
  }
  matches = std::min(std::max(matches, 1.0), live);
  size_t ef = request.ef != 0 ? request.ef : config_.ef_construct;
  ef = std::min<size_t>(std::max(ef, state.codes.chosen ? state.candidates_max : request.k), segment.live);
  const bool masked = block == nullptr ? request.allowed != nullptr : matches < live || segment.live < file.rows();
  const size_t ef_min = masked ? std::min(ef, state.candidates_max) : ef;
  const double walked_ef = masked ? std::max(static_cast<double>(ef) * (kMaskedEf + (1 - kMaskedEf) * matches / live), static_cast<double>(ef_min))
                                  : static_cast<double>(ef);
  const double walk_cost = walked_ef * kScanRowsPerEf * live / matches;
  if (walk_cost >= matches) return false;
  WalkScratch& walk = state.scratch.walk;
  const RowFilter filter = filter_of(segment, request.allowed);
  const WalkLimits limits{static_cast<size_t>(matches / 2), matches / (block != nullptr ? live : file.rows()), ef_min};
  bool walked = true;
  const auto run = [&] {
    if (block != nullptr) {
      ++report.blocks_walked;
      walked = walk_block(file, *block, scorer, masked ? &filter : nullptr, ef, limits, walk);
    } else if (!masked && segment.live == file.rows()) {
      ++report.walked;
      walk_all(file, scorer, ef, walk);
    } else {
      ++report.walked_masked;
      walked = walk_filtered(file, scorer, filter, ef, limits, walk);
    }
    if (!walked) return;
    for (size_t first = 0; first < outside.size(); first += kScanBatch) {
      float distances[kScanBatch];
      const size_t count = std::min(kScanBatch, outside.size() - first);
      scorer.score(outside.data() + first, count, distances);
      for (size_t i = 0; i < count; ++i) walk.found.push_back({distances[i], outside[first + i]});
    }
  };
  if (file.in_memory() && !state.originals()) {
    run();
  } else {
    segment.read_mapped(run);
  }
  // Matches far from the query: the walk has cost as much as a scan by now, or meets too few to be trusted.
  if (!walked) {
    ++report.walks_given_up;
    return false;
  }
  for (const ScoredRow& row : walk.found) state.offer_candidate({row.distance, row.row, &segment});
  return true;
}

void VectorIndexImpl::search_segment(const Segment& segment, SearchState* const* states, size_t count) const {
  if (segment.live == 0) return;
  cancellation::check();
  SearchState* by_rows[kSharedMax];
  SearchState* by_codes[kSharedMax];
  const CodeScorer* scorers[kSharedMax];
  std::optional<CodeScorer> made[kSharedMax];
  size_t rows = 0, codes = 0;
  for (size_t i = 0; i < count; ++i) {
    SearchState& state = *states[i];
    if (state.request.exact || kilobytes(live_) < config_.full_scan_threshold_kb) {
      ++state.report().rows_scanned;
      by_rows[rows++] = &state;
      continue;
    }
    if (state.originals()) {
      made[i].emplace(*segment.file, state.rows);
    } else {
      made[i].emplace(*segment.file, state.code_query, state.codes.query_bits, state.scratch.scorer);
    }
    if (walk_segment(segment, *made[i], state)) continue;
    if (state.report().walks_given_up == 0) ++state.report().codes_scanned;
    by_codes[codes] = &state;
    scorers[codes++] = &*made[i];
  }
  if (rows > 0) scan_rows(segment, by_rows, rows);
  if (codes > 0) scan_codes(segment, by_codes, scorers, codes);
}

void VectorIndexImpl::rescore(SearchState& state) const {
  state.trim_candidates();
  auto& candidates = state.scratch.candidates;
  const size_t bytes = std::min<size_t>(config_.dim * value_bytes(config_.datatype), 256);
  // By segment, and ascending, which is the order of the file.
  const auto by_place = [](const Candidate& a, const Candidate& b) {
    return a.segment->number != b.segment->number ? a.segment->number < b.segment->number : a.row < b.row;
  };
  std::sort(candidates.begin(), candidates.end(), by_place);
  uint32_t rows[kScanBatch];
  const size_t wanted = state.rescored_max;
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

// All with one mask, and all or none of them over indexed vectors only.
void VectorIndexImpl::search_states(SearchState* const* states, size_t count) const {
  // "Indexed only" spares the caller long scans, not small ones.
  uint64_t unindexed_live = tail_live();
  for (const auto& segment : segments_) unindexed_live += unindexed(*segment) ? segment->live : 0;
  uint64_t room = states[0]->request.indexed_only && kilobytes(unindexed_live) > config_.indexing_threshold_kb ? 0 : ~uint64_t{0};
  if (config_.optimizer.hides_unindexed && indexes() && config_.indexing_threshold_kb > 0) {
    room = std::min(room, config_.indexing_threshold_kb * 1024 / (config_.dim * sizeof(float)));
  }
  for (const auto& segment : segments_) {
    if (unindexed(*segment)) {
      // Older than what is in the tails.
      if (segment->live > room) {
        room = 0;
        continue;
      }
      if (room != ~uint64_t{0}) room -= segment->live;
    }
    search_segment(*segment, states, count);
  }
  for (const auto& tail : tails_) {
    if (room == 0) break;
    for (size_t i = 0; i < count; ++i) states[i]->report().tails_scanned += tail->live > 0 ? 1 : 0;
    const uint64_t rows = std::min<uint64_t>(tail->rows(), room);
    scan_tail(*tail, static_cast<uint32_t>(rows), states, count);
    if (room != ~uint64_t{0}) room -= rows;
  }
}

void VectorIndexImpl::search(const VectorSearch& request, std::vector<VectorHit>& out) const { search_many(&request, 1, &out); }

void VectorIndexImpl::search_many(const VectorSearch* requests, size_t count, std::vector<VectorHit>* out) const {
  if (count > kSharedMax || std::any_of(requests, requests + count, [&](const VectorSearch& one) { return one.indexed_only != requests->indexed_only; })) {
    const size_t half = count / 2;
    search_many(requests, half, out);
    return search_many(requests + half, count - half, out + half);
  }
  const bool graphless = std::any_of(segments_.begin(), segments_.end(), [](const auto& segment) { return !segment->file->has_graph(); });
  std::optional<SearchState> made[kSharedMax];
  SearchState* states[kSharedMax];
  size_t places[kSharedMax];
  size_t running = 0;
  for (size_t i = 0; i < count; ++i) {
    const VectorSearch& request = requests[i];
    out[i].clear();
    if (request.query == nullptr) throw Error(ErrorKind::kInternal, "search without a query");
    if (request.k == 0 || live_ == 0 || (request.allowed != nullptr && request.allowed_count == 0)) continue;
    SearchScratch& scratch = thread_scratch(running);
    scratch.best.clear();
    scratch.candidates.clear();
    const float* code_query = request.query;
    if (config_.distance == Distance::kCosine && !normalized(config_.distance, config_.datatype)) {
      scratch.code_query.assign(request.query, request.query + config_.dim);
      normalize(scratch.code_query.data(), config_.dim);
      code_query = scratch.code_query.data();
    }
    const size_t rescored = candidate_count(request, config_);
    made[running].emplace(SearchState{request,
                                      scratch,
                                      config_.codes,
                                      RowScorer(config_.distance, config_.datatype, request.query, config_.dim, scratch.widened),
                                      code_query,
                                      walk_count(request, config_, graphless),
                                      graphless && !config_.codes.chosen ? 4 * rescored : rescored,
                                      {}});
    states[running] = &*made[running];
    places[running++] = i;
  }
  if (running == 0) return;
  search_states(states, running);
  const float sign = score_is_similarity(config_.distance) ? -1.0f : 1.0f;
  for (size_t i = 0; i < running; ++i) {
    rescore(*states[i]);
    std::vector<Entry>& best = states[i]->scratch.best;
    std::sort_heap(best.begin(), best.end());
    std::vector<VectorHit>& hits = out[places[i]];
    hits.reserve(best.size());
    for (const Entry& entry : best) hits.push_back({entry.slot, sign * entry.key + 0.0f});
  }
}

}  // namespace sealpoint
