// Points in the order of a key's values, straight from its index: no further than the limit asks for.
#include <algorithm>

#include "query_run.h"

namespace sealpoint {

namespace {

// Points of one value above which those that have no place any more are let go.
constexpr size_t kEqualsMax = 4096;

}  // namespace

// Equal values by id, against it when descending.
std::vector<Scored> Collection::QueryRun::in_value_order(const OrderBy& order, Scope scope, size_t limit) {
  order_values_.clear();
  std::vector<Scored> found;
  if (limit == 0) return found;
  size_t equals = 0;  // where the points of the last value begin
  const auto before = [&](const Scored& a, const Scored& b) {
    const PointId left = collection_.ids_.id(a.slot), right = collection_.ids_.id(b.slot);
    return order.walk.descending ? right < left : left < right;
  };
  const auto settle = [&] {
    const auto from = found.begin() + static_cast<long>(equals);
    if (found.size() > limit) {
      std::partial_sort(from, found.begin() + static_cast<long>(limit), found.end(), before);
      found.resize(limit);
      order_values_.resize(limit);
    } else {
      std::sort(from, found.end(), before);
    }
  };
  cancellation::Stride<1024> steps;
  collection_.indexes_->walk(order.key, order.walk, [&](const OrderValue& value, uint32_t slot) {
    steps.step();
    if (!scope.all() && !scope.allowed->test(slot)) return true;
    if (!found.empty() && !(value == order_values_.back())) {
      settle();
      if (found.size() >= limit) return false;
      equals = found.size();
    } else if (found.size() >= limit + kEqualsMax + (limit - equals)) {
      settle();
    }
    found.push_back({slot, 1.0f});
    order_values_.push_back(value);
    return true;
  });
  settle();
  return found;
}

}  // namespace sealpoint
