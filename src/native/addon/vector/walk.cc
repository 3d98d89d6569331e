#include "walk.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "kernels.h"

namespace sealpoint {
namespace {

// New rows that come among the next so many get their links prefetched at once.
constexpr size_t kLookAhead = 8;
constexpr uint32_t kExpanded = 0x80000000u;  // rows are below 2^31

inline void prefetch_code(const uint8_t* code, size_t bytes) {
  // The hardware follows after some lines in a row.
  const size_t limit = std::min<size_t>(bytes, 512);
  for (size_t i = 0; i < limit; i += 64) __builtin_prefetch(code + i);
}

inline bool visit(std::vector<uint64_t>& visited, uint32_t row) {
  uint64_t& word = visited[row >> 6];
  const uint64_t bit = uint64_t{1} << (row & 63);
  if (word & bit) return false;
  word |= bit;
  return true;
}

// The graph over all rows of a segment; BlockGraph is the other one.
struct WholeGraph {
  const SegmentFile& file;
  uint32_t rows() const { return file.rows(); }
  uint32_t entry() const { return file.header().entry; }
  uint32_t max_level() const { return file.header().max_level; }
  uint32_t links_max() const { return file.header().m; }
  uint32_t row_of(uint32_t number) const { return number; }
  const uint32_t* links(uint32_t number) const { return file.links(number); }
  const uint32_t* upper_links(uint32_t number, uint32_t level) const { return file.upper_links(number, level); }
};

// The rows of the segment that some numbers of a graph stand for.
template <typename G>
inline const uint32_t* rows_of(const G& graph, const uint32_t* numbers, size_t count, WalkScratch& scratch) {
  if constexpr (std::is_same_v<G, WholeGraph>) {
    return numbers;
  } else {
    for (size_t i = 0; i < count; ++i) scratch.rows[i] = graph.row_of(numbers[i]);
    return scratch.rows.data();
  }
}

// Collects the rows not yet seen among `links`, and asks for their codes.
template <typename G>
inline size_t collect_fresh(const SegmentFile& file, const G& graph, const uint32_t* links, size_t count, WalkScratch& scratch) {
  // Whether a row was seen is as good as random, so nothing here depends on it by a branch.
  uint32_t* const fresh = scratch.fresh.data();
  uint64_t* const visited = scratch.visited.data();
  size_t found = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t row = links[i];
    if (row == kNoRow) break;
    uint64_t& word = visited[row >> 6];
    const uint64_t bit = uint64_t{1} << (row & 63);
    fresh[found] = row;
    found += (word & bit) == 0 ? 1 : 0;
    word |= bit;
  }
  const size_t bytes = file.walk_bytes();
  for (size_t i = 0; i < found; ++i) prefetch_code(file.walk_code(graph.row_of(fresh[i])), bytes);
  return found;
}

template <typename G>
inline void prefetch_links(const G& graph, uint32_t number, size_t count) {
  const auto* links = reinterpret_cast<const char*>(graph.links(number));
  for (size_t i = 0; i < count * 4; i += 64) __builtin_prefetch(links + i);
}

// The first place in an ascending list whose distance is greater, without branches that nobody can foretell.
inline size_t place_of(const ScoredRow* list, size_t size, float distance) {
  const ScoredRow* base = list;
  while (size > 1) {
    const size_t half = size / 2;
    base = base[half - 1].distance <= distance ? base + half : base;
    size -= half;
  }
  return static_cast<size_t>(base - list) + (size == 1 && base->distance <= distance ? 1 : 0);
}

// Numbers of the graph, as in all of a walk; found() makes rows of them.
template <typename G>
ScoredRow descend(const SegmentFile& file, const G& graph, const CodeScorer& scorer, WalkScratch& scratch) {
  ScoredRow best{scorer.score_one(graph.row_of(graph.entry())), graph.entry()};
  for (uint32_t level = graph.max_level(); level > 0; --level) {
    for (;;) {
      const uint32_t* links = graph.upper_links(best.row, level);
      if (links == nullptr) break;
      size_t count = 0;
      while (count < graph.links_max() && links[count] != kNoRow) {
        prefetch_code(file.walk_code(graph.row_of(links[count])), file.walk_bytes());
        ++count;
      }
      scorer.score(rows_of(graph, links, count, scratch), count, scratch.distances.data());
      bool moved = false;
      for (size_t i = 0; i < count; ++i) {
        if (scratch.distances[i] >= best.distance) continue;
        best = {scratch.distances[i], links[i]};
        moved = true;
      }
      if (!moved) break;
    }
  }
  return best;
}

template <typename G>
void start(const G& graph, WalkScratch& scratch) {
  const size_t words = (static_cast<size_t>(graph.rows()) + 63) / 64;
  if (scratch.visited.size() < words) scratch.visited.resize(words);
  std::memset(scratch.visited.data(), 0, words * 8);
  const size_t links = static_cast<size_t>(graph.links_max()) * 2;
  if (scratch.distances.size() < links) scratch.distances.resize(links);
  if (scratch.rows.size() < links) scratch.rows.resize(links);
  if (scratch.fresh.size() < links) scratch.fresh.resize(links);
  scratch.found.clear();
}

struct NearestFirst {
  bool operator()(const ScoredRow& a, const ScoredRow& b) const { return a.distance > b.distance; }
};
struct FarthestFirst {
  bool operator()(const ScoredRow& a, const ScoredRow& b) const { return a.distance < b.distance; }
};

template <typename G>
void walk_whole(const SegmentFile& file, const G& graph, const CodeScorer& scorer, size_t ef, WalkScratch& scratch) {
  start(graph, scratch);
  const size_t links = static_cast<size_t>(graph.links_max()) * 2;
  const ScoredRow entry = descend(file, graph, scorer, scratch);
  visit(scratch.visited, entry.row);
  // One ascending list is both the queue and the result: the mark says which rows are expanded already.
  auto& pool = scratch.pool;
  if (pool.size() < ef + 1) pool.resize(ef + 1);
  ScoredRow* const list = pool.data();
  list[0] = entry;
  size_t size = 1;
  size_t at = 0;
  while (at < size) {
    if (list[at].row & kExpanded) {
      ++at;
      continue;
    }
    const uint32_t row = list[at].row;
    list[at].row |= kExpanded;
    const size_t count = collect_fresh(file, graph, graph.links(row), links, scratch);
    scorer.score(rows_of(graph, scratch.fresh.data(), count, scratch), count, scratch.distances.data());
    size_t lowest = at + 1;
    for (size_t i = 0; i < count; ++i) {
      const float distance = scratch.distances[i];
      if (size == ef && !(distance < list[size - 1].distance)) continue;
      const size_t place = place_of(list, size, distance);
      if (size < ef) ++size;
      std::memmove(list + place + 1, list + place, (size - 1 - place) * sizeof(ScoredRow));
      list[place] = {distance, scratch.fresh[i]};
      if (place < lowest) lowest = place;
      if (place < at + kLookAhead) prefetch_links(graph, scratch.fresh[i], links);
    }
    at = lowest;
  }
  scratch.found.assign(list, list + size);
  for (ScoredRow& row : scratch.found) row.row = graph.row_of(row.row & ~kExpanded);
}

constexpr size_t kStarts = 32;
// A walk that has looked at so many rows knows how many of them pass, and judges by so many whether that is too few.
constexpr size_t kCountedMin = 32;
constexpr size_t kJudgedMin = 256;
// Fewer than this part of what a filter without regard to place would let pass: the matches lie elsewhere.
constexpr double kStarved = 0.5;

template <typename G>
bool walk_matches(const SegmentFile& file, const G& graph, const CodeScorer& scorer, const RowFilter& filter, size_t ef, const WalkLimits& limits,
                  WalkScratch& scratch) {
  start(graph, scratch);
  const size_t links = static_cast<size_t>(graph.links_max()) * 2;
  const ScoredRow entry = descend(file, graph, scorer, scratch);
  visit(scratch.visited, entry.row);
  auto& queue = scratch.candidates;
  auto& found = scratch.found;
  queue.clear();
  queue.push_back(entry);
  if (filter(graph.row_of(entry.row))) found.push_back(entry);
  // Rows from everywhere, of which the near ones are starts too: matches may lie where the way from the entry does not lead.
  const size_t starts = std::min<size_t>(std::min(kStarts, links), graph.rows());
  size_t started = 0;
  for (size_t i = 0; i < starts; ++i) {
    const auto number = static_cast<uint32_t>(i * graph.rows() / starts);
    if (visit(scratch.visited, number)) scratch.fresh[started++] = number;
  }
  scorer.score(rows_of(graph, scratch.fresh.data(), started, scratch), started, scratch.distances.data());
  for (size_t i = 0; i < started; ++i) {
    const ScoredRow row{scratch.distances[i], scratch.fresh[i]};
    queue.push_back(row);
    std::push_heap(queue.begin(), queue.end(), NearestFirst());
    if (!filter(graph.row_of(row.row)) || found.size() >= ef) continue;
    found.push_back(row);
    std::push_heap(found.begin(), found.end(), FarthestFirst());
  }
  size_t scored = 1;
  size_t passed = 0;
  size_t tested = 0;
  bool counted = limits.ef_min >= ef;
  while (!queue.empty()) {
    const ScoredRow nearest = queue.front();
    if (found.size() >= ef && nearest.distance > found.front().distance) break;
    std::pop_heap(queue.begin(), queue.end(), NearestFirst());
    queue.pop_back();
    const size_t count = collect_fresh(file, graph, graph.links(nearest.row), links, scratch);
    scored += count;
    if (scored > limits.scored_max) return false;
    if (tested >= kJudgedMin && static_cast<double>(passed) < kStarved * limits.density * static_cast<double>(tested)) return false;
    scorer.score(rows_of(graph, scratch.fresh.data(), count, scratch), count, scratch.distances.data());
    for (size_t i = 0; i < count; ++i) {
      const ScoredRow row{scratch.distances[i], scratch.fresh[i]};
      if (found.size() >= ef && !(row.distance < found.front().distance)) continue;
      queue.push_back(row);
      std::push_heap(queue.begin(), queue.end(), NearestFirst());
      ++tested;
      if (!filter(graph.row_of(row.row))) continue;
      ++passed;
      if (found.size() >= ef) {
        std::pop_heap(found.begin(), found.end(), FarthestFirst());
        found.back() = row;
      } else {
        found.push_back(row);
      }
      std::push_heap(found.begin(), found.end(), FarthestFirst());
    }
    if (!counted && tested >= kCountedMin) {
      // Nothing was passed over yet unless all that came was kept.
      counted = true;
      const double part = kMaskedEf + (1 - kMaskedEf) * static_cast<double>(passed) / static_cast<double>(tested);
      ef = std::max(std::min(ef, limits.ef_min), static_cast<size_t>(static_cast<double>(ef) * part));
      for (; found.size() > ef; found.pop_back()) std::pop_heap(found.begin(), found.end(), FarthestFirst());
    }
    if (!queue.empty()) __builtin_prefetch(graph.links(queue.front().row));
  }
  if constexpr (!std::is_same_v<G, WholeGraph>) {
    for (ScoredRow& row : found) row.row = graph.row_of(row.row);
  }
  return true;
}

}  // namespace

CodeScorer::CodeScorer(const SegmentFile& file, const RowScorer& rows)
    : file_(file), kernels_(kernels()), distance_(rows.distance()), bytes_(0), rows_(&rows) {}

CodeScorer::CodeScorer(const SegmentFile& file, const float* query, uint8_t query_bits, ScorerScratch& scratch)
    : file_(file),
      kernels_(kernels()),
      distance_(static_cast<Distance>(file.header().distance)),
      bytes_(file.header().code_bytes) {
  const uint32_t dim = file.header().dim;
  CodeConfig config = file.codes();
  if (config.kind != CodeKind::kScalar) {
    config.query_bits = query_bits;
    scratch.table.prepare(config, distance_, dim, file.book(), query);
    table_ = &scratch.table;
    return;
  }
  const float scale = file.header().scale;
  uint8_t* codes = scratch.query.resize(bytes_);
  biased_ = codes;
  plain_ = reinterpret_cast<const int8_t*>(codes);
  if (distance_ == Distance::kManhattan) {
    for (uint32_t i = 0; i < dim; ++i) codes[i] = static_cast<uint8_t>(quantize(query[i], 1 / scale) + 128);
    std::memset(codes + dim, 128, bytes_ - dim);
    factor_ = scale;
    return;
  }
  // A dot product may have a scale of the query's own, which wastes no bits.
  float largest = 0;
  for (uint32_t i = 0; i < dim; ++i) largest = std::max(largest, std::fabs(query[i]));
  const float query_scale = std::min(std::max(largest, 1e-30f), 3e38f) / 127;
  int32_t sum = 0;
  for (uint32_t i = 0; i < dim; ++i) {
    const int code = quantize(query[i], 1 / query_scale);
    codes[i] = static_cast<uint8_t>(static_cast<int8_t>(code));
    sum += code;
  }
  std::memset(codes + dim, 0, bytes_ - dim);
  bias_ = 128 * sum;
  upper_bias_ = 120.5f * static_cast<float>(sum);
  if (distance_ == Distance::kEuclid) {
    factor_ = -2 * scale * query_scale;
    norm_factor_ = scale * scale;
    query_norm_ = kernels_.dot_f32(query, query, dim);
  } else {
    factor_ = -scale * query_scale;
  }
}

void CodeScorer::score(const uint32_t* rows, size_t count, float* out) const {
  if (table_ != nullptr) {
    for (size_t i = 0; i < count; ++i) out[i] = table_->score(file_.code(rows[i]));
    return;
  }
  if (rows_ != nullptr) {
    thread_local std::vector<uint8_t> room;
    for (size_t i = 0; i < count; ++i) out[i] = rows_->key_of_stored(file_.row(rows[i], room));
    return;
  }
  if (distance_ == Distance::kManhattan) {
    for (size_t i = 0; i < count; ++i) {
      out[i] = factor_ * static_cast<float>(kernels_.sad(file_.code(rows[i]), biased_, bytes_));
    }
    return;
  }
  int32_t dots[4];
  for (size_t i = 0; i < count; i += 4) {
    const size_t n = std::min<size_t>(4, count - i);
    if (file_.in_planes()) {
      const uint8_t* planes[4];
      for (size_t j = 0; j < 4; ++j) planes[j] = file_.walk_code(rows[i + std::min(j, n - 1)]);
      kernels_.nibbles4(planes, plain_, bytes_ / 2, dots);
      // The lower nibble is 7.5 as far as the upper plane knows.
      for (size_t j = 0; j < n; ++j) out[i + j] = factor_ * (static_cast<float>(16 * dots[j]) - upper_bias_);
    } else if (n == 4) {
      const uint8_t* codes[4] = {file_.code(rows[i]), file_.code(rows[i + 1]), file_.code(rows[i + 2]),
                                 file_.code(rows[i + 3])};
      kernels_.dot4(codes, plain_, bias_, bytes_, dots);
    } else {
      for (size_t j = 0; j < n; ++j) dots[j] = kernels_.dot(file_.code(rows[i + j]), plain_, bias_, bytes_);
    }
    if (!file_.in_planes()) {
      for (size_t j = 0; j < n; ++j) out[i + j] = factor_ * static_cast<float>(dots[j]);
    }
    add_norms(rows + i, n, out + i);
  }
}

void CodeScorer::add_norms(const uint32_t* rows, size_t count, float* out) const {
  if (distance_ != Distance::kEuclid) return;
  for (size_t i = 0; i < count; ++i) out[i] += norm_factor_ * static_cast<float>(file_.norm(rows[i])) + query_norm_;
}

void CodeScorer::score_whole(const uint32_t* rows, size_t count, float* out) const {
  if (!file_.in_planes()) return score(rows, count, out);
  for (size_t i = 0; i < count; ++i) prefetch_code(file_.lower(rows[i]), bytes_ / 2);
  for (size_t i = 0; i < count; i += 4) {
    const size_t n = std::min<size_t>(4, count - i);
    const uint8_t* upper[4];
    const uint8_t* lower[4];
    for (size_t j = 0; j < 4; ++j) {
      upper[j] = file_.walk_code(rows[i + std::min(j, n - 1)]);
      lower[j] = file_.lower(rows[i + std::min(j, n - 1)]);
    }
    int32_t high[4], low[4];
    kernels_.nibbles4(upper, plain_, bytes_ / 2, high);
    kernels_.nibbles4(lower, plain_, bytes_ / 2, low);
    for (size_t j = 0; j < n; ++j) out[i + j] = factor_ * static_cast<float>(16 * high[j] + low[j] - bias_);
    add_norms(rows + i, n, out + i);
  }
}

void walk_all(const SegmentFile& file, const CodeScorer& scorer, size_t ef, WalkScratch& scratch) {
  walk_whole(file, WholeGraph{file}, scorer, ef, scratch);
}

bool walk_filtered(const SegmentFile& file, const CodeScorer& scorer, const RowFilter& filter, size_t ef, const WalkLimits& limits,
                   WalkScratch& scratch) {
  return walk_matches(file, WholeGraph{file}, scorer, filter, ef, limits, scratch);
}

bool walk_block(const SegmentFile& file, const BlockGraph& block, const CodeScorer& scorer, const RowFilter* filter, size_t ef,
                const WalkLimits& limits, WalkScratch& scratch) {
  if (filter != nullptr) return walk_matches(file, block, scorer, *filter, ef, limits, scratch);
  walk_whole(file, block, scorer, ef, scratch);
  return true;
}

}  // namespace sealpoint
