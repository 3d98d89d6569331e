// A decoded filter program: what filter.cc checks against one payload and planner.cc turns into a set of slots.
#pragma once
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "../core/point_id.h"
#include "../payload/json_path.h"
#include "../payload/wire.h"
#include "filter.h"
#include "geo.h"
#include "slice.h"

namespace sealpoint::filter {

// The numbers stand in programs; src/filter/encode.ts has the same.
enum class ConditionKind : uint8_t {
  kMatchKeyword = 1,
  kMatchInteger = 2,
  kMatchBool = 3,
  kAnyKeywords = 4,
  kAnyIntegers = 5,
  kExceptKeywords = 6,
  kExceptIntegers = 7,
  kRange = 8,
  kDatetimeRange = 9,
  kGeoBox = 10,
  kGeoRadius = 11,
  kGeoPolygon = 12,
  kValuesCount = 13,
  kIsEmpty = 14,
  kIsNull = 15,
  kHasId = 16,
  kHasVector = 17,
  kNested = 18,
  kFilter = 19,
  kMatchText = 21,
  kMatchTextAny = 22,
  kMatchPhrase = 23,
  kMatchPrefix = 24,
  kSlice = 30,
};

template <typename T>
struct Range {
  std::optional<T> lt, lte, gt, gte;
  bool below(T value) const { return (gt && !(value > *gt)) || (gte && !(value >= *gte)); }
  bool above(T value) const { return (lt && !(value < *lt)) || (lte && !(value <= *lte)); }
  bool contains(T value) const { return !below(value) && !above(value); }
};

struct FilterTree;

struct Condition {
  ConditionKind kind = ConditionKind::kFilter;
  payload::Path path;
  std::string key;                    // canonical text of path
  std::string text;                   // of a match by text, phrase or prefix
  std::vector<std::string> tokens;    // of `text`, as it is compared with a field that has no text index
  std::vector<std::string> keywords;  // sorted; one for a match
  std::vector<std::string> uuids;     // keywords in the canonical form of a UUID where they are one; sorted
  std::vector<int64_t> integers;      // sorted; one for a match
  bool flag = false;
  Range<double> range;
  Range<int64_t> datetimes;
  Range<uint64_t> counts;
  GeoBox box;
  GeoRadius radius;
  GeoPolygon polygon;
  std::unordered_set<PointId, PointIdHash> ids;
  std::string vector_name;
  IdSlice slice;
  std::unique_ptr<FilterTree> inner;

  bool has_keyword(std::string_view text) const { return std::binary_search(keywords.begin(), keywords.end(), text); }
  bool has_integer(int64_t value) const { return std::binary_search(integers.begin(), integers.end(), value); }
  bool contains(const GeoPoint& point) const {
    return kind == ConditionKind::kGeoBox      ? box.contains(point)
           : kind == ConditionKind::kGeoRadius ? radius.contains(point)
                                               : polygon.contains(point);
  }
};

struct FilterTree {
  std::vector<Condition> must, should, must_not, min_should;
  bool has_min_should = false;
  uint32_t min_count = 0;
};

class FilterProgram final : public Filter {
 public:
  explicit FilterProgram(FilterTree tree);
  bool matches(const FilterPoint& point, const FilterContext& context) const override;
  bool needs_payload() const override { return needs_payload_; }
  const FilterTree& tree() const { return tree_; }

 private:
  FilterTree tree_;
  bool needs_payload_;
};

// Lower-case hyphenated form of a UUID in any form that Qdrant takes; the text itself when it is none.
std::string canonical_uuid(std::string_view text);

// A payload object with numbers under lon and lat.
bool read_geo_point(const payload::Value& value, GeoPoint& point);

// Visit(const payload::Value&) -> bool, false ends the walk: what a field condition looks at, which is every value at
// the path, or its elements when it is an array (one level, as at Qdrant).
template <typename Visit>
void for_each_flat_value(std::string_view entries, uint32_t map_field, const payload::Path& path, Visit visit) {
  payload::for_each_value(entries, map_field, path, [&](const payload::Value& value) {
    if (value.kind != payload::Kind::kList) return static_cast<bool>(visit(value));
    bool go_on = true;
    payload::for_each_element(value.body, [&](std::string_view bytes) {
      go_on = visit(payload::read_value(bytes));
      return go_on;
    });
    return go_on;
  });
}

}  // namespace sealpoint::filter
