// The indexes by type of value.
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <unordered_map>
#include <utility>

#include "datetime.h"
#include "field_index.h"
#include "ordered.h"
#include "posting.h"

namespace sealpoint::filter {
namespace {

using payload::Kind;
using payload::Value;

OrderValue order_value(int64_t value) { return {true, value, 0}; }
OrderValue order_value(double value) { return {false, 0, value}; }

// The first value of an ascending (or descending) walk from `start` on; false when none can be there.
bool bound(const OrderValue& start, bool descending, double& out) {
  static_cast<void>(descending);
  out = start.is_integer ? static_cast<double>(start.integer) : start.number;
  return true;
}
bool bound(const OrderValue& start, bool descending, int64_t& out) {
  if (start.is_integer) {
    out = start.integer;
    return true;
  }
  constexpr double kEnd = 9223372036854775808.0;  // 2^63
  const double whole = descending ? std::floor(start.number) : std::ceil(start.number);
  if (descending ? whole < -kEnd : whole >= kEnd) return false;
  out = whole >= kEnd    ? std::numeric_limits<int64_t>::max()
        : whole < -kEnd ? std::numeric_limits<int64_t>::min()
                         : static_cast<int64_t>(whole);
  return true;
}

// Integer, float and datetime fields: values in order.
template <typename V>
class NumberIndex : public FieldIndex {
 public:
  bool is_ordered() const override { return true; }
  void walk(const OrderWalk& walk, const OrderVisit& visit) const override {
    V start{};
    if (walk.start && !bound(*walk.start, walk.descending, start)) return;
    const auto tell = [&](const V& value, uint32_t slot) { return visit(order_value(value), slot); };
    if (walk.descending) {
      values_.walk_back([&](const V& value) { return walk.start && start < value; }, tell);
    } else {
      values_.walk([&](const V& value) { return walk.start && value < start; }, tell);
    }
  }

 protected:
  using FieldIndex::FieldIndex;
  size_t apply(uint32_t slot, bool insert) override {
    sort_unique(found_);
    for (const V& value : found_) {
      if (insert) {
        values_.insert(value, slot);
      } else {
        values_.erase(value, slot, found_.size() == 1);
      }
    }
    const size_t count = found_.size();
    found_.clear();
    return count;
  }
  uint64_t typed_bytes() const override { return values_.bytes(); }
  bool save_typed(ByteWriter& out) const override {
    values_.write(out);
    return true;
  }
  bool load_typed(ByteReader& in, const SlotSet& without) override {
    values_.read(in, without);
    return true;
  }
  template <typename R>
  SlotSet in_range(const Range<R>& range) const {
    return values_.slots([&](const V& value) { return range.below(static_cast<R>(value)); },
                         [&](const V& value) { return range.above(static_cast<R>(value)); });
  }
  template <typename R>
  uint64_t count_range(const Range<R>& range) const {
    return values_.count([&](const V& value) { return range.below(static_cast<R>(value)); },
                         [&](const V& value) { return range.above(static_cast<R>(value)); });
  }
  SlotSet listed(const std::vector<int64_t>& integers) const {
    SlotSet slots;
    for (const int64_t integer : integers) {
      const V value = static_cast<V>(integer);
      slots.or_with(values_.slots([&](const V& other) { return other < value; }, [&](const V& other) { return value < other; }));
    }
    return slots;
  }
  Cardinality estimate_listed(const std::vector<int64_t>& integers) const {
    Cardinality out;
    for (const int64_t integer : integers) {
      const V value = static_cast<V>(integer);
      const uint64_t count =
          values_.count([&](const V& other) { return other < value; }, [&](const V& other) { return value < other; });
      out.min = std::max(out.min, count);
      out.max += count;
    }
    if (multi_.empty()) out.min = out.max;
    out.expected = out.max;
    return out.bounded(held_.count());
  }

  OrderedIndex<V> values_;
  std::vector<V> found_;
};

class IntegerIndex final : public NumberIndex<int64_t> {
 public:
  IntegerIndex(const payload::Path& path, const IndexParams& params) : NumberIndex(path), params_(params) {}
  bool is_ordered() const override { return params_.range; }
  bool has_facets() const override { return params_.lookup; }
  uint64_t facet_cost() const override { return values_.size(); }
  void facet(const FacetScope* among, const FacetVisit& visit) const override {
    FacetValue last{FacetValue::Kind::kInteger, {}, 0};
    uint64_t count = 0;
    bool any = false;
    values_.walk([](int64_t) { return false; },
                 [&](int64_t value, uint32_t slot) {
                   if (any && value != last.integer) {
                     visit(last, count);
                     count = 0;
                   }
                   any = true;
                   last.integer = value;
                   count += among == nullptr || among->dense.test(slot) ? 1 : 0;
                   return true;
                 });
    if (any) visit(last, count);
  }

 private:
  bool collect(const Value& value) override {
    if (value.kind != Kind::kInteger) return false;
    found_.push_back(value.integer);
    return true;
  }
  Answer ask_typed(const Condition& condition) const override {
    switch (condition.kind) {
      case ConditionKind::kMatchInteger:
      case ConditionKind::kAnyIntegers:
        return params_.lookup ? exactly(listed(condition.integers)) : Answer();
      case ConditionKind::kExceptIntegers:
        return params_.lookup ? except(listed(condition.integers)) : Answer();
      case ConditionKind::kRange: {
        if (!params_.range) return {};
        // A range speaks of all numbers, and doubles are not held here.
        SlotSet slots = in_range(condition.range);
        SlotSet unsure = foreign_numbers_;
        unsure.and_not(slots);
        const bool exact = unsure.empty();
        slots.or_with(unsure);
        return Answer{true, exact, false, std::move(slots)};
      }
      default:
        return {};
    }
  }
  bool estimate_typed(const Condition& condition, Cardinality& out) const override {
    switch (condition.kind) {
      case ConditionKind::kMatchInteger:
      case ConditionKind::kAnyIntegers:
        if (params_.lookup) out = estimate_listed(condition.integers);
        return params_.lookup;
      case ConditionKind::kExceptIntegers:
        if (params_.lookup) out = except(estimate_listed(condition.integers));
        return params_.lookup;
      case ConditionKind::kRange:
        if (!params_.range) return false;
        out = of_values(count_range(condition.range), values_.size());
        out.max += foreign_numbers_.count();
        return true;
      default:
        return false;
    }
  }
  uint64_t cost(const Condition& condition) const override {
    return condition.kind == ConditionKind::kRange ? count_range(condition.range) : 0;
  }

  const IndexParams params_;
};

class FloatIndex final : public NumberIndex<double> {
 public:
  explicit FloatIndex(const payload::Path& path) : NumberIndex(path) {}

 private:
  bool collect(const Value& value) override {
    if (value.kind == Kind::kInteger) {
      found_.push_back(static_cast<double>(value.integer));
    } else if (value.kind == Kind::kDouble && !std::isnan(value.number)) {
      found_.push_back(value.number);
    } else {
      return false;
    }
    return true;
  }
  Answer ask_typed(const Condition& condition) const override {
    switch (condition.kind) {
      case ConditionKind::kRange:
        return exactly(in_range(condition.range));
      case ConditionKind::kMatchInteger:
      case ConditionKind::kAnyIntegers:
        return at_most(listed(condition.integers));  // 1 and 1.0 are one value here, two to a match
      default:
        return {};
    }
  }
  bool estimate_typed(const Condition& condition, Cardinality& out) const override {
    switch (condition.kind) {
      case ConditionKind::kRange:
        out = of_values(count_range(condition.range), values_.size());
        return true;
      case ConditionKind::kMatchInteger:
      case ConditionKind::kAnyIntegers:
        out = estimate_listed(condition.integers);
        out.min = 0;
        return true;
      default:
        return false;
    }
  }
  uint64_t cost(const Condition& condition) const override {
    return condition.kind == ConditionKind::kRange ? count_range(condition.range) : 0;
  }
};

class DatetimeIndex final : public NumberIndex<int64_t> {
 public:
  explicit DatetimeIndex(const payload::Path& path) : NumberIndex(path) {}

 private:
  bool collect(const Value& value) override {
    int64_t micros;
    if (value.kind != Kind::kString || !parse_datetime(value.body, micros)) return false;
    found_.push_back(micros);
    return true;
  }
  Answer ask_typed(const Condition& condition) const override {
    if (condition.kind != ConditionKind::kDatetimeRange) return {};
    return exactly(in_range(condition.datetimes));
  }
  bool estimate_typed(const Condition& condition, Cardinality& out) const override {
    if (condition.kind != ConditionKind::kDatetimeRange) return false;
    out = of_values(count_range(condition.datetimes), values_.size());
    return true;
  }
  uint64_t cost(const Condition& condition) const override {
    return condition.kind == ConditionKind::kDatetimeRange ? count_range(condition.datetimes) : 0;
  }
};

class BoolIndex final : public FieldIndex {
 public:
  explicit BoolIndex(const payload::Path& path) : FieldIndex(path) {}
  bool has_facets() const override { return true; }
  uint64_t facet_cost() const override { return 2; }
  void facet(const FacetScope* among, const FacetVisit& visit) const override {
    for (int64_t flag = 0; flag < 2; ++flag) {
      visit({FacetValue::Kind::kBool, {}, flag}, among == nullptr ? slots_[flag].count() : slots_[flag].count_common(among->set));
    }
  }

 private:
  bool collect(const Value& value) override {
    if (value.kind != Kind::kBool) return false;
    found_[value.flag ? 1 : 0] = true;
    return true;
  }
  size_t apply(uint32_t slot, bool insert) override {
    size_t count = 0;
    for (size_t i = 0; i < 2; ++i) {
      if (!found_[i]) continue;
      found_[i] = false;
      ++count;
      if (insert) {
        slots_[i].add(slot);
      } else {
        slots_[i].remove(slot);
      }
    }
    return count;
  }
  Answer ask_typed(const Condition& condition) const override {
    if (condition.kind != ConditionKind::kMatchBool) return {};
    return exactly(slots_[condition.flag ? 1 : 0]);
  }
  bool estimate_typed(const Condition& condition, Cardinality& out) const override {
    if (condition.kind != ConditionKind::kMatchBool) return false;
    out = Cardinality::exactly(slots_[condition.flag ? 1 : 0].count());
    return true;
  }
  uint64_t typed_bytes() const override { return slots_[0].bytes() + slots_[1].bytes(); }
  bool save_typed(ByteWriter& out) const override {
    for (const SlotSet& slots : slots_) slots.write(out.bytes());
    return true;
  }
  bool load_typed(ByteReader& in, const SlotSet& without) override {
    for (SlotSet& slots : slots_) {
      slots = SlotSet::read(in);
      slots.and_not(without);
    }
    return true;
  }

  SlotSet slots_[2];
  bool found_[2] = {};
};

// Answers only is_empty, is_null and values_count, which every index does.
class PresenceIndex final : public FieldIndex {
 public:
  explicit PresenceIndex(const payload::Path& path) : FieldIndex(path) {}

 private:
  bool collect(const Value& value) override { return value.kind == Kind::kString; }
  size_t apply(uint32_t, bool) override { return 0; }
  Answer ask_typed(const Condition&) const override { return {}; }
  bool estimate_typed(const Condition&, Cardinality&) const override { return false; }
  uint64_t typed_bytes() const override { return 0; }
};

}  // namespace

std::unique_ptr<FieldIndex> FieldIndex::create(const payload::Path& path, FieldType type, const IndexParams& params) {
  switch (type) {
    case FieldType::kKeyword:
      return make_keyword_index(path, false, params);
    case FieldType::kUuid:
      return make_keyword_index(path, true, params);
    case FieldType::kInteger:
      return std::make_unique<IntegerIndex>(path, params);
    case FieldType::kFloat:
      return std::make_unique<FloatIndex>(path);
    case FieldType::kDatetime:
      return std::make_unique<DatetimeIndex>(path);
    case FieldType::kBool:
      return std::make_unique<BoolIndex>(path);
    case FieldType::kGeo:
      return make_geo_index(path);
    case FieldType::kText:
      if (params.text != nullptr) return make_text_index(path, params.text);
      break;
  }
  return std::make_unique<PresenceIndex>(path);
}

}  // namespace sealpoint::filter
