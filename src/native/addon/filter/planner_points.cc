// Conditions that speak of points and not of their payloads: each candidate is asked, so they come last.
#include "planner.h"

namespace sealpoint::filter {

Planner::Part Planner::with_vector(const Condition& condition, const Part* candidates) const {
  const uint64_t count = context_.vector_count(condition.vector_name);
  if (count == 0) return {false, true, {}};
  if (count == live_) return {};
  std::vector<uint32_t> slots;
  const auto ask = [&](uint32_t slot) {
    if (context_.has_vector(condition.vector_name, slot)) slots.push_back(slot);
  };
  if (candidates != nullptr && !candidates->negated) {
    candidates->slots.for_each(ask);
  } else {
    context_.live().for_each(ask);
  }
  return {false, true, SlotSet::from(slots)};
}

Planner::Part Planner::in_slice(const Condition& condition, const Part* candidates) const {
  std::vector<uint32_t> slots;
  const auto ask = [&](uint32_t slot) {
    if (condition.slice.contains(context_.id_of(slot))) slots.push_back(slot);
  };
  if (condition.slice.total == 1) return {};
  if (candidates != nullptr && !candidates->negated) {
    candidates->slots.for_each(ask);
  } else {
    context_.live().for_each(ask);
  }
  return {false, true, SlotSet::from(slots)};
}

}  // namespace sealpoint::filter
