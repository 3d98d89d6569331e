// One payload against one filter, with Qdrant's semantics (lib/segment's condition and query checkers, 1.19).
#include "datetime.h"
#include "text_field.h"
#include "tree.h"

namespace sealpoint::filter {
namespace {

using payload::Kind;
using payload::Value;

// Inside a nested filter there is no point to ask: ids and vectors never match there.
struct Scope {
  const FilterPoint* point;
  const FilterContext& context;
  std::string_view entries;
  uint32_t map_field;
  const payload::Path* nested = nullptr;  // where the element stands; known when a field has a text index
};

bool check_filter(const FilterTree& tree, const Scope& scope);

bool check_value(const Condition& condition, const Value& value, bool by_uuid) {
  switch (condition.kind) {
    case ConditionKind::kMatchKeyword:
    case ConditionKind::kAnyKeywords:
      if (value.kind != Kind::kString) return false;
      if (by_uuid)
        return std::binary_search(condition.uuids.begin(), condition.uuids.end(), canonical_uuid(value.body));
      return condition.has_keyword(value.body);
    case ConditionKind::kExceptKeywords:
      if (value.kind != Kind::kString) return value.kind != Kind::kNull;
      if (by_uuid)
        return !std::binary_search(condition.uuids.begin(), condition.uuids.end(), canonical_uuid(value.body));
      return !condition.has_keyword(value.body);
    case ConditionKind::kMatchInteger:
    case ConditionKind::kAnyIntegers:
      return value.kind == Kind::kInteger && condition.has_integer(value.integer);
    case ConditionKind::kExceptIntegers:
      if (value.kind != Kind::kInteger) return value.kind != Kind::kNull;
      return !condition.has_integer(value.integer);
    case ConditionKind::kMatchPrefix:
      return value.kind == Kind::kString && value.body.starts_with(condition.text);
    case ConditionKind::kMatchBool:
      return value.kind == Kind::kBool && value.flag == condition.flag;
    case ConditionKind::kRange:
      if (value.kind == Kind::kInteger) return condition.range.contains(static_cast<double>(value.integer));
      return value.kind == Kind::kDouble && condition.range.contains(value.number);
    case ConditionKind::kDatetimeRange: {
      int64_t micros;
      return value.kind == Kind::kString && parse_datetime(value.body, micros) && condition.datetimes.contains(micros);
    }
    case ConditionKind::kGeoBox:
    case ConditionKind::kGeoRadius:
    case ConditionKind::kGeoPolygon: {
      GeoPoint point;
      return read_geo_point(value, point) && condition.contains(point);
    }
    default:
      return false;
  }
}

bool is_empty(const Value& value) {
  return value.kind == Kind::kNull || (value.kind == Kind::kList && value.body.empty());
}

bool is_null(const Value& value) {
  if (value.kind != Kind::kList) return value.kind == Kind::kNull;
  bool found = false;
  payload::for_each_element(value.body, [&](std::string_view bytes) {
    found = payload::read_value(bytes).kind == Kind::kNull;
    return !found;
  });
  return found;
}

uint64_t count_values(const Value& value) {
  if (value.kind == Kind::kNull) return 0;
  if (value.kind != Kind::kList) return 1;
  uint64_t count = 0;
  payload::for_each_element(value.body, [&](std::string_view) {
    ++count;
    return true;
  });
  return count;
}

template <typename Test>
bool any_value(const Condition& condition, const Scope& scope, Test test) {
  bool found = false;
  payload::for_each_value(scope.entries, scope.map_field, condition.path, [&](const Value& value) {
    found = test(value);
    return !found;
  });
  return found;
}

bool check_values_count(const Condition& condition, const Scope& scope) {
  bool missing = true;
  const bool found = any_value(condition, scope, [&](const Value& value) {
    missing = false;
    return condition.counts.contains(count_values(value));
  });
  return found || (missing && condition.counts.contains(0));
}

// With a text index the tokens of all values of a point count together, as they do in the index; elsewhere each value counts by itself.
bool check_text(const Condition& condition, const Scope& scope) {
  const TextMatch match = condition.kind == ConditionKind::kMatchText      ? TextMatch::kAll
                          : condition.kind == ConditionKind::kMatchTextAny ? TextMatch::kAny
                                                                           : TextMatch::kPhrase;
  const TextField* field = nullptr;
  if (const TextFields* fields = scope.context.text_fields()) {
    const auto at = fields->find(scope.nested == nullptr ? condition.key : scope.nested->extend(condition.path).canonical());
    if (at != fields->end()) field = at->second.get();
  }
  if (field != nullptr && match == TextMatch::kPhrase && !field->phrases()) return false;
  const bool together = field != nullptr && scope.nested == nullptr;
  const std::vector<std::string> own = field == nullptr ? std::vector<std::string>() : field->query(condition.text);
  const std::vector<std::string>& tokens = field == nullptr ? condition.tokens : own;
  if (tokens.empty()) return false;
  TextCheck check(field == nullptr ? TextField::plain() : *field, match, tokens);
  bool found = false;
  for_each_flat_value(scope.entries, scope.map_field, condition.path, [&](const Value& value) {
    if (value.kind != Kind::kString) return true;
    found = check.take(value.body);
    if (!together) check.forget();
    return !found;
  });
  return found;
}

bool check_nested(const Condition& condition, const Scope& scope) {
  bool found = false;
  payload::Path path;
  if (scope.context.text_fields() != nullptr) path = (scope.nested == nullptr ? condition.path : scope.nested->extend(condition.path)).array_key();
  const payload::Path* const nested = path.items.empty() ? nullptr : &path;
  payload::for_each_value(scope.entries, scope.map_field, condition.path.array_key(), [&](const Value& value) {
    if (value.kind != Kind::kStruct) return true;
    found = check_filter(*condition.inner, Scope{nullptr, scope.context, value.body, payload::kStructField, nested});
    return !found;
  });
  return found;
}

bool check_condition(const Condition& condition, const Scope& scope) {
  switch (condition.kind) {
    case ConditionKind::kValuesCount:
      return check_values_count(condition, scope);
    case ConditionKind::kIsEmpty:
      return !any_value(condition, scope, [](const Value& value) { return !is_empty(value); });
    case ConditionKind::kIsNull:
      return any_value(condition, scope, is_null);
    case ConditionKind::kHasId:
      return scope.point != nullptr && condition.ids.contains(scope.point->id);
    case ConditionKind::kHasVector:
      return scope.point != nullptr && scope.context.has_vector(condition.vector_name, scope.point->slot);
    case ConditionKind::kSlice:
      return scope.point != nullptr && condition.slice.contains(scope.point->id);
    case ConditionKind::kMatchText:
    case ConditionKind::kMatchTextAny:
    case ConditionKind::kMatchPhrase:
      return check_text(condition, scope);
    case ConditionKind::kNested:
      return check_nested(condition, scope);
    case ConditionKind::kFilter:
      return check_filter(*condition.inner, scope);
    default: {
      const bool by_uuid =
          scope.point != nullptr && !condition.keywords.empty() && scope.context.is_uuid_field(condition.key);
      bool found = false;
      for_each_flat_value(scope.entries, scope.map_field, condition.path, [&](const Value& value) {
        found = check_value(condition, value, by_uuid);
        return !found;
      });
      return found;
    }
  }
}

bool check_filter(const FilterTree& tree, const Scope& scope) {
  const auto holds = [&](const Condition& condition) { return check_condition(condition, scope); };
  if (!std::all_of(tree.must.begin(), tree.must.end(), holds)) return false;
  if (std::any_of(tree.must_not.begin(), tree.must_not.end(), holds)) return false;
  if (!tree.should.empty() && std::none_of(tree.should.begin(), tree.should.end(), holds)) return false;
  if (!tree.has_min_should) return true;
  uint32_t count = 0;
  for (const Condition& condition : tree.min_should) {
    if (count >= tree.min_count) break;
    count += holds(condition) ? 1 : 0;
  }
  return count >= tree.min_count;
}

bool read_number(const Value& value, double& number) {
  if (value.kind == Kind::kDouble) number = value.number;
  if (value.kind == Kind::kInteger) number = static_cast<double>(value.integer);
  return value.kind == Kind::kDouble || value.kind == Kind::kInteger;
}

}  // namespace

bool FilterProgram::matches(const FilterPoint& point, const FilterContext& context) const {
  return check_filter(tree_, Scope{&point, context, point.payload, payload::kRootField});
}

}  // namespace sealpoint::filter

namespace sealpoint {

bool Filter::fulfils(const filter::Condition& condition, const FilterPoint& point, const FilterContext& context) {
  return filter::check_condition(condition, filter::Scope{&point, context, point.payload, payload::kRootField});
}

}  // namespace sealpoint

namespace sealpoint::filter {

bool read_geo_point(const Value& value, GeoPoint& point) {
  if (value.kind != Kind::kStruct) return false;
  bool lon = false, lat = false;
  payload::for_each_entry(value.body, payload::kStructField, [&](const payload::Entry& entry) {
    if (entry.key == "lon") lon = read_number(payload::read_value(entry.value), point.lon);
    if (entry.key == "lat") lat = read_number(payload::read_value(entry.value), point.lat);
    return true;
  });
  return lon && lat;
}

std::string canonical_uuid(std::string_view text) {
  std::string_view rest = text;
  if (rest.substr(0, 9) == "urn:uuid:") {
    rest.remove_prefix(9);
  } else if (rest.size() == 38 && rest.front() == '{' && rest.back() == '}') {
    rest = rest.substr(1, 36);
  }
  const bool hyphens = rest.size() == 36;
  if (!hyphens && rest.size() != 32) return std::string(text);
  std::string out;
  for (size_t i = 0; i < rest.size(); ++i) {
    char c = rest[i];
    if (hyphens && (i == 8 || i == 13 || i == 18 || i == 23)) {
      if (c != '-') return std::string(text);
      continue;
    }
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return std::string(text);
    if (out.size() == 8 || out.size() == 13 || out.size() == 18 || out.size() == 23) out.push_back('-');
    out.push_back(c);
  }
  return out;
}

}  // namespace sealpoint::filter
