// Points that multivectors are checked with, and what an index of them finds against a comparison with all.
#pragma once
#include <algorithm>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "../vector/multi_index.h"
#include "program.h"

namespace sealpoint::checks {

using Rows = std::vector<float>;

constexpr size_t kFound = 10;

struct Shape {
  size_t points, rows_min, rows_max, dim;
  size_t topics = 60;
};

// Points of a topic have vectors near those of the topic's words.
class Source {
 public:
  Source(uint64_t seed, const Shape& shape) : random_(seed), shape_(shape) {
    std::normal_distribution<float> any;
    words_.resize(shape.topics * kWords * shape.dim);
    for (float& value : words_) value = any(random_);
  }
  Rows next() {
    const size_t count = shape_.rows_min + random_() % (shape_.rows_max - shape_.rows_min + 1), dim = shape_.dim;
    std::normal_distribution<float> noise(0, 0.7f);
    const size_t topic = random_() % shape_.topics, other = random_() % shape_.topics;
    Rows rows(count * dim);
    for (size_t row = 0; row < count; ++row) {
      const float* const word = words_.data() + ((random_() % 4 == 0 ? other : topic) * kWords + random_() % kWords) * dim;
      for (size_t d = 0; d < dim; ++d) rows[row * dim + d] = word[d] + noise(random_);
    }
    return rows;
  }
  std::mt19937_64& random() { return random_; }

 private:
  static constexpr size_t kWords = 12;
  std::mt19937_64 random_;
  const Shape shape_;
  Rows words_;
};

inline VectorIndexConfig config_of(const Shape& shape, Distance distance, Datatype datatype) {
  VectorIndexConfig config;
  config.dim = static_cast<uint32_t>(shape.dim);
  config.distance = distance;
  config.datatype = datatype;
  config.m = 16;
  config.ef_construct = 100;
  config.indexing_threshold_kb = 1;
  return config;
}

inline std::string stored(const VectorIndexConfig& config, Rows rows) {
  const size_t dim = config.dim, count = rows.size() / dim;
  for (size_t row = 0; row < count; ++row) {
    if (normalized(config.distance, config.datatype)) normalize(rows.data() + row * dim, dim);
  }
  if (config.datatype == Datatype::kUint8) {
    for (float& value : rows) value = value * 30 + 100;
  }
  round_values(config.datatype, rows.data(), rows.size());
  std::string row(4 + rows.size() * value_bytes(config.datatype), '\0');
  const auto head = static_cast<uint32_t>(count);
  std::memcpy(row.data(), &head, 4);
  store_values(config.datatype, rows.data(), rows.size(), row.data() + 4);
  return row;
}

// The rows of a query as a stored row has them.
inline MaxSimQuery query_of(const VectorIndexConfig& config, const Rows& rows) {
  const std::string row = stored(config, rows);
  std::vector<float> values(rows.size());
  load_values(config.datatype, row.data() + 4, values.size(), values.data());
  return {config.distance, config.datatype, config.dim, values.data(), rows.size() / config.dim};
}

// Where nobody asks for them.
inline const std::vector<uint64_t> kVersions(100'000, 1);

inline void build(MultiIndex& index, const std::vector<uint64_t>& versions = kVersions, unsigned threads = 2) {
  const auto build = index.start_build();
  CHECK(build != nullptr);
  while (index.collect_rows(*build, versions)) {
  }
  auto graph = build->run([] { return false; }, threads);
  CHECK(graph != nullptr);
  index.finish_build(*build, graph);
}

inline float similarity(const VectorIndexConfig& config, const MultiIndex& index, MaxSimQuery& query, uint32_t slot) {
  const MultiField field{config.distance, config.datatype, config.dim};
  std::vector<float> room;
  const std::string_view row = index.row(slot);
  CHECK(!row.empty());
  return query.similarity(field.floats(row.data(), room), multi_row_count(row));
}

inline bool better(const VectorHit& a, const VectorHit& b) { return a.score != b.score ? a.score > b.score : a.slot < b.slot; }

inline std::vector<VectorHit> exact(const VectorIndexConfig& config, const MultiIndex& index, MaxSimQuery& query, uint32_t slots, const Bitset* allowed) {
  std::vector<VectorHit> all;
  for (uint32_t slot = 0; slot < slots; ++slot) {
    if (index.row(slot).empty() || (allowed != nullptr && !allowed->test(slot))) continue;
    all.push_back({slot, similarity(config, index, query, slot)});
  }
  std::sort(all.begin(), all.end(), better);
  return all;
}

// As the collection does: the graph, and the tail beside it. Nothing when the walk is given up.
inline std::vector<VectorHit> walked(const VectorIndexConfig& config, const MultiIndex& index, MaxSimQuery& query, size_t ef, const Bitset* allowed) {
  const MultiGraph& graph = *index.graph();
  std::vector<VectorHit> found;
  const bool passes_over = allowed != nullptr || graph.rows.size() > index.graph_count();
  if (!graph.walk({query, ef, std::min(kFound, index.graph_count()), allowed, &index.written(), passes_over, ~size_t{0}}, found)) return {};
  std::set<uint32_t> once;
  for (const VectorHit& one : found) {
    CHECK(once.insert(one.slot).second, "slot %u twice", one.slot);
    CHECK(!index.written().test(one.slot) && (allowed == nullptr || allowed->test(one.slot)));
    // The score of what the slot has now.
    CHECK(one.score == similarity(config, index, query, one.slot));
  }
  index.written().for_each([&](uint32_t slot) {
    if (!index.row(slot).empty() && (allowed == nullptr || allowed->test(slot))) found.push_back({slot, similarity(config, index, query, slot)});
  });
  std::sort(found.begin(), found.end(), better);
  return found;
}

struct Recall {
  size_t found = 0, wanted = 0, given_up = 0;
  double share() const { return wanted == 0 ? 1 : static_cast<double>(found) / static_cast<double>(wanted); }
};

inline Recall recall(const VectorIndexConfig& config, const MultiIndex& index, Source& source, uint32_t slots, int queries, const Bitset* allowed) {
  Recall recall;
  for (int i = 0; i < queries; ++i) {
    MaxSimQuery query = query_of(config, source.next());
    const auto wanted = exact(config, index, query, slots, allowed);
    const auto got = walked(config, index, query, config.ef_construct, allowed);
    if (got.empty()) {
      ++recall.given_up;
      continue;
    }
    for (size_t k = 0; k < std::min(kFound, wanted.size()); ++k) {
      ++recall.wanted;
      // Equal scores may be any slot's.
      recall.found += k < got.size() && got[k].score >= wanted[std::min(kFound, wanted.size()) - 1].score ? 1 : 0;
    }
  }
  return recall;
}

inline void check_counts(const MultiIndex& index, uint32_t slots) {
  size_t count = 0, tail = 0;
  for (uint32_t slot = 0; slot < slots; ++slot) {
    if (index.row(slot).empty()) continue;
    ++count;
    tail += index.written().test(slot) ? 1 : 0;
  }
  CHECK(index.count() == count && index.graph_count() == count - tail && index.tail_count() == tail);
}

}  // namespace sealpoint::checks
