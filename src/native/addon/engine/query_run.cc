#include "query_run.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "../query/fusion.h"
#include "../query/judge.h"

namespace sealpoint {

namespace {

// Times that filters are planned anew because the collection changed while payloads were judged without the lock.
constexpr int kPlansMax = 3;
// Points whose payloads a formula reads in one go.
constexpr size_t kReadBatch = 256;

void keep_best(std::vector<Scored>& found, size_t limit) {
  if (found.size() > limit) {
    std::partial_sort(found.begin(), found.begin() + static_cast<long>(limit), found.end(), better);
    found.resize(limit);
  } else {
    std::sort(found.begin(), found.end(), better);
  }
}

void apply_threshold(const QueryStage& stage, std::vector<Scored>& found) {
  if (!stage.params.has_threshold) return;
  std::erase_if(found, [&](const Scored& one) { return !(one.score >= stage.params.threshold); });
}

}  // namespace

Collection::QueryRun::QueryRun(const Collection& collection, const QueryStage& root) : collection_(collection), lock_(collection.state_mutex_) {
  plan_all(root);
  note_examples(root);
}

void Collection::QueryRun::note_examples(const QueryStage& stage) {
  for (const QueryInput& input : stage.inputs) {
    if (!input.by_id) continue;
    const uint32_t slot = collection_.ids_.find(input.id);
    if (slot != IdTable::kNone) examples_.push_back(slot);
  }
  for (const QueryStage& prefetch : stage.prefetch) note_examples(prefetch);
}

void Collection::QueryRun::plan_all(const QueryStage& root) {
  for (int attempt = 1;; ++attempt) {
    places_.clear();
    views_.clear();
    plan(root);
    if (std::all_of(views_.begin(), views_.end(), [](const View& view) { return view.exact; })) return;
    const uint64_t operation = collection_.operation_;
    lock_.unlock();
    for (const auto& [filter, place] : places_) collection_.narrow(views_[place], *filter);
    lock_.lock();
    if (collection_.operation_ == operation) return;
    if (attempt < kPlansMax) continue;
    // Under constant writes: points that changed meanwhile are left out, for a slot may be another point's by now.
    for (View& view : views_) {
      std::vector<uint32_t> changed;
      view.slots().for_each([&](uint32_t slot) {
        if (slot >= collection_.versions_.size() || collection_.versions_[slot] > operation) changed.push_back(slot);
      });
      // The mask is shared with the plans that are kept.
      auto left = std::make_shared<Bitset>(view.slots());
      for (const uint32_t slot : changed) left->reset(slot);
      view.mask = std::move(left);
      view.count -= std::min(view.count, changed.size());
    }
    return;
  }
}

void Collection::QueryRun::plan(const QueryStage& stage) {
  if (stage.kind == QueryKind::kOrderBy && !collection_.indexes_->is_ordered(stage.order_by.key)) {
    // The text is Qdrant's.
    throw Error(ErrorKind::kBadInput,
                "Wrong input: No range index for `order_by` key: `" + stage.order_by.key +
                    "`. Please create one to use `order_by`. Check https://qdrant.tech/documentation/concepts/indexing/#payload-index to see which "
                    "payload schemas support Range conditions",
                "order_by.key");
  }
  plan(stage.filter);
  plan(stage.idf_corpus);
  for (const QueryStage& prefetch : stage.prefetch) plan(prefetch);
}

void Collection::QueryRun::plan(const FilterRequest& filter) {
  if (!filter.present()) return;
  places_[&filter] = views_.size();
  views_.push_back(collection_.view(filter));
}

Collection::QueryRun::Field Collection::QueryRun::field_of(const QueryStage& stage) const {
  const size_t number = collection_.required_vector(stage.using_vector);
  const VectorField& field = collection_.record_.vectors[number];
  if (field.sparse) return {number, Distance::kDot, AnyVector::Kind::kSparse};
  return {number, field.distance, field.multi ? AnyVector::Kind::kMulti : AnyVector::Kind::kDense};
}

std::vector<Scored> Collection::QueryRun::run(const QueryStage& stage, size_t limit) {
  cancellation::check();
  if (!stage.prefetch.empty()) return merge(stage, limit);
  Scope scope;
  if (stage.filter.present()) {
    const View& view = view_of(stage);
    scope = {&view.slots(), view.count};
    if (view.count == 0) return {};
  }
  return score(stage, scope, limit, false);
}

std::vector<Scored> Collection::QueryRun::merge(const QueryStage& stage, size_t limit) {
  std::vector<std::vector<Scored>> lists;
  for (const QueryStage& prefetch : stage.prefetch) lists.push_back(run(prefetch, prefetch.limit));
  std::vector<Scored> found;
  switch (stage.kind) {
    case QueryKind::kRrf:
      found = fuse_ranks(lists, stage.rrf_k, stage.weights);
      break;
    case QueryKind::kDbsf:
      found = fuse_distributions(lists);
      break;
    case QueryKind::kFormula:
      return evaluate(stage, lists, limit);
    default: {
      Bitset sources;
      for (const auto& list : lists) {
        for (const Scored& one : list) sources.set(one.slot);
      }
      if (stage.filter.present()) sources.and_with(view_of(stage).slots());
      const size_t count = sources.count();
      if (count == 0) return {};
      return score(stage, {&sources, count}, limit, true);
    }
  }
  apply_threshold(stage, found);
  if (found.size() > limit) found.resize(limit);
  return found;
}

std::vector<Scored> Collection::QueryRun::score(const QueryStage& stage, Scope scope, size_t limit, bool rescoring) {
  Bitset without;
  if (!examples_.empty()) {
    without = scope.all() ? collection_.ids_.live() : *scope.allowed;
    for (const uint32_t slot : examples_) without.reset(slot);
    scope = {&without, without.count()};
  }
  if (stage.kind == QueryKind::kNone) return in_id_order(scope, limit);
  if (stage.kind == QueryKind::kSample) return sample(scope, limit);
  if (stage.kind == QueryKind::kOrderBy) return in_value_order(stage.order_by, scope, limit);
  if (stage.kind == QueryKind::kFormula || stage.kind == QueryKind::kRrf || stage.kind == QueryKind::kDbsf) {
    throw Error(ErrorKind::kBadInput, "Bad request: this query needs prefetches", "prefetch");
  }
  const Field field = field_of(stage);
  std::vector<AnyVector> inputs = resolve(stage, field);
  if (!scope.all() && scope.count == 0) return {};
  switch (stage.kind) {
    case QueryKind::kNearest: {
      const size_t candidates = stage.mmr ? (stage.mmr_candidates != 0 ? stage.mmr_candidates : limit) : limit;
      auto found = nearest(stage, field, inputs[0], scope, candidates, rescoring);
      return stage.mmr ? diversify(stage, field, inputs[0], std::move(found), limit) : found;
    }
    case QueryKind::kAverage:
      return nearest(stage, field, average(stage, field, inputs), scope, limit, rescoring);
    default:
      return judge(stage, field, inputs, scope, limit);
  }
}

// Inputs as vectors of the field.
std::vector<AnyVector> Collection::QueryRun::resolve(const QueryStage& stage, const Field& field) const {
  const VectorField& config = collection_.record_.vectors[field.number];
  std::vector<AnyVector> vectors;
  for (const QueryInput& input : stage.inputs) {
    if (input.by_id) {
      const uint32_t slot = collection_.ids_.find(input.id);
      if (slot == IdTable::kNone) throw Error(ErrorKind::kNotFound, "Not found: No point with id " + id_text(input.id) + " found", "query");
      AnyVector vector = stored(field, slot);
      if (vector.values.empty() && vector.indices.empty()) {
        throw Error(ErrorKind::kNotFound, "Not found: Point " + id_text(input.id) + " has no vector `" + config.name + "`", "query");
      }
      vectors.push_back(std::move(vector));
      continue;
    }
    AnyVector vector = input.vector;
    // A plain vector is a multivector of one.
    if (field.kind == AnyVector::Kind::kMulti && vector.kind == AnyVector::Kind::kDense) vector.kind = AnyVector::Kind::kMulti;
    if (vector.kind != field.kind) {
      const bool is_sparse = vector.kind == AnyVector::Kind::kSparse || field.kind == AnyVector::Kind::kSparse;
      throw Error(ErrorKind::kBadInput, std::string("Wrong input: Conversion between ") + (is_sparse ? "sparse" : "multi") + " and regular vectors failed",
                  "query");
    }
    float sum = 0;
    for (const float value : vector.values) sum += value - value;
    if (!(sum == 0)) throw Error(ErrorKind::kBadInput, "Wrong input: the query vector holds a value that is not finite", "query");
    if (field.kind != AnyVector::Kind::kSparse) {
      const size_t dim = vector.values.size() / std::max<size_t>(vector.rows, 1);
      if (dim != config.dim || vector.rows == 0) {
        throw Error(ErrorKind::kBadInput,
                    "Wrong input: Vector dimension error: expected dim: " + std::to_string(config.dim) + ", got " + std::to_string(dim), "query");
      }
      // A mean is taken of the examples as they came, and normalised afterwards.
      if (stage.kind != QueryKind::kAverage) {
        for (size_t row = 0; row < vector.rows; ++row) config.prepare(vector.values.data() + row * dim);
      }
    }
    vectors.push_back(std::move(vector));
  }
  return vectors;
}

AnyVector Collection::QueryRun::stored(const Field& field, uint32_t slot) const {
  AnyVector vector;
  vector.kind = field.kind;
  if (field.kind == AnyVector::Kind::kSparse) {
    const SparseIndex& index = collection_.sparse_[field.number];
    if (!index.contains(slot)) return vector;
    const SparseView of = index.get(slot);
    vector.indices.assign(of.indices, of.indices + of.count);
    vector.values.assign(of.values, of.values + of.count);
    return vector;
  }
  if (field.kind == AnyVector::Kind::kMulti) {
    vector.values = collection_.stored_multi(field.number, slot);
    vector.rows = static_cast<uint32_t>(vector.values.size() / collection_.record_.vectors[field.number].dim);
    return vector;
  }
  vector.values.resize(collection_.record_.vectors[field.number].dim);
  if (!collection_.vectors_[field.number]->get(slot, vector.values.data())) vector.values.clear();
  return vector;
}

AnyVector Collection::QueryRun::sparse_average(const QueryStage& stage, const std::vector<AnyVector>& inputs) {
  std::map<uint32_t, std::pair<float, float>> sums;
  for (size_t i = 0; i < inputs.size(); ++i) {
    for (size_t d = 0; d < inputs[i].indices.size(); ++d) {
      auto& [positive, negative] = sums[inputs[i].indices[d]];
      (i < stage.positives ? positive : negative) += inputs[i].values[d];
    }
  }
  AnyVector mean;
  mean.kind = AnyVector::Kind::kSparse;
  const size_t negatives = inputs.size() - stage.positives;
  for (const auto& [index, sum] : sums) {
    float value = sum.first / static_cast<float>(stage.positives);
    if (negatives > 0) value += value - sum.second / static_cast<float>(negatives);
    mean.indices.push_back(index);
    mean.values.push_back(value);
  }
  return mean;
}

// Multivectors have no mean: as Qdrant does, all their rows are asked for, those of the negatives turned round.
AnyVector Collection::QueryRun::all_rows(const QueryStage& stage, const Field& field, const std::vector<AnyVector>& inputs) const {
  const VectorField& config = collection_.record_.vectors[field.number];
  AnyVector all;
  all.kind = AnyVector::Kind::kMulti;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const float sign = i < stage.positives ? 1 : -1;
    for (const float value : inputs[i].values) all.values.push_back(sign * value);
  }
  all.rows = static_cast<uint32_t>(all.values.size() / config.dim);
  for (size_t row = 0; row < all.rows; ++row) config.prepare(all.values.data() + row * config.dim);
  return all;
}

// Mean of the positives, moved away from the mean of the negatives by their difference.
AnyVector Collection::QueryRun::average(const QueryStage& stage, const Field& field, const std::vector<AnyVector>& inputs) const {
  if (stage.positives == 0) {
    throw Error(ErrorKind::kBadInput, "Bad request: At least one positive vector ID required with this strategy", "query.recommend.positive");
  }
  AnyVector mean;
  mean.kind = field.kind;
  if (field.kind == AnyVector::Kind::kSparse) return sparse_average(stage, inputs);
  if (field.kind == AnyVector::Kind::kMulti) return all_rows(stage, field, inputs);
  const size_t dim = inputs[0].values.size();
  const size_t negatives = inputs.size() - stage.positives;
  mean.values.assign(dim, 0);
  std::vector<float> away(dim, 0);
  for (size_t i = 0; i < inputs.size(); ++i) {
    auto& to = i < stage.positives ? mean.values : away;
    for (size_t d = 0; d < dim; ++d) to[d] += inputs[i].values[d];
  }
  for (size_t d = 0; d < dim; ++d) {
    mean.values[d] /= static_cast<float>(stage.positives);
    if (negatives > 0) mean.values[d] += mean.values[d] - away[d] / static_cast<float>(negatives);
  }
  collection_.record_.vectors[field.number].prepare(mean.values.data());
  return mean;
}

std::vector<float> Collection::QueryRun::weights(const QueryStage& stage, const Field& field, const AnyVector& query) const {
  std::vector<float> values = query.values;
  const auto corpus = places_.find(&stage.idf_corpus);
  collection_.weigh(field.number, query.indices.data(), values, corpus == places_.end() ? nullptr : &views_[corpus->second].slots());
  return values;
}

std::vector<Scored> Collection::QueryRun::nearest(const QueryStage& stage, const Field& field, AnyVector query, Scope scope, size_t limit,
                                                  bool rescoring) const {
  if (field.kind == AnyVector::Kind::kSparse) {
    const std::vector<float> weighted = weights(stage, field, query);
    const SparseView of{query.indices.data(), weighted.data(), weighted.size()};
    std::vector<Scored> near;
    for (const SparseHit& hit : collection_.sparse_[field.number].search(of, limit, scope.allowed, scope.count)) near.push_back({hit.slot, hit.score});
    apply_threshold(stage, near);
    return near;
  }
  VectorSearch search;
  search.query = query.values.data();
  search.k = limit;
  search.ef = stage.params.ef;
  search.exact = stage.params.exact || rescoring;
  search.indexed_only = stage.params.indexed_only && !rescoring;
  search.originals = stage.params.ignore_codes;
  search.rescore = stage.params.rescore != 0;
  search.oversampling = stage.params.oversampling;
  search.has_threshold = stage.params.has_threshold;
  search.threshold = stage.params.threshold;
  if (!scope.all()) {
    search.allowed = scope.allowed;
    search.allowed_count = scope.count;
  }
  std::vector<VectorHit> hits;
  if (field.kind == AnyVector::Kind::kMulti) {
    hits = collection_.nearest_multi(field.number, collection_.max_sim(field.number, query.values.data(), query.rows), search);
  } else {
    collection_.vectors_[field.number]->search(search, hits);
  }
  std::vector<Scored> found;
  found.reserve(hits.size());
  for (const VectorHit& hit : hits) found.push_back({hit.slot, hit.score});
  return found;
}

std::vector<Scored> Collection::QueryRun::judge(const QueryStage& stage, const Field& field, const std::vector<AnyVector>& inputs, Scope scope,
                                                size_t limit) const {
  if (inputs.empty()) {
    const bool is_context = stage.kind == QueryKind::kContext;
    throw Error(ErrorKind::kBadInput,
                is_context ? "Bad request: At least one context pair is required" : "Bad request: At least one positive or negative vector ID required with this strategy",
                "query");
  }
  const size_t dim = inputs[0].values.size();
  const VectorIndex& index = *collection_.vectors_[field.number];
  std::vector<float> row(dim);
  const bool sparse = field.kind == AnyVector::Kind::kSparse;
  std::vector<std::vector<float>> weighted;
  if (sparse) {
    for (const AnyVector& input : inputs) weighted.push_back(weights(stage, field, input));
  }
  std::vector<float> summed;
  if (stage.kind == QueryKind::kFeedback && field.kind == AnyVector::Kind::kDense && (field.distance == Distance::kDot || field.distance == Distance::kCosine)) {
    std::vector<const std::vector<float>*> examples;
    for (const AnyVector& input : inputs) examples.push_back(&input.values);
    summed = weighted_sum(stage.weights, examples);
  }
  const std::vector<float> feedback = summed.empty() ? stage.weights : std::vector<float>{1};
  std::vector<MaxSimQuery> queries;
  if (field.kind == AnyVector::Kind::kMulti) {
    for (const AnyVector& input : inputs) queries.push_back(collection_.max_sim(field.number, input.values.data(), input.rows));
  }
  uint32_t judged = 0;
  const float* rows = nullptr;
  size_t row_count = 0;
  const auto similarity = [&](size_t i) {
    if (!queries.empty()) return queries[i].similarity(rows, row_count);
    if (!sparse) return raw_similarity(field.distance, (summed.empty() ? inputs[i].values : summed).data(), row.data(), dim);
    return collection_.sparse_similarity(field.number, inputs[i].indices, weighted[i], judged);
  };
  std::vector<Scored> found;
  cancellation::Stride<256> steps;
  const auto rate = [&](uint32_t slot) {
    steps.step();
    judged = slot;
    float score = 0;
    switch (stage.kind) {
      case QueryKind::kBestScore:
        score = best_score(stage.positives, inputs.size() - stage.positives, similarity);
        break;
      case QueryKind::kSumScores:
        score = sum_of_scores(stage.positives, inputs.size() - stage.positives, similarity);
        break;
      case QueryKind::kDiscover:
        score = discovery_score((inputs.size() - 1) / 2, similarity);
        break;
      case QueryKind::kFeedback:
        score = feedback_score(feedback, similarity);
        break;
      default:
        score = context_score(inputs.size() / 2, similarity);
    }
    if (stage.params.has_threshold && !(score > stage.params.threshold)) return;
    found.push_back({slot, score});
    // Keeps the memory of a scan over millions small.
    if (found.size() >= 4 * limit + 4096) keep_best(found, limit);
  };
  const auto visit = [&](uint32_t slot) {
    if (sparse ? collection_.sparse_[field.number].contains(slot) : index.get(slot, row.data())) rate(slot);
  };
  if (!queries.empty()) {
    collection_.visit_rows(field.number, scope.allowed, scope.count, [&](uint32_t slot, const float* of, size_t count) {
      rows = of;
      row_count = count;
      rate(slot);
    });
  } else if (scope.all()) {
    collection_.ids_.live().for_each(visit);
  } else {
    scope.allowed->for_each(visit);
  }
  keep_best(found, limit);
  return found;
}

std::vector<Scored> Collection::QueryRun::evaluate(const QueryStage& stage, const std::vector<std::vector<Scored>>& lists, size_t limit) const {
  std::map<uint32_t, size_t> places;
  std::vector<uint32_t> slots;
  for (const auto& list : lists) {
    for (const Scored& one : list) {
      if (places.try_emplace(one.slot, slots.size()).second) slots.push_back(one.slot);
    }
  }
  const float none = std::numeric_limits<float>::quiet_NaN();
  std::vector<std::vector<float>> scores(slots.size(), std::vector<float>(lists.size(), none));
  for (size_t list = 0; list < lists.size(); ++list) {
    for (const Scored& one : lists[list]) scores[places.at(one.slot)][list] = one.score;
  }
  std::vector<Scored> found;
  const LockedContext context(collection_);
  const IndexedTypes indexed = collection_.indexed_types();
  std::vector<rocksdb::PinnableSlice> payloads(kReadBatch);
  std::vector<rocksdb::Status> statuses(kReadBatch);
  for (size_t from = 0; from < slots.size(); from += kReadBatch) {
    cancellation::check();
    const size_t batch = std::min(kReadBatch, slots.size() - from);
    std::vector<std::string> keys;
    std::vector<rocksdb::Slice> slices;
    for (size_t i = 0; i < batch; ++i) keys.push_back(Store::point_key(collection_.cid_, collection_.ids_.id(slots[from + i])));
    for (const auto& key : keys) slices.emplace_back(key);
    collection_.store_.db().MultiGet(at(collection_.snapshot_.get()), collection_.store_.payloads(), batch, slices.data(), payloads.data(),
                                     statuses.data());
    for (size_t i = 0; i < batch; ++i) {
      if (!statuses[i].ok() && !statuses[i].IsNotFound()) check(statuses[i], "cannot read a payload");
      const uint32_t slot = slots[from + i];
      const PointId id = collection_.ids_.id(slot);
      const FilterPoint point{id, slot, statuses[i].ok() ? payloads[i].ToStringView() : std::string_view()};
      found.push_back({slot, stage.formula->evaluate({point, scores[from + i], context, indexed})});
      payloads[i].Reset();
    }
  }
  apply_threshold(stage, found);
  std::stable_sort(found.begin(), found.end(), [](const Scored& a, const Scored& b) { return a.score > b.score; });
  if (found.size() > limit) found.resize(limit);
  return found;
}

std::vector<Scored> Collection::QueryRun::in_id_order(Scope scope, size_t limit) const {
  std::vector<Scored> found;
  const std::string prefix = Store::cid_prefix(collection_.cid_);
  std::unique_ptr<rocksdb::Iterator> it(collection_.store_.db().NewIterator(at(collection_.snapshot_.get()), collection_.store_.points()));
  cancellation::Stride<256> steps;
  for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix) && found.size() < limit; it->Next()) {
    steps.step();
    const uint32_t slot = PointRecord::decode(it->value().ToStringView()).slot;
    if (scope.all() || scope.allowed->test(slot)) found.push_back({slot, 1.0f});
  }
  check(it->status(), "cannot read the points");
  return found;
}

std::vector<Scored> Collection::QueryRun::sample(Scope scope, size_t limit) const {
  std::vector<Scored> chosen;
  static thread_local std::mt19937_64 random{std::random_device{}()};
  size_t seen = 0;
  // Reservoir sampling: each point stays with the same chance.
  const auto visit = [&](uint32_t slot) {
    ++seen;
    if (chosen.size() < limit) {
      chosen.push_back({slot, 1.0f});
    } else if (const size_t place = random() % seen; place < limit) {
      chosen[place] = {slot, 1.0f};
    }
  };
  if (scope.all()) {
    collection_.ids_.live().for_each(visit);
  } else {
    scope.allowed->for_each(visit);
  }
  std::shuffle(chosen.begin(), chosen.end(), random);
  return chosen;
}

}  // namespace sealpoint
