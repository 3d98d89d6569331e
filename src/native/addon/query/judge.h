// Scores that compare a point with several vectors: recommend by best score or sum, discover, context and relevance feedback. `similarity(i)` is the raw
// similarity with example i (greater is nearer; for euclid minus the squared distance, for manhattan minus the distance).
#pragma once
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "../core/cancellation.h"

namespace sealpoint {

inline float fast_sigmoid(float x) { return std::isfinite(x) ? x / (1.0f + std::fabs(x)) : x; }
inline float scaled_fast_sigmoid(float x) { return 0.5f * (fast_sigmoid(x) + 1.0f); }

// Examples: positives, then negatives.
template <typename Similarity>
float best_score(size_t positives, size_t negatives, Similarity similarity) {
  float positive = -std::numeric_limits<float>::infinity(), negative = positive;
  for (size_t i = 0; i < positives; ++i) positive = std::max(positive, similarity(i));
  for (size_t i = 0; i < negatives; ++i) negative = std::max(negative, similarity(positives + i));
  return positive > negative ? scaled_fast_sigmoid(positive) : -scaled_fast_sigmoid(negative);
}

template <typename Similarity>
float sum_of_scores(size_t positives, size_t negatives, Similarity similarity) {
  float positive = 0, negative = 0;
  for (size_t i = 0; i < positives; ++i) positive += similarity(i);
  for (size_t i = 0; i < negatives; ++i) negative += similarity(positives + i);
  return positive - negative;
}

// Examples: the target, then positive and negative of each pair. The pairs decide, the target orders what they leave equal.
template <typename Similarity>
float discovery_score(size_t pairs, Similarity similarity) {
  int rank = 0;
  for (size_t i = 0; i < pairs; ++i) {
    const float positive = similarity(1 + 2 * i), negative = similarity(2 + 2 * i);
    rank += positive > negative ? 1 : positive == negative ? 0 : -1;
  }
  return static_cast<float>(rank) + scaled_fast_sigmoid(similarity(0));
}

// Examples: positive and negative of each pair. 0 for a point on the right side of every pair, less the farther it is on a wrong one.
template <typename Similarity>
float context_score(size_t pairs, Similarity similarity) {
  float score = 0;
  for (size_t i = 0; i < pairs; ++i) {
    const float difference = similarity(2 * i) - similarity(2 * i + 1) - std::numeric_limits<float>::epsilon();
    score += fast_sigmoid(std::min(difference, 0.0f));
  }
  return score;
}

// Qdrant's naive relevance feedback: a times the similarity with the target, and for each ordered pair of examples of which the first has
// the greater score (their difference is d) d^b * c times how much nearer the point is to the first.
struct FeedbackCoefficients {
  float a = 1, b = 1, c = 1;
};

// That sum is linear in the similarities, so it is one weight for the target and one for each example, in this order: n products a point
// where the pairs have n * (n - 1).
inline std::vector<float> feedback_weights(const FeedbackCoefficients& naive, const std::vector<float>& scores) {
  std::vector<double> sums(scores.size(), 0);
  for (size_t i = 0; i < scores.size(); ++i) {
    cancellation::check();
    for (size_t j = 0; j < scores.size(); ++j) {
      const float confidence = scores[i] - scores[j];
      if (!(confidence > 0)) continue;
      const double of_pair = std::pow(confidence, naive.b) * naive.c;
      sums[i] += of_pair;
      sums[j] -= of_pair;
    }
  }
  std::vector<float> weights{naive.a};
  for (const double sum : sums) weights.push_back(static_cast<float>(sum));
  return weights;
}

// Dot products are linear, too: with the examples summed up by their weights there is one product a point.
inline std::vector<float> weighted_sum(const std::vector<float>& weights, const std::vector<const std::vector<float>*>& examples) {
  std::vector<double> sum(examples.empty() ? 0 : examples[0]->size(), 0);
  for (size_t i = 0; i < examples.size(); ++i) {
    if (weights[i] == 0) continue;
    for (size_t d = 0; d < sum.size(); ++d) sum[d] += static_cast<double>(weights[i]) * (*examples[i])[d];
  }
  return {sum.begin(), sum.end()};
}

// -infinity for what is no number, as the difference of two scores without bound is.
template <typename Similarity>
float feedback_score(const std::vector<float>& weights, Similarity similarity) {
  double score = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] != 0) score += static_cast<double>(weights[i]) * similarity(i);
  }
  return std::isnan(score) ? -std::numeric_limits<float>::infinity() : static_cast<float>(score);
}

}  // namespace sealpoint
