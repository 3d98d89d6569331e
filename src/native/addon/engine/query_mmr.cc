// Maximal marginal relevance: answers that are near and unlike each other.
#include <algorithm>
#include <limits>

#include "query_run.h"

namespace sealpoint {

// Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998) over the candidates, with Qdrant's choice among equals: the last one.
std::vector<Scored> Collection::QueryRun::diversify(const QueryStage& stage, const Field& field, const AnyVector& query, std::vector<Scored> found,
                                                    size_t limit) const {
  const float lambda = 1.0f - stage.diversity;
  const bool multi = field.kind == AnyVector::Kind::kMulti;
  std::vector<AnyVector> vectors(found.size());
  if (multi) {
    // All at once, as they are compared.
    std::map<uint32_t, AnyVector*> places;
    Bitset slots;
    for (size_t i = 0; i < found.size(); ++i) {
      places[found[i].slot] = &vectors[i];
      slots.set(found[i].slot);
    }
    const size_t dim = collection_.record_.vectors[field.number].dim;
    collection_.visit_rows(field.number, &slots, found.size(), [&](uint32_t slot, const float* rows, size_t count) {
      places.at(slot)->values.assign(rows, rows + count * dim);
      places.at(slot)->rows = static_cast<uint32_t>(count);
    });
  } else {
    for (size_t i = 0; i < found.size(); ++i) vectors[i] = stored(field, found[i].slot);
  }
  // MaxSim is not symmetric: `vector` asks.
  const auto alike = [&](const AnyVector& vector, const AnyVector& other, uint32_t slot) {
    if (multi) return collection_.max_sim(field.number, vector.values.data(), vector.rows).similarity(other.values.data(), other.rows);
    if (field.kind == AnyVector::Kind::kSparse) return collection_.sparse_similarity(field.number, vector.indices, vector.values, slot);
    return raw_similarity(field.distance, vector.values.data(), other.values.data(), vector.values.size());
  };
  std::vector<float> relevance;
  for (size_t i = 0; i < found.size(); ++i) relevance.push_back(alike(query, vectors[i], found[i].slot));
  std::vector<size_t> pending(found.size());
  for (size_t i = 0; i < pending.size(); ++i) pending[i] = i;
  // Greatest similarity with a chosen one, by candidate.
  std::vector<float> nearest_chosen(found.size(), -std::numeric_limits<float>::infinity());
  std::vector<Scored> chosen;
  while (chosen.size() < limit && !pending.empty()) {
    cancellation::check();
    size_t best = 0;
    float best_score = -std::numeric_limits<float>::infinity();
    for (size_t place = 0; place < pending.size(); ++place) {
      const size_t i = pending[place];
      const float score = chosen.empty() ? relevance[i] : lambda * relevance[i] - (1.0f - lambda) * nearest_chosen[i];
      if (score >= best_score) {
        best_score = score;
        best = place;
      }
    }
    const size_t taken = pending[best];
    pending[best] = pending.back();
    pending.pop_back();
    chosen.push_back(found[taken]);
    for (const size_t i : pending) {
      const float similarity = alike(vectors[i], vectors[taken], found[taken].slot);
      nearest_chosen[i] = std::max(nearest_chosen[i], similarity);
    }
  }
  return chosen;
}

}  // namespace sealpoint
