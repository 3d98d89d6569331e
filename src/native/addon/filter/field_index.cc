#include "field_index.h"

#include <cmath>
#include <functional>
#include <unordered_map>
#include <utility>

#include "datetime.h"
#include "ordered.h"
#include "posting.h"

namespace sealpoint::filter {
namespace {

using payload::Kind;
using payload::Value;

template <typename T>
void sort_unique(std::vector<T>& values) {
  std::sort(values.begin(), values.end());
  // By < alone, as the ordered index compares: 0.0 and -0.0 are one value.
  values.erase(std::unique(values.begin(), values.end(), [](const T& a, const T& b) { return !(a < b) && !(b < a); }),
               values.end());
}

Answer exactly(Bitset slots) { return Answer{true, true, std::move(slots)}; }
Answer at_most(Bitset slots) { return Answer{true, false, std::move(slots)}; }

class KeywordIndex final : public FieldIndex {
 public:
  KeywordIndex(const payload::Path& path, bool uuid, bool grouped) : FieldIndex(path), uuid_(uuid), grouped_(grouped) {}

  uint32_t group_of(uint32_t slot) const override { return slot < groups_.size() ? groups_[slot] : 0; }

 private:
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  bool collect(const Value& value) override {
    if (value.kind != Kind::kString) return false;
    found_.push_back(uuid_ ? canonical_uuid(value.body) : std::string(value.body));
    return true;
  }
  size_t apply(uint32_t slot, bool insert) override {
    sort_unique(found_);
    for (std::string& text : found_) {
      auto at = postings_.find(text);
      if (insert) {
        if (at == postings_.end()) {
          text_bytes_ += text.size() > 15 ? text.size() + 1 : 0;
          at = postings_.emplace(text, Posting()).first;
        }
        at->second.insert(slot);
        // A slot with several values stands with the first of them.
        if (grouped_ && &text == &found_.front()) group(slot, at->first);
      } else if (at != postings_.end()) {
        at->second.erase(slot);
        if (at->second.count() == 0) {
          text_bytes_ -= text.size() > 15 ? text.size() + 1 : 0;
          if (grouped_) group_numbers_.erase(at->first);
          postings_.erase(at);
        }
      }
    }
    if (!insert && slot < groups_.size()) groups_[slot] = 0;
    const size_t count = found_.size();
    found_.clear();
    return count;
  }
  // Numbers are given in the order of the values' coming and never twice, so a value that goes and comes back is
  // another group: that costs an order of rows, never an answer.
  void group(uint32_t slot, const std::string& text) {
    if (slot >= groups_.size()) groups_.resize(slot + size_t{1} + slot / 8);
    uint32_t& number = group_numbers_[text];
    if (number == 0) number = ++last_group_;
    groups_[slot] = number;
  }
  Answer ask_typed(const Condition& condition) const override {
    switch (condition.kind) {
      case ConditionKind::kMatchKeyword:
      case ConditionKind::kAnyKeywords:
        return exactly(listed(condition));
      case ConditionKind::kExceptKeywords:
        return except(listed(condition));
      default:
        return {};
    }
  }
  uint64_t typed_bytes() const override {
    uint64_t total = postings_.bucket_count() * sizeof(void*) + text_bytes_ + groups_.capacity() * sizeof(uint32_t);
    for (const auto& [text, number] : group_numbers_) total += sizeof(text) + text.capacity() + 3 * sizeof(void*);
    for (const auto& [text, posting] : postings_) total += sizeof(text) + 2 * sizeof(void*) + posting.bytes();
    return total;
  }
  Bitset listed(const Condition& condition) const {
    Bitset slots;
    for (const std::string& keyword : uuid_ ? condition.uuids : condition.keywords) {
      const auto at = postings_.find(std::string_view(keyword));
      if (at != postings_.end()) at->second.add_to(slots);
    }
    return slots;
  }

  const bool uuid_;
  const bool grouped_;
  std::unordered_map<std::string, Posting, TextHash, std::equal_to<>> postings_;
  uint64_t text_bytes_ = 0;
  std::vector<std::string> found_;
  std::vector<uint32_t> groups_;  // by slot
  std::unordered_map<std::string, uint32_t> group_numbers_;
  uint32_t last_group_ = 0;
};

// Integer, float and datetime fields: values in order.
template <typename V>
class NumberIndex : public FieldIndex {
 protected:
  using FieldIndex::FieldIndex;
  size_t apply(uint32_t slot, bool insert) override {
    sort_unique(found_);
    for (const V& value : found_) {
      if (insert) {
        values_.insert(value, slot);
      } else {
        values_.erase(value, slot);
      }
    }
    const size_t count = found_.size();
    found_.clear();
    return count;
  }
  uint64_t typed_bytes() const override { return values_.bytes(); }
  template <typename R>
  Bitset in_range(const Range<R>& range) const {
    Bitset slots;
    values_.scan([&](const V& value) { return range.below(static_cast<R>(value)); },
                 [&](const V& value) { return range.above(static_cast<R>(value)); },
                 [&](const V&, uint32_t slot) { slots.set(slot); });
    return slots;
  }
  Bitset listed(const std::vector<int64_t>& integers) const {
    Bitset slots;
    for (const int64_t integer : integers) {
      const V value = static_cast<V>(integer);
      values_.scan([&](const V& other) { return other < value; }, [&](const V& other) { return value < other; },
                   [&](const V&, uint32_t slot) { slots.set(slot); });
    }
    return slots;
  }

  OrderedIndex<V> values_;
  std::vector<V> found_;
};

class IntegerIndex final : public NumberIndex<int64_t> {
 public:
  explicit IntegerIndex(const payload::Path& path) : NumberIndex(path) {}

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
        return exactly(listed(condition.integers));
      case ConditionKind::kExceptIntegers:
        return except(listed(condition.integers));
      case ConditionKind::kRange: {
        // A range speaks of all numbers, and doubles are not held here.
        Bitset slots = in_range(condition.range);
        Bitset unsure = foreign_numbers_;
        unsure.and_not(slots);
        const bool exact = unsure.count() == 0;
        slots.or_with(unsure);
        return Answer{true, exact, std::move(slots)};
      }
      default:
        return {};
    }
  }
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
};

class BoolIndex final : public FieldIndex {
 public:
  explicit BoolIndex(const payload::Path& path) : FieldIndex(path) {}

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
        slots_[i].set(slot);
      } else {
        slots_[i].reset(slot);
      }
    }
    return count;
  }
  Answer ask_typed(const Condition& condition) const override {
    if (condition.kind != ConditionKind::kMatchBool) return {};
    return exactly(slots_[condition.flag ? 1 : 0]);
  }
  uint64_t typed_bytes() const override { return (slots_[0].words().capacity() + slots_[1].words().capacity()) * 8; }

  Bitset slots_[2];
  bool found_[2] = {};
};

// Points in the order of their latitude: a condition reads its band of latitudes and checks each point there. Latitude
// alone narrows a radius of some kilometres to about a thousandth of the world, and nothing has to be kept per cell.
class GeoIndex final : public FieldIndex {
 public:
  explicit GeoIndex(const payload::Path& path) : FieldIndex(path) {}

 private:
  struct ByLatitude {
    GeoPoint point;
    bool operator<(const ByLatitude& other) const {
      return point.lat < other.point.lat || (point.lat == other.point.lat && point.lon < other.point.lon);
    }
  };

  bool collect(const Value& value) override {
    GeoPoint point;
    if (!read_geo_point(value, point) || std::isnan(point.lon) || std::isnan(point.lat)) return false;
    found_.push_back({point});
    return true;
  }
  size_t apply(uint32_t slot, bool insert) override {
    sort_unique(found_);
    for (const ByLatitude& value : found_) {
      if (insert) {
        values_.insert(value, slot);
      } else {
        values_.erase(value, slot);
      }
    }
    const size_t count = found_.size();
    found_.clear();
    return count;
  }
  Answer ask_typed(const Condition& condition) const override {
    double low = -90, high = 90;
    bool outside = false;
    switch (condition.kind) {
      case ConditionKind::kGeoBox:
        low = condition.box.bottom_right.lat;
        high = condition.box.top_left.lat;
        break;
      case ConditionKind::kGeoRadius: {
        // On the globe no way is shorter than the difference of latitudes; a little is added for rounding. Points that
        // are not on the globe (latitude beyond 90) follow no such rule and are all checked.
        const double degrees = condition.radius.metres / kEarthRadiusMetres * 57.29577951308232 * (1 + 1e-9) + 1e-9;
        low = condition.radius.center.lat - degrees;
        high = condition.radius.center.lat + degrees;
        outside = true;
        break;
      }
      case ConditionKind::kGeoPolygon:
        low = 1e308;
        high = -1e308;
        for (const GeoPoint& corner : condition.polygon.exterior) {
          low = std::min(low, corner.lat);
          high = std::max(high, corner.lat);
        }
        break;
      default:
        return {};
    }
    Bitset slots;
    const auto visit = [&](const ByLatitude& value, uint32_t slot) {
      if (condition.contains(value.point)) slots.set(slot);
    };
    values_.scan([&](const ByLatitude& v) { return v.point.lat < low; },
                 [&](const ByLatitude& v) { return v.point.lat > high; }, visit);
    if (outside) {
      values_.scan([](const ByLatitude&) { return false; }, [](const ByLatitude& v) { return v.point.lat >= -90; },
                   visit);
      values_.scan([](const ByLatitude& v) { return v.point.lat <= 90; }, [](const ByLatitude&) { return false; },
                   visit);
    }
    return exactly(std::move(slots));
  }
  uint64_t typed_bytes() const override { return values_.bytes(); }

  OrderedIndex<ByLatitude> values_;
  std::vector<ByLatitude> found_;
};

// Text conditions come with a later issue; until then the index answers only is_empty and is_null.
class TextIndex final : public FieldIndex {
 public:
  explicit TextIndex(const payload::Path& path) : FieldIndex(path) {}

 private:
  bool collect(const Value& value) override { return value.kind == Kind::kString; }
  size_t apply(uint32_t, bool) override { return 0; }
  Answer ask_typed(const Condition&) const override { return {}; }
  uint64_t typed_bytes() const override { return 0; }
};

}  // namespace

std::unique_ptr<FieldIndex> FieldIndex::create(const payload::Path& path, FieldType type, bool grouped) {
  switch (type) {
    case FieldType::kKeyword:
      return std::make_unique<KeywordIndex>(path, false, grouped);
    case FieldType::kUuid:
      return std::make_unique<KeywordIndex>(path, true, grouped);
    case FieldType::kInteger:
      return std::make_unique<IntegerIndex>(path);
    case FieldType::kFloat:
      return std::make_unique<FloatIndex>(path);
    case FieldType::kDatetime:
      return std::make_unique<DatetimeIndex>(path);
    case FieldType::kBool:
      return std::make_unique<BoolIndex>(path);
    case FieldType::kGeo:
      return std::make_unique<GeoIndex>(path);
    case FieldType::kText:
      break;
  }
  return std::make_unique<TextIndex>(path);
}

FieldIndex::Traits FieldIndex::read(std::string_view bytes) {
  Traits traits;
  const auto element = [&](const Value& value) {
    if (value.kind == Kind::kNull) {
      traits.null = true;
    } else if (collect(value)) {
      traits.held = true;
    } else {
      traits.foreign = true;
      traits.foreign_number = traits.foreign_number || value.kind == Kind::kDouble || value.kind == Kind::kInteger;
    }
  };
  payload::for_each_value(bytes, payload::kRootField, path_, [&](const Value& value) {
    if (value.kind == Kind::kList) {
      traits.filled = traits.filled || !value.body.empty();
      payload::for_each_element(value.body, [&](std::string_view inner) {
        element(payload::read_value(inner));
        return true;
      });
    } else {
      traits.filled = traits.filled || value.kind != Kind::kNull;
      element(value);
    }
    return true;
  });
  return traits;
}

void FieldIndex::insert(uint32_t slot, std::string_view payload) {
  const Traits traits = read(payload);
  if (apply(slot, true) > 1) multi_.set(slot);
  if (traits.held && !held_.test(slot)) {
    held_.set(slot);
    ++points_;
  }
  if (traits.foreign) foreign_.set(slot);
  if (traits.foreign_number) foreign_numbers_.set(slot);
  if (traits.filled) filled_.set(slot);
  if (traits.null) nulls_.set(slot);
}

void FieldIndex::erase(uint32_t slot, std::string_view payload) {
  read(payload);
  apply(slot, false);
  if (held_.test(slot)) --points_;
  for (Bitset* set : {&held_, &multi_, &foreign_, &foreign_numbers_, &filled_, &nulls_}) set->reset(slot);
}

Answer FieldIndex::ask(const Condition& condition) const {
  switch (condition.kind) {
    case ConditionKind::kIsNull:
      return exactly(nulls_);
    case ConditionKind::kExceptKeywords:
    case ConditionKind::kExceptIntegers: {
      Answer answer = ask_typed(condition);
      return answer.known ? std::move(answer) : at_most(any_value());
    }
    default:
      return ask_typed(condition);
  }
}

Bitset FieldIndex::any_value() const {
  Bitset slots = held_;
  slots.or_with(foreign_);
  return slots;
}

Answer FieldIndex::except(const Bitset& union_of_listed) const {
  // A slot with one value is out when that value is listed; one with several may hold others besides and has to be
  // looked at.
  Bitset unsure = union_of_listed;
  unsure.and_with(multi_);
  unsure.and_not(foreign_);
  const bool exact = unsure.count() == 0;
  Bitset slots = held_;
  slots.and_not(union_of_listed);
  slots.or_with(unsure);
  slots.or_with(foreign_);
  return Answer{true, exact, std::move(slots)};
}

uint64_t FieldIndex::bytes() const {
  uint64_t total = typed_bytes();
  for (const Bitset* set : {&held_, &multi_, &foreign_, &foreign_numbers_, &filled_, &nulls_})
    total += set->words().capacity() * 8;
  return total;
}

}  // namespace sealpoint::filter
