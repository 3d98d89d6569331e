#include "fusion.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

namespace sealpoint {

namespace {

// Adds scores up by point, keeping the order in which points were first met for equal sums.
class Sums {
 public:
  void add(uint32_t slot, float score) {
    const auto [place, is_new] = places_.try_emplace(slot, sums_.size());
    if (is_new) {
      sums_.push_back({slot, score});
    } else {
      sums_[place->second].score += score;
    }
  }
  std::vector<Scored> best_first() {
    std::stable_sort(sums_.begin(), sums_.end(), [](const Scored& a, const Scored& b) { return a.score > b.score; });
    return std::move(sums_);
  }

 private:
  std::unordered_map<uint32_t, size_t> places_;
  std::vector<Scored> sums_;
};

}  // namespace

std::vector<Scored> fuse_ranks(const std::vector<std::vector<Scored>>& lists, uint32_t k, const std::vector<float>& weights) {
  Sums sums;
  for (size_t list = 0; list < lists.size(); ++list) {
    const float weight = weights.empty() ? 1.0f : weights[list];
    for (size_t rank = 0; rank < lists[list].size(); ++rank) {
      const float place = static_cast<float>(rank) + 1.0f;
      const float score = weight > 0 ? 1.0f / (place / weight + static_cast<float>(k) - 1.0f) : 0.0f;
      sums.add(lists[list][rank].slot, score);
    }
  }
  return sums.best_first();
}

std::vector<Scored> fuse_distributions(const std::vector<std::vector<Scored>>& lists) {
  Sums sums;
  for (const auto& list : lists) {
    double mean = 0, variance = 0;
    for (const Scored& one : list) mean += one.score;
    mean /= static_cast<double>(std::max<size_t>(list.size(), 1));
    for (const Scored& one : list) variance += (one.score - mean) * (one.score - mean);
    if (list.size() > 1) variance /= static_cast<double>(list.size() - 1);
    const double low = mean - 3 * std::sqrt(variance);
    const double width = 6 * std::sqrt(variance);
    for (const Scored& one : list) {
      // One point alone, or all alike: nothing tells them apart.
      sums.add(one.slot, width == 0 ? 0.5f : static_cast<float>((one.score - low) / width));
    }
  }
  return sums.best_first();
}

}  // namespace sealpoint
