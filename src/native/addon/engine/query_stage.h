// A query as src/engine/embedded/query-messages.ts writes it: a tree of stages, each over what its prefetches found or over the whole collection.
#pragma once
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "../core/bytes.h"
#include "../query/formula.h"
#include "../query/scored.h"
#include "requests.h"

namespace sealpoint {

struct OrderBy {
  std::string key;
  OrderWalk walk;
  // text key, u8 descending, u8 start (0 none, 1 f64, 2 i64, 3 i64 microseconds) and it.
  static OrderBy read(ByteReader& in);
};

struct QueryParams {
  bool exact = false, indexed_only = false;
  bool has_threshold = false;
  float threshold = 0;
  uint32_t ef = 0;
  bool ignore_codes = false;
  int rescore = -1;  // -1: the default
  float oversampling = 0;  // 0: the default
  // u8 flags (1 exact, 2 indexed only, 4 threshold, 8 ignore quantization, 16 rescore given, 32 rescore), f32 threshold, u32 ef, f32 oversampling.
  static QueryParams read(ByteReader& in);
};

enum class QueryKind : uint8_t {
  kNone = 0,
  kNearest = 1,
  kAverage = 2,
  kBestScore = 3,
  kSumScores = 4,
  kDiscover = 5,
  kContext = 6,
  kOrderBy = 7,
  kRrf = 8,
  kDbsf = 9,
  kSample = 10,
  kFormula = 11,
  kFeedback = 12,
};

struct QueryStage {
  std::vector<QueryStage> prefetch;
  QueryKind kind = QueryKind::kNone;
  // nearest: one; average, best score, sum: positives, then negatives; discover: the target, then pairs; context: pairs; feedback: the target, then the examples.
  std::vector<QueryInput> inputs;
  uint32_t positives = 0;
  bool mmr = false;
  float diversity = 0.5f;
  uint32_t mmr_candidates = 0;  // 0: the limit
  OrderBy order_by;
  uint32_t rrf_k = 2;
  std::vector<float> weights;  // rrf: of the prefetches; feedback: of the inputs
  std::unique_ptr<Formula> formula;
  std::string using_vector;
  QueryParams params;
  FilterRequest filter;      // merged with those of the stages above
  FilterRequest idf_corpus;  // present: statistics of these points only
  uint32_t limit = 10;

  // u32 prefetches and they; u8 kind and what it needs; text using; params; filter; idf corpus; u32 limit.
  static QueryStage read(ByteReader& in, int depth = 1);
  // Whether it or a prefetch walks an index.
  bool orders() const {
    return kind == QueryKind::kOrderBy || std::any_of(prefetch.begin(), prefetch.end(), [](const QueryStage& stage) { return stage.orders(); });
  }
};

}  // namespace sealpoint
