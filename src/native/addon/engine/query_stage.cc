#include "query_stage.h"

#include "../query/judge.h"

namespace sealpoint {

namespace {

constexpr int kDepthMax = 64;

}  // namespace

QueryInput QueryInput::read(ByteReader& in) {
  QueryInput input;
  const uint8_t form = in.u8();
  if (form == 0) {
    input.by_id = true;
    input.id = in.id();
    return input;
  }
  AnyVector& vector = input.vector;
  vector.kind = static_cast<AnyVector::Kind>(form);
  if (vector.kind == AnyVector::Kind::kMulti) vector.rows = in.u32();
  const uint32_t count = in.u32();
  if (vector.kind == AnyVector::Kind::kSparse) {
    vector.indices.resize(count);
    std::memcpy(vector.indices.data(), in.span(size_t{count} * 4), size_t{count} * 4);
  }
  const char* values = in.span(size_t{count} * 4);
  vector.values.resize(count);
  std::memcpy(vector.values.data(), values, size_t{count} * 4);
  return input;
}

OrderBy OrderBy::read(ByteReader& in) {
  OrderBy order;
  order.key = in.text();
  order.walk.descending = in.u8() != 0;
  const uint8_t form = in.u8();
  if (form == 1) order.walk.start = OrderValue{false, 0, in.f64()};
  if (form == 2 || form == 3) order.walk.start = OrderValue{true, in.i64(), 0};
  return order;
}

QueryParams QueryParams::read(ByteReader& in) {
  QueryParams params;
  const uint8_t flags = in.u8();
  params.exact = (flags & 1) != 0;
  params.indexed_only = (flags & 2) != 0;
  params.has_threshold = (flags & 4) != 0;
  params.ignore_codes = (flags & 8) != 0;
  if ((flags & 16) != 0) params.rescore = (flags & 32) != 0 ? 1 : 0;
  params.threshold = in.f32();
  params.ef = in.u32();
  params.oversampling = in.f32();
  return params;
}

QueryStage QueryStage::read(ByteReader& in, int depth) {
  if (depth > kDepthMax) throw Error(ErrorKind::kBadInput, "prefetches are nested too deep", "prefetch");
  QueryStage stage;
  for (uint32_t n = in.u32(); n > 0; --n) stage.prefetch.push_back(read(in, depth + 1));
  stage.kind = static_cast<QueryKind>(in.u8());
  const auto inputs = [&](uint32_t count) {
    for (; count > 0; --count) stage.inputs.push_back(QueryInput::read(in));
  };
  switch (stage.kind) {
    case QueryKind::kNearest:
      inputs(1);
      stage.mmr = in.u8() != 0;
      stage.diversity = in.f32();
      stage.mmr_candidates = in.u32();
      break;
    case QueryKind::kAverage:
    case QueryKind::kBestScore:
    case QueryKind::kSumScores: {
      stage.positives = in.u32();
      const uint32_t negatives = in.u32();
      inputs(stage.positives);
      inputs(negatives);
      break;
    }
    case QueryKind::kDiscover:
      inputs(1);
      inputs(in.u32() * 2);
      break;
    case QueryKind::kContext:
      inputs(in.u32() * 2);
      break;
    case QueryKind::kOrderBy:
      stage.order_by = OrderBy::read(in);
      break;
    case QueryKind::kRrf:
      stage.rrf_k = in.u32();
      for (uint32_t n = in.u32(); n > 0; --n) stage.weights.push_back(in.f32());
      break;
    case QueryKind::kFeedback: {
      inputs(1);
      FeedbackCoefficients naive;
      naive.a = in.f32();
      naive.b = in.f32();
      naive.c = in.f32();
      std::vector<float> scores;
      for (uint32_t n = in.u32(); n > 0; --n) {
        inputs(1);
        scores.push_back(in.f32());
      }
      stage.weights = feedback_weights(naive, scores);
      break;
    }
    case QueryKind::kFormula:
      stage.formula = Formula::read(in);
      break;
    default:
      break;
  }
  stage.using_vector = in.text();
  stage.params = QueryParams::read(in);
  stage.filter = FilterRequest::read(in);
  stage.idf_corpus = FilterRequest::read(in);
  stage.limit = in.u32();
  return stage;
}

}  // namespace sealpoint
