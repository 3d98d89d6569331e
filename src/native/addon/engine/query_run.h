// One query over one collection: its stages from the leaves up, all over one state of the collection.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "collection.h"
#include "collection_view.h"
#include "query_stage.h"

namespace sealpoint {

// Greater is nearer: for euclid minus the squared distance, for manhattan minus the distance.
inline float raw_similarity(Distance distance, const float* a, const float* b, size_t dim) {
  const float score = exact_score(distance, a, b, dim);
  if (distance == Distance::kEuclid) return -score * score;
  return distance == Distance::kManhattan ? -score : score;
}

class Collection::QueryRun {
 public:
  // [no lock] Plans the filters, narrows what the indexes leave open, and then holds the shared lock until the object goes or release().
  QueryRun(const Collection& collection, const QueryStage& root);

  // Best first; at most `limit`. A point with several values comes once for each when the stage orders by their key.
  std::vector<Scored> run(const QueryStage& stage, size_t limit);
  // The values beside what run() found last, when its stage orders by a key.
  const std::vector<OrderValue>& order_values() const { return order_values_; }
  // The points of the stage's filter, once the plan is exact; nullptr: all.
  const Bitset* allowed(const QueryStage& stage) const { return stage.filter.present() ? &view_of(stage).slots() : nullptr; }
  const Snapshot& snapshot() const { return collection_.snapshot_; }
  void release() { lock_.unlock(); }

 private:
  // What a stage may find: the points of its filter, without the examples of the tree.
  struct Scope {
    const Bitset* allowed = nullptr;  // nullptr: every point
    size_t count = 0;
    bool all() const { return allowed == nullptr; }
  };
  struct Field {
    size_t number;
    Distance distance;
    AnyVector::Kind kind;
  };

  void plan_all(const QueryStage& root);
  void plan(const QueryStage& stage);
  void plan(const FilterRequest& filter);
  void note_examples(const QueryStage& stage);
  const View& view_of(const QueryStage& stage) const { return views_[places_.at(&stage.filter)]; }
  // A sparse query as it is scored: weighted by how rare its dimensions are, if the field asks for it.
  std::vector<float> weights(const QueryStage& stage, const Field& field, const AnyVector& query) const;
  Field field_of(const QueryStage& stage) const;
  std::vector<AnyVector> resolve(const QueryStage& stage, const Field& field) const;
  AnyVector stored(const Field& field, uint32_t slot) const;
  static AnyVector sparse_average(const QueryStage& stage, const std::vector<AnyVector>& inputs);
  AnyVector all_rows(const QueryStage& stage, const Field& field, const std::vector<AnyVector>& inputs) const;
  AnyVector average(const QueryStage& stage, const Field& field, const std::vector<AnyVector>& inputs) const;

  std::vector<Scored> merge(const QueryStage& stage, size_t limit);
  std::vector<Scored> score(const QueryStage& stage, Scope scope, size_t limit, bool rescoring);
  std::vector<Scored> nearest(const QueryStage& stage, const Field& field, AnyVector query, Scope scope, size_t limit, bool rescoring) const;
  std::vector<Scored> judge(const QueryStage& stage, const Field& field, const std::vector<AnyVector>& inputs, Scope scope, size_t limit) const;
  std::vector<Scored> diversify(const QueryStage& stage, const Field& field, const AnyVector& query, std::vector<Scored> found, size_t limit) const;
  std::vector<Scored> evaluate(const QueryStage& stage, const std::vector<std::vector<Scored>>& lists, size_t limit) const;
  std::vector<Scored> in_id_order(Scope scope, size_t limit) const;
  std::vector<Scored> in_value_order(const OrderBy& order, Scope scope, size_t limit);
  std::vector<Scored> sample(Scope scope, size_t limit) const;

  const Collection& collection_;
  std::shared_lock<FairSharedMutex> lock_;
  std::map<const FilterRequest*, size_t> places_;
  std::vector<View> views_;
  std::vector<OrderValue> order_values_;
  // Points that stand for their vectors anywhere in the tree: no stage answers them, as in Qdrant.
  std::vector<uint32_t> examples_;
};

}  // namespace sealpoint
