#include "planner.h"

#include <chrono>
#include <numeric>

namespace sealpoint::filter {
namespace {

// To read and judge one payload takes the time in which an index reads so many of its values.
constexpr uint64_t kValuesPerJudgement = 500;
// Steps of the counting that min_should takes; above it the plan is a superset.
constexpr size_t kMinShouldStepsMax = 4096;
// Indexes that one plan asks for.
constexpr size_t kWantedMax = 8;

// Nested: an element without the key fulfils these, and leaves no trace in an index.
bool of_absence(ConditionKind kind) { return kind == ConditionKind::kIsEmpty || kind == ConditionKind::kValuesCount; }

PlanNode* child_of(PlanNode* node, const char* what) {
  if (node == nullptr) return nullptr;
  node->children.emplace_back();
  node->children.back().what = what;
  return &node->children.back();
}

}  // namespace

int64_t steady_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

FilterPlan Planner::plan(const FilterTree& tree, PlanNode* explain) {
  if (explain != nullptr) explain->what = "filter";
  Part part = filter(tree, nullptr, explain);
  FilterPlan plan;
  plan.count = count(part);
  plan.exact = part.exact || plan.count == 0;  // a superset without members is the answer
  plan.temporary = temporary_;
  plan.wanted = std::move(wanted_);
  if (part.negated) {
    plan.slots = context_.live();
    part.slots.remove_from(plan.slots);
  } else {
    part.slots.add_to(plan.slots);
  }
  return plan;
}

void Planner::intersect(Part& into, Part&& other) {
  into.exact = into.exact && other.exact;
  if (other.all()) return;
  if (into.negated && !other.negated) {
    other.slots.and_not(into.slots);
    into.slots = std::move(other.slots);
    into.negated = false;
  } else if (into.negated) {
    into.slots.or_with(other.slots);
  } else if (other.negated) {
    into.slots.and_not(other.slots);
  } else {
    into.slots.and_with(other.slots);
  }
}

void Planner::unite(Part& into, Part&& other) {
  into.exact = into.exact && other.exact;
  if (!into.negated && other.negated) {
    other.slots.and_not(into.slots);
    into.slots = std::move(other.slots);
    into.negated = true;
  } else if (!into.negated) {
    into.slots.or_with(other.slots);
  } else if (!other.negated) {
    into.slots.and_not(other.slots);
  } else {
    into.slots.and_with(other.slots);
  }
}

// What indexes hold is live, so a count needs no look at the slots.
uint64_t Planner::count(const Part& part) const {
  const uint64_t slots = part.slots.count();
  return part.negated ? live_ - std::min(live_, slots) : slots;
}

// `prefix` is the array path of the nested filter that the tree stands in; what is planned there is never exact,
// because the index does not know which values stand in one element.
Planner::Part Planner::filter(const FilterTree& tree, const payload::Path* prefix, PlanNode* node) {
  Part out;
  if (!tree.must.empty()) out = all_of(tree.must, prefix, child_of(node, "must"));
  if (!tree.should.empty() && !out.none()) intersect(out, any_of(tree.should, prefix, child_of(node, "should")));
  if (tree.has_min_should && !out.none()) intersect(out, min_should(tree, prefix, child_of(node, "min_should")));
  if (!tree.must_not.empty() && !out.none()) {
    PlanNode* const list = child_of(node, "must_not");
    Part without;
    for (const Condition& condition : tree.must_not) {
      Part part = this->condition(condition, prefix, child_of(list, name_of(condition.kind)));
      if (part.exact) {
        part.negated = !part.negated;
        intersect(without, std::move(part));
      } else {
        without.exact = false;  // who is in a superset may still be none of it
      }
    }
    if (list != nullptr) {
      list->exact = without.exact;
      list->slots = count(without);
      list->nested = prefix != nullptr;
      for (PlanNode& child : list->children) child.nested = prefix != nullptr;
      Cardinality estimate = Cardinality::exactly(live_);
      for (const PlanNode& child : list->children) {
        const Cardinality other = child.estimate.negated(live_);
        estimate = {estimate.min - std::min(estimate.min, live_ - other.min), estimate.expected * other.expected / std::max<uint64_t>(live_, 1),
                    std::min(estimate.max, other.max)};
      }
      list->estimate = estimate;
    }
    intersect(out, std::move(without));
  }
  if (prefix != nullptr) out.exact = false;
  if (out.none()) out.exact = true;
  if (node != nullptr) {
    node->exact = out.exact;
    node->slots = count(out);
    node->estimate = estimate(tree, prefix);
  }
  return out;
}

Planner::Part Planner::all_of(const std::vector<Condition>& conditions, const payload::Path* prefix, PlanNode* node) {
  std::vector<size_t> order(conditions.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (conditions.size() > 1) {
    // The rarest first: what few are left may be judged for less than the others cost.
    std::vector<uint64_t> expected;
    expected.reserve(conditions.size());
    for (const Condition& condition : conditions) {
      // Each point is asked for its vector, or for its id: last.
      const bool last = condition.kind == ConditionKind::kSlice ||
                        (condition.kind == ConditionKind::kHasVector && context_.vector_count(condition.vector_name) == FilterContext::kUnknown);
      expected.push_back(last ? FilterContext::kUnknown : estimate(condition, prefix).expected);
    }
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return expected[a] < expected[b]; });
  }
  Part out;
  for (const size_t at : order) {
    const Condition& condition = conditions[at];
    PlanNode* const child = child_of(node, name_of(condition.kind));
    if (out.none() && child == nullptr) break;
    if (!out.negated && cost(condition, prefix) > (out.slots.count() + 1) * kValuesPerJudgement) {
      out.exact = false;
      if (child != nullptr) {
        child->key = condition.key;
        child->condition = &condition;
        child->nested = prefix != nullptr;
        child->access = PlanNode::Access::kFew;
        child->type = find(condition, key_of(condition, prefix)).type;
        child->estimate = estimate(condition, prefix);
        child->slots = live_;
        child->exact = false;
      }
      continue;
    }
    if (condition.kind == ConditionKind::kHasVector && prefix == nullptr && child == nullptr) {
      intersect(out, with_vector(condition, &out));
    } else if (condition.kind == ConditionKind::kSlice && prefix == nullptr && child == nullptr) {
      intersect(out, in_slice(condition, &out));
    } else {
      intersect(out, this->condition(condition, prefix, child));
    }
  }
  if (out.none()) out.exact = true;
  if (node != nullptr) {
    node->exact = out.exact;
    node->slots = count(out);
    node->nested = prefix != nullptr;
    FilterTree only;
    Cardinality estimate = Cardinality::exactly(live_);
    for (const PlanNode& child : node->children) {
      estimate = {estimate.min - std::min(estimate.min, live_ - std::min(live_, child.estimate.min)),
                  estimate.expected * child.estimate.expected / std::max<uint64_t>(live_, 1), std::min(estimate.max, child.estimate.max)};
    }
    node->estimate = estimate;
  }
  return out;
}

Planner::Part Planner::any_of(const std::vector<Condition>& conditions, const payload::Path* prefix, PlanNode* node) {
  Part out{false, true, {}};
  Cardinality estimate;
  for (const Condition& condition : conditions) {
    PlanNode* const child = child_of(node, name_of(condition.kind));
    unite(out, this->condition(condition, prefix, child));
    if (child == nullptr && out.all() && out.exact) break;
  }
  if (node != nullptr) {
    node->exact = out.exact;
    node->slots = count(out);
    node->nested = prefix != nullptr;
    double none = 1;
    for (const PlanNode& child : node->children) {
      estimate.min = std::max(estimate.min, child.estimate.min);
      estimate.max += child.estimate.max;
      none *= 1 - static_cast<double>(child.estimate.expected) / static_cast<double>(std::max<uint64_t>(live_, 1));
    }
    estimate.expected = static_cast<uint64_t>(static_cast<double>(live_) * (1 - none) + 0.5);
    node->estimate = estimate.bounded(live_);
  }
  return out;
}

Planner::Part Planner::min_should(const FilterTree& tree, const payload::Path* prefix, PlanNode* node) {
  const std::vector<Condition>& conditions = tree.min_should;
  const auto told = [&](Part part) {
    if (node != nullptr) {
      node->exact = part.exact;
      node->slots = count(part);
      node->nested = prefix != nullptr;
      node->estimate = {0, count(part), count(part)};
    }
    return part;
  };
  if (tree.min_count == 0) return told({});
  if (tree.min_count > conditions.size()) return told({false, true, {}});
  if (tree.min_count == 1) return any_of(conditions, prefix, node);
  if (tree.min_count == conditions.size()) return all_of(conditions, prefix, node);
  if (tree.min_count * conditions.size() > kMinShouldStepsMax) {
    Part out = any_of(conditions, prefix, node);
    out.exact = false;
    return out;
  }
  // least[n]: the slots with more than n of the conditions so far.
  std::vector<Part> least(tree.min_count);
  for (Part& part : least) part = {false, true, {}};
  for (const Condition& condition : conditions) {
    Part part = this->condition(condition, prefix, child_of(node, name_of(condition.kind)));
    for (size_t n = least.size() - 1; n > 0; --n) {
      Part both = least[n - 1];
      intersect(both, Part(part));
      unite(least[n], std::move(both));
    }
    unite(least[0], std::move(part));
  }
  return told(std::move(least.back()));
}

Planner::Part Planner::condition(const Condition& condition, const payload::Path* prefix, PlanNode* node) {
  const auto told = [&](PlanNode::Access access, Part part) {
    if (node != nullptr) {
      node->access = access;
      node->exact = part.exact;
      node->slots = count(part);
      if (access != PlanNode::Access::kParts) node->estimate = access == PlanNode::Access::kJudged ? estimate(condition, prefix) : Cardinality::exactly(node->slots);
    }
    return part;
  };
  if (node != nullptr) {
    node->key = condition.key;
    node->condition = &condition;
    node->nested = prefix != nullptr;
  }
  switch (condition.kind) {
    case ConditionKind::kFilter:
      return told(PlanNode::Access::kParts, filter(*condition.inner, prefix, node));
    case ConditionKind::kNested: {
      const payload::Path path = (prefix == nullptr ? condition.path : prefix->extend(condition.path)).array_key();
      return told(PlanNode::Access::kParts, filter(*condition.inner, &path, node));
    }
    case ConditionKind::kHasId: {
      if (prefix != nullptr) return told(PlanNode::Access::kJudged, {true, false, {}});
      std::vector<uint32_t> slots;
      uint32_t slot;
      for (const PointId& id : condition.ids) {
        if (context_.slot_of(id, slot)) slots.push_back(slot);
      }
      return told(PlanNode::Access::kIds, {false, true, SlotSet::from(slots)});
    }
    case ConditionKind::kHasVector:
      if (prefix != nullptr) return told(PlanNode::Access::kJudged, {true, false, {}});
      return told(PlanNode::Access::kVectors, with_vector(condition, nullptr));
    case ConditionKind::kSlice:
      if (prefix != nullptr) return told(PlanNode::Access::kJudged, {true, false, {}});
      return told(PlanNode::Access::kIds, in_slice(condition, nullptr));
    default:
      return field(condition, prefix, node);
  }
}

Planner::Found Planner::find(const Condition& condition, const std::string& key) const {
  const auto permanent = indexes_.find(key);
  Found found;
  if (permanent != indexes_.end()) {
    found = {permanent->second.index.get(), permanent->second.type, nullptr};
    // Another index would compare a uuid field's keywords by their spelling.
    if (found.type == FieldType::kUuid) return found;
    if (found.type == type_for(condition.kind) || condition.kind == ConditionKind::kIsNull || of_absence(condition.kind)) return found;
  }
  const auto temporary = temporaries_.find({key, type_for(condition.kind)});
  if (temporary != temporaries_.end()) return {temporary->second.index.get(), temporary->first.second, &temporary->second};
  return found;
}

void Planner::want(const Condition& condition, const std::string& key) {
  if (of_text(condition.kind)) return;
  WantedIndex wanted{key, type_for(condition.kind)};
  const auto permanent = indexes_.find(key);
  if (permanent != indexes_.end()) {
    // An index that was told not to answer is no index that lacks; nor helps one of its own type.
    const FieldType type = permanent->second.type;
    if (type == wanted.type || type == FieldType::kUuid || type == FieldType::kInteger) return;
  }
  if (temporaries_.contains({wanted.key, wanted.type})) return;
  if (wanted_.size() >= kWantedMax || std::find(wanted_.begin(), wanted_.end(), wanted) != wanted_.end()) return;
  wanted_.push_back(std::move(wanted));
}

Planner::Part Planner::field(const Condition& condition, const payload::Path* prefix, PlanNode* node) {
  const std::string key = key_of(condition, prefix);
  const auto judged = [&] {
    if (node != nullptr) {
      node->access = PlanNode::Access::kJudged;
      node->exact = false;
      node->slots = live_;
      node->estimate = Cardinality::unknown(live_);
    }
    return Part{true, false, {}};
  };
  if (prefix != nullptr && of_absence(condition.kind)) return judged();
  const Found found = find(condition, key);
  if (found.index == nullptr) {
    want(condition, key);
    return judged();
  }
  Answer answer = found.index->ask(condition);
  if (found.temporary != nullptr) {
    temporary_ = true;
    found.temporary->used_ms.store(steady_ms(), std::memory_order_relaxed);
  }
  if (!answer.known || !answer.exact) want(condition, key);
  if (!answer.known) return judged();
  Part part{answer.negated, answer.exact && prefix == nullptr, std::move(answer.slots)};
  if (node != nullptr) {
    node->access = found.temporary != nullptr ? PlanNode::Access::kTemporaryIndex : PlanNode::Access::kIndex;
    node->type = found.type;
    node->exact = part.exact;
    node->slots = count(part);
    node->estimate = estimate(condition, prefix);
  }
  return part;
}

uint64_t Planner::cost(const Condition& condition, const payload::Path* prefix) const {
  if (condition.kind < ConditionKind::kRange || condition.kind > ConditionKind::kGeoPolygon) return 0;
  const Found found = find(condition, key_of(condition, prefix));
  return found.index == nullptr ? 0 : found.index->cost(condition);
}

Cardinality Planner::estimate(const Condition& condition, const payload::Path* prefix) const {
  switch (condition.kind) {
    case ConditionKind::kFilter:
      return estimate(*condition.inner, prefix);
    case ConditionKind::kNested: {
      const payload::Path path = (prefix == nullptr ? condition.path : prefix->extend(condition.path)).array_key();
      Cardinality inner = estimate(*condition.inner, &path);
      inner.min = 0;
      return inner;
    }
    case ConditionKind::kHasId:
      return Cardinality{0, condition.ids.size(), condition.ids.size()}.bounded(live_);
    case ConditionKind::kSlice:
      return Cardinality{0, live_ / condition.slice.total, live_};
    case ConditionKind::kHasVector: {
      const uint64_t count = context_.vector_count(condition.vector_name);
      return count == FilterContext::kUnknown ? Cardinality{0, live_, live_} : Cardinality::exactly(count).bounded(live_);
    }
    default:
      break;
  }
  Cardinality out = Cardinality::unknown(live_);
  if (prefix != nullptr && of_absence(condition.kind)) return out;
  const Found found = find(condition, key_of(condition, prefix));
  if (found.index == nullptr || !found.index->estimate(condition, live_, out)) return Cardinality::unknown(live_);
  return out;
}

Cardinality Planner::estimate(const FilterTree& tree, const payload::Path* prefix) const {
  const double all = static_cast<double>(std::max<uint64_t>(live_, 1));
  Cardinality out = Cardinality::exactly(live_);
  const auto both = [&](const Cardinality& other) {
    out = {out.min - std::min(out.min, live_ - std::min(live_, other.min)),
           static_cast<uint64_t>(static_cast<double>(out.expected) * static_cast<double>(other.expected) / all + 0.5), std::min(out.max, other.max)};
  };
  const auto any = [&](const std::vector<Condition>& conditions) {
    Cardinality either;
    double none = 1;
    for (const Condition& condition : conditions) {
      const Cardinality each = estimate(condition, prefix);
      either.min = std::max(either.min, each.min);
      either.max += each.max;
      none *= 1 - static_cast<double>(each.expected) / all;
    }
    either.expected = static_cast<uint64_t>(all * (1 - none) + 0.5);
    return either.bounded(live_);
  };
  for (const Condition& condition : tree.must) both(estimate(condition, prefix));
  if (!tree.should.empty()) both(any(tree.should));
  if (tree.has_min_should && tree.min_count > 0) {
    Cardinality some = any(tree.min_should);
    if (tree.min_count > 1) some = {0, some.expected / tree.min_count, some.max};
    both(tree.min_count > tree.min_should.size() ? Cardinality() : some);
  }
  for (const Condition& condition : tree.must_not) both(estimate(condition, prefix).negated(live_));
  return out;
}

}  // namespace sealpoint::filter
