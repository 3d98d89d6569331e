// Filter programs, little endian; src/filter/encode.ts writes them and says the same at its top. `text` is a u32 length
// and the bytes.
//
//   program   = u8 version (1), filter
//   filter    = list must, list should, list must_not, u8 flag, [flag 1: u32 min_count, list conditions]
//   list      = u32 count, condition...
//   condition = u8 kind (ConditionKind), then for the kinds with a key: text key, then
//     match_keyword text | match_integer i64 | match_bool u8
//     any/except keywords: u32 count, text... | any/except integers: u32 count, i64...
//     range: u8 flags (1 lt, 2 lte, 4 gt, 8 gte), f64 for each in this order
//     datetime_range: the same in i64 | values_count: the same in u64
//     geo_box: f64 lon, lat (top left), lon, lat (bottom right) | geo_radius: f64 lon, lat, metres
//     geo_polygon: u32 rings (the exterior first), each u32 points, f64 lon, lat...
//     is_empty, is_null: nothing | nested: filter | match_text, match_text_any, match_phrase, match_prefix: text
//   without a key: has_id u32 count, ids (u8 0 and u64, or u8 1 and 16 bytes) | has_vector text | filter filter
//
// A program is checked here in full, whoever wrote it: depth, counts and sizes are bounded before anything is
// allocated.
#include <cmath>
#include <utility>

#include "../core/bytes.h"
#include "../core/status.h"
#include "text_field.h"
#include "tree.h"

namespace sealpoint::filter {
namespace {

// core/limits.ts: filterDepthMax, filterConditionsMax, idsPerRequestMax, filterValuesMax, filterTextBytesMax.
constexpr size_t kDepthMax = 32;
constexpr size_t kConditionsMax = 10'000;
constexpr size_t kIdsMax = 1'000'000;
constexpr size_t kValuesMax = 100'000;
constexpr size_t kTextBytesMax = 64 * 1024;

[[noreturn]] void fail(const std::string& what) { throw Error(ErrorKind::kBadInput, "filter: " + what, "filter"); }

class Decoder {
 public:
  explicit Decoder(std::string_view program) : in_(program) {}

  FilterTree decode() {
    if (in_.u8() != 1) fail("unknown program version");
    FilterTree tree = filter(1);
    if (!in_.done()) fail("bytes after the end of the program");
    return tree;
  }

 private:
  FilterTree filter(size_t depth) {
    if (depth > kDepthMax) fail("nested more than " + std::to_string(kDepthMax) + " deep");
    FilterTree tree;
    tree.must = list(depth);
    tree.should = list(depth);
    tree.must_not = list(depth);
    tree.has_min_should = boolean();
    if (tree.has_min_should) {
      tree.min_count = in_.u32();
      tree.min_should = list(depth);
    }
    return tree;
  }

  std::vector<Condition> list(size_t depth) {
    const uint32_t count = in_.u32();
    conditions_ += count;
    if (conditions_ > kConditionsMax) fail("more than " + std::to_string(kConditionsMax) + " conditions");
    bounded(count, 1);
    std::vector<Condition> conditions;
    conditions.reserve(count);
    for (uint32_t i = 0; i < count; ++i) conditions.push_back(condition(depth));
    return conditions;
  }

  Condition condition(size_t depth) {
    Condition out;
    const uint8_t kind = in_.u8();
    if ((kind < 1 || kind > 24 || kind == 20) && kind != static_cast<uint8_t>(ConditionKind::kSlice)) fail("unknown kind of condition");
    out.kind = static_cast<ConditionKind>(kind);
    if (out.kind != ConditionKind::kHasId && out.kind != ConditionKind::kHasVector &&
        out.kind != ConditionKind::kFilter && out.kind != ConditionKind::kSlice) {
      out.path = payload::Path::parse(in_.text(), "filter.key");
      out.key = out.path.canonical();
    }
    switch (out.kind) {
      case ConditionKind::kMatchKeyword:
        out.keywords.emplace_back(in_.text());
        break;
      case ConditionKind::kMatchText:
      case ConditionKind::kMatchTextAny:
      case ConditionKind::kMatchPhrase:
        out.text = in_.text();
        if (out.text.size() > kTextBytesMax) fail("a text of more than " + std::to_string(kTextBytesMax) + " bytes");
        out.tokens = TextField::plain().query(out.text);
        break;
      case ConditionKind::kMatchPrefix:
        out.text = in_.text();
        break;
      case ConditionKind::kMatchInteger:
        out.integers.push_back(in_.i64());
        break;
      case ConditionKind::kMatchBool:
        out.flag = boolean();
        break;
      case ConditionKind::kAnyKeywords:
      case ConditionKind::kExceptKeywords:
        for (uint32_t left = count(4, kValuesMax); left > 0; --left) out.keywords.emplace_back(in_.text());
        break;
      case ConditionKind::kAnyIntegers:
      case ConditionKind::kExceptIntegers:
        for (uint32_t left = count(8, kValuesMax); left > 0; --left) out.integers.push_back(in_.i64());
        break;
      case ConditionKind::kRange:
        out.range = range<double>([this] { return number(); });
        break;
      case ConditionKind::kDatetimeRange:
        out.datetimes = range<int64_t>([this] { return in_.i64(); });
        break;
      case ConditionKind::kValuesCount:
        out.counts = range<uint64_t>([this] { return in_.u64(); });
        break;
      case ConditionKind::kGeoBox:
        out.box.top_left = geo_point();
        out.box.bottom_right = geo_point();
        break;
      case ConditionKind::kGeoRadius:
        out.radius.center = geo_point();
        out.radius.metres = number();
        break;
      case ConditionKind::kGeoPolygon:
        polygon(out.polygon);
        break;
      case ConditionKind::kIsEmpty:
      case ConditionKind::kIsNull:
        break;
      case ConditionKind::kHasId:
        for (uint32_t left = count(9, kIdsMax); left > 0; --left) out.ids.insert(in_.id());
        break;
      case ConditionKind::kHasVector:
        out.vector_name = in_.text();
        break;
      case ConditionKind::kSlice:
        out.slice.total = in_.u32();
        out.slice.index = in_.u32();
        if (out.slice.index >= out.slice.total) fail("a slice that is none of its number");
        break;
      case ConditionKind::kNested:
      case ConditionKind::kFilter:
        out.inner = std::make_unique<FilterTree>(filter(depth + 1));
        break;
    }
    for (const std::string& keyword : out.keywords) out.uuids.push_back(canonical_uuid(keyword));
    sort_unique(out.keywords);
    sort_unique(out.uuids);
    sort_unique(out.integers);
    return out;
  }

  template <typename T>
  static void sort_unique(std::vector<T>& values) {
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
  }

  template <typename T, typename Take>
  Range<T> range(Take take) {
    const uint8_t flags = in_.u8();
    if (flags > 15) fail("unknown bounds");
    Range<T> out;
    if (flags & 1) out.lt = take();
    if (flags & 2) out.lte = take();
    if (flags & 4) out.gt = take();
    if (flags & 8) out.gte = take();
    return out;
  }

  void polygon(GeoPolygon& out) {
    const uint32_t rings = count(4, kValuesMax);
    if (rings == 0) fail("a polygon without exterior");
    size_t points = 0;
    for (uint32_t i = 0; i < rings; ++i) {
      const uint32_t size = count(16, kValuesMax);
      points += size;
      if (points > kValuesMax) fail("too many values in one condition");
      std::vector<GeoPoint> ring;
      ring.reserve(size);
      for (uint32_t j = 0; j < size; ++j) ring.push_back(geo_point());
      if (i == 0) {
        out.exterior = std::move(ring);
      } else {
        out.interiors.push_back(std::move(ring));
      }
    }
  }

  GeoPoint geo_point() {
    GeoPoint point;
    point.lon = number();
    point.lat = number();
    if (!(std::fabs(point.lon) <= 180)) fail("longitude out of range");
    if (!(std::fabs(point.lat) <= 90)) fail("latitude out of range");
    return point;
  }

  double number() {
    const double value = in_.f64();
    if (std::isnan(value)) fail("not a number");
    return value;
  }

  bool boolean() {
    const uint8_t value = in_.u8();
    if (value > 1) fail("not a boolean");
    return value == 1;
  }

  uint32_t count(size_t bytes_each, size_t max) {
    const uint32_t count = in_.u32();
    if (count > max) fail("too many values in one condition");
    bounded(count, bytes_each);
    return count;
  }

  void bounded(size_t count, size_t bytes_each) const {
    if (count * bytes_each > in_.left()) fail("program is cut short");
  }

  ByteReader in_;
  size_t conditions_ = 0;
};

bool has_payload_condition(const std::vector<Condition>& conditions);

bool has_payload_condition(const FilterTree& tree) {
  return has_payload_condition(tree.must) || has_payload_condition(tree.should) ||
         has_payload_condition(tree.must_not) || has_payload_condition(tree.min_should);
}

bool has_payload_condition(const std::vector<Condition>& conditions) {
  return std::any_of(conditions.begin(), conditions.end(), [](const Condition& condition) {
    if (condition.kind == ConditionKind::kFilter) return has_payload_condition(*condition.inner);
    return condition.kind != ConditionKind::kHasId && condition.kind != ConditionKind::kHasVector && condition.kind != ConditionKind::kSlice;
  });
}

}  // namespace

FilterProgram::FilterProgram(FilterTree tree) : tree_(std::move(tree)), needs_payload_(has_payload_condition(tree_)) {}

}  // namespace sealpoint::filter

namespace sealpoint {

std::unique_ptr<Filter> Filter::decode(std::string_view program) {
  return std::make_unique<filter::FilterProgram>(filter::Decoder(program).decode());
}

}  // namespace sealpoint
