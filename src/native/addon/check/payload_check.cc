// Checks of payload/ and filter/: unit cases, plans against brute force on random payloads and filters, mutated bytes, committed cases.
//
//   g++ -std=c++20 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all src/native/addon/check/payload_check.cc \
//     src/native/addon/payload/*.cc src/native/addon/filter/*.cc -o /tmp/payload_check && /tmp/payload_check [seed [cases.jsonl]]
//
// Prints its seed; a run with that seed repeats it. `bench` as the seed prints the times of plans instead.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>
#include <random>
#include <set>

#include "../core/bytes.h"
#include "../core/status.h"
#include "../filter/datetime.h"
#include "../filter/filter.h"
#include "../filter/tree.h"
#include "../payload/payload.h"
#include "../payload/wire.h"

namespace {

using namespace sealpoint;
namespace pl = sealpoint::payload;

int failures = 0;

#define CHECK(condition)                                                            \
  do {                                                                              \
    if (!(condition)) {                                                             \
      std::printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);           \
      if (++failures > 20) std::exit(1);                                            \
    }                                                                               \
  } while (0)

// --- a small JSON, so that cases can be read -----------------------------------------------------------------------

struct Json {
  enum class Type { kNull, kBool, kInt, kDouble, kString, kList, kObject } type = Type::kNull;
  bool flag = false;
  int64_t integer = 0;
  double number = 0;
  std::string text;
  std::vector<Json> list;
  std::vector<std::pair<std::string, Json>> object;
};

class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}
  Json read() {
    space();
    Json out;
    const char c = text_.at(at_);
    if (c == '{' || c == '[') {
      const bool object = c == '{';
      out.type = object ? Json::Type::kObject : Json::Type::kList;
      ++at_;
      for (space(); text_.at(at_) != (object ? '}' : ']'); space()) {
        if (text_.at(at_) == ',') ++at_;
        if (object) {
          space();
          std::string key = string();
          space();
          ++at_;  // the colon
          out.object.emplace_back(std::move(key), read());
        } else {
          out.list.push_back(read());
        }
      }
      ++at_;
    } else if (c == '"') {
      out.type = Json::Type::kString;
      out.text = string();
    } else if (c == 't' || c == 'f') {
      out.type = Json::Type::kBool;
      out.flag = c == 't';
      at_ += c == 't' ? 4 : 5;
    } else if (c == 'n') {
      at_ += 4;
    } else {
      const size_t end = text_.find_first_not_of("+-.eE0123456789", at_);
      const std::string number(text_.substr(at_, end == std::string_view::npos ? end : end - at_));
      at_ += number.size();
      if (number.find_first_of(".eE") == std::string::npos) {
        out.type = Json::Type::kInt;
        out.integer = std::stoll(number);
      } else {
        out.type = Json::Type::kDouble;
        out.number = std::stod(number);
      }
    }
    return out;
  }

 private:
  void space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  std::string string() {  // no escapes but \" are needed here
    std::string out;
    for (++at_; text_.at(at_) != '"'; ++at_) {
      if (text_[at_] == '\\') ++at_;
      out.push_back(text_.at(at_));
    }
    ++at_;
    return out;
  }
  std::string_view text_;
  size_t at_ = 0;
};

std::string encode_value(const Json& json);

std::string encode_map(const Json& json, uint32_t field) {
  std::string out;
  for (const auto& [key, value] : json.object) {
    std::string entry;
    pl::put_bytes(entry, 1, key);
    pl::put_bytes(entry, 2, encode_value(value));
    pl::put_bytes(out, field, entry);
  }
  return out;
}

std::string encode_value(const Json& json) {
  std::string out;
  switch (json.type) {
    case Json::Type::kNull:
      out = std::string("\x08\x00", 2);
      break;
    case Json::Type::kBool:
      out = {'\x28', json.flag ? '\x01' : '\x00'};
      break;
    case Json::Type::kInt:
      out.push_back('\x18');
      pl::put_varint(out, static_cast<uint64_t>(json.integer));
      break;
    case Json::Type::kDouble:
      out.push_back('\x11');
      out.append(reinterpret_cast<const char*>(&json.number), 8);
      break;
    case Json::Type::kString:
      pl::put_bytes(out, 4, json.text);
      break;
    case Json::Type::kObject:
      pl::put_bytes(out, 6, encode_map(json, 1));
      break;
    case Json::Type::kList: {
      std::string list;
      for (const Json& element : json.list) pl::put_bytes(list, 1, encode_value(element));
      pl::put_bytes(out, 7, list);
      break;
    }
  }
  return out;
}

std::string encode(const Json& json) { return encode_map(json, 2); }
std::string P(std::string_view text) { return encode(JsonReader(text).read()); }

std::string show_map(std::string_view entries, uint32_t field);
std::string show(const pl::Value& value) {
  char number[64];
  switch (value.kind) {
    case pl::Kind::kNull:
      return "null";
    case pl::Kind::kBool:
      return value.flag ? "true" : "false";
    case pl::Kind::kInteger:
      return std::to_string(value.integer);
    case pl::Kind::kDouble:
      std::snprintf(number, sizeof number, "%.17g", value.number);
      return std::string(number) + (std::string_view(number).find_first_of(".e") == std::string_view::npos ? ".0" : "");
    case pl::Kind::kString:
      return '"' + std::string(value.body) + '"';
    case pl::Kind::kStruct:
      return show_map(value.body, 1);
    case pl::Kind::kEnvelopes:
      return "<" + std::to_string(value.body.size()) + " bytes of envelopes>";
    case pl::Kind::kList: {
      std::string out = "[";
      pl::for_each_element(value.body, [&](std::string_view bytes) {
        out += (out.size() > 1 ? "," : "") + show(pl::read_value(bytes));
        return true;
      });
      return out + "]";
    }
  }
  return "?";
}
// Keys sorted: the order of entries has no meaning.
std::string show_map(std::string_view entries, uint32_t field) {
  std::map<std::string, std::string> sorted;
  pl::for_each_entry(entries, field, [&](const pl::Entry& entry) {
    sorted[std::string(entry.key)] = show(pl::read_value(entry.value));
    return true;
  });
  std::string out = "{";
  for (const auto& [key, value] : sorted) out += (out.size() > 1 ? ",\"" : "\"") + key + "\":" + value;
  return out + "}";
}
std::string J(std::string_view entries) { return show_map(entries, 2); }

template <typename Call>
ErrorKind error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.kind();
  }
  return ErrorKind::kInternal;
}

void expect_json(const char* what, const std::string& got, std::string_view wanted) {
  pl::check(got, pl::Bounds{});
  if (J(got) == J(P(wanted))) return;
  std::printf("failed: %s\n  got    %s\n  wanted %s\n", what, J(got).c_str(), std::string(wanted).c_str());
  ++failures;
}

// --- payloads ------------------------------------------------------------------------------------------------------

std::string sealed_entry(std::string_view framed) {
  std::string value, entry, out;
  pl::put_bytes(value, 15, framed);
  pl::put_bytes(entry, 1, pl::kSealedKey);
  pl::put_bytes(entry, 2, value);
  pl::put_bytes(out, 2, entry);
  return out;
}

void test_check() {
  const pl::Bounds bounds;
  const std::string plain = P(R"({"a":1,"b":[1.5,"x",null,true,{"c":{}}],"d":""})");
  CHECK(pl::check(plain, bounds) == plain);
  CHECK(pl::check("", bounds).empty());
  CHECK(pl::check(P(R"({"a":1,"b":2,"a":3})"), bounds) == P(R"({"b":2,"a":3})"));
  // An entry without a value, a value without a kind: null.
  CHECK(pl::check(std::string("\x12\x03\x0a\x01" "a", 5), bounds) == P(R"({"a":null})"));
  CHECK(pl::check(std::string("\x12\x05\x0a\x01" "a\x12\x00", 7), bounds) == P(R"({"a":null})"));
  CHECK(pl::check(std::string("\x12\x00", 2), bounds) == P(R"({"":null})"));
  // A long length, a wide bool, an unknown field, value before key.
  CHECK(pl::check(std::string("\x12\x88\x00\x0a\x01" "a\x12\x03\x28\x80\x01", 11), bounds) == P(R"({"a":true})"));
  CHECK(pl::check(std::string("\x12\x09\x12\x04\x18\x01\x50\x07\x0a\x01" "a", 11), bounds) == P(R"({"a":1})"));
  // The last kind wins, and structs in parts are merged.
  CHECK(pl::check(std::string("\x12\x09\x0a\x01" "a\x12\x04\x18\x01\x28\x01", 11), bounds) == P(R"({"a":true})"));
  {
    std::string value, entry, out;
    const auto part = [](std::string_view text) { return encode_map(JsonReader(text).read(), 1); };
    pl::put_bytes(value, 6, part(R"({"x":1,"y":2})"));
    pl::put_bytes(value, 6, part(R"({"x":3})"));
    pl::put_bytes(entry, 1, "a");
    pl::put_bytes(entry, 2, value);
    pl::put_bytes(out, 2, entry);
    CHECK(J(pl::check(out, bounds)) == R"({"a":{"x":3,"y":2}})");
  }
  const auto bad = [&](const std::string& bytes) {
    return error_of([&] { pl::check(bytes, bounds); }) == ErrorKind::kBadInput;
  };
  CHECK(bad(std::string("\x12\x05\x0a\x01" "a\x12\x00", 7).substr(0, 6)));
  CHECK(bad("\x0a\x00"));
  CHECK(bad(P("{\"a\":\"\xff\"}")));
  CHECK(bad(P("{\"\xc0\x80\":1}")));
  CHECK(bad(P("{\"a\":\"\xed\xa0\x80\"}")));
  {
    Json number;
    number.type = Json::Type::kDouble;
    number.number = std::numeric_limits<double>::quiet_NaN();
    Json object;
    object.type = Json::Type::kObject;
    object.object.emplace_back("a", number);
    CHECK(bad(encode(object)));
    object.object[0].second.number = std::numeric_limits<double>::infinity();
    CHECK(bad(encode(object)));
  }
  const auto nested = [](size_t depth) {
    std::string value("\x08\x00", 2);
    for (size_t i = 0; i < depth; ++i) {
      std::string list, outer;
      pl::put_bytes(list, 1, value);
      pl::put_bytes(outer, 7, list);
      value = outer;
    }
    std::string entry, out;
    pl::put_bytes(entry, 1, "a");
    pl::put_bytes(entry, 2, value);
    pl::put_bytes(out, 2, entry);
    return out;
  };
  CHECK(pl::check(nested(128), bounds) == nested(128));
  CHECK(bad(nested(129)));
  CHECK(bad(nested(1000)));
  CHECK(error_of([] { pl::check(std::string(100, ' '), pl::Bounds{128, 99}); }) == ErrorKind::kBadInput);
  try {
    pl::check(P("{\"a\":{\"b\":[1,{\"c\":\"\xff\"}]}}"), bounds);
    CHECK(false);
  } catch (const Error& error) {
    CHECK(error.field() == "payload.a.b[1].c");
  }
}

void test_sealed() {
  const pl::Bounds bounds;
  const std::string framed("\x00\x00\x00\x02xy\x00\x00\x00\x01z", 11);
  const std::string sealed = sealed_entry(framed);
  CHECK(pl::check(sealed, bounds) == sealed);
  CHECK(pl::is_sealed(sealed));
  CHECK(pl::envelope_count(sealed) == 2);
  CHECK(pl::check(P(R"({"a":1})") + sealed, bounds) == sealed + P(R"({"a":1})"));
  CHECK(!pl::is_sealed(P(R"({"$sealpoint":[1]})")));
  CHECK(error_of([&] { pl::check(sealed_entry(framed.substr(0, 10)), bounds); }) == ErrorKind::kBadInput);
  CHECK(error_of([&] { pl::check(sealed_entry(""), bounds); }) == ErrorKind::kBadInput);
  {  // The stored form means nothing below the root or under another key: there it is an unknown field.
    std::string value, entry, out;
    pl::put_bytes(value, 15, framed);
    pl::put_bytes(entry, 1, "a");
    pl::put_bytes(entry, 2, value);
    pl::put_bytes(out, 2, entry);
    CHECK(pl::check(out, bounds) == P(R"({"a":null})"));
    CHECK(pl::has_plain(out, {}));
  }
  const std::string point = sealed + P(R"({"a":1,"b":2})");
  CHECK(pl::include(point, {"b"}) == sealed + P(R"({"b":2})"));
  CHECK(pl::include(point, {}) == sealed);
  CHECK(pl::exclude(point, {"b", "\"$sealpoint\""}) == sealed + P(R"({"a":1})"));
  CHECK(!pl::has_plain(point, {"a", "b"}));
  CHECK(pl::has_plain(point, {"a"}));
  CHECK(pl::has_plain("\xff", {}));
  CHECK(pl::envelope_count(pl::merge(point, sealed + P(R"({"b":3})"))) == 4);
  CHECK(J(pl::merge(sealed, P(R"({"b":3})"))) == R"({"$sealpoint":<11 bytes of envelopes>,"b":3})");
  CHECK(error_of([&] { pl::merge(point, P(R"({"$sealpoint":null})")); }) == ErrorKind::kBadInput);
  CHECK(error_of([&] { pl::merge_at(point, "\"$sealpoint\".a", P(R"({"x":1})")); }) == ErrorKind::kBadInput);
  CHECK(error_of([&] { pl::merge_at(point, "a", sealed); }) == ErrorKind::kBadInput);
  CHECK(error_of([&] { pl::remove_keys(point, {"\"$sealpoint\"[]"}); }) == ErrorKind::kBadInput);
  CHECK(pl::remove_keys(point, {"\"$sealpoint\""}) == P(R"({"a":1,"b":2})"));
  std::string grown = P(R"({"a":1})");
  for (int i = 0; i < 8; ++i) grown = pl::append_envelope(grown, std::string(200, 'e'));
  CHECK(pl::envelope_count(grown) == 8);
  CHECK(pl::check(grown, bounds) == grown);
  CHECK(error_of([&] { pl::append_envelope(grown, "e"); }) == ErrorKind::kPrecondition);
  CHECK(error_of([&] { pl::merge(grown, sealed); }) == ErrorKind::kPrecondition);
}

void test_changes() {
  const auto merge = [](std::string_view base, std::string_view patch) { return pl::merge(P(base), P(patch)); };
  expect_json("merge", merge(R"({"a":1,"b":{"c":1}})", R"({"b":{"d":2},"e":3})"), R"({"a":1,"b":{"d":2},"e":3})");
  expect_json("merge null", merge(R"({"a":1,"b":2})", R"({"a":null,"c":null})"), R"({"b":2})");
  const auto at = [](std::string_view base, std::string_view path, std::string_view patch) {
    return pl::merge_at(P(base), path, P(patch));
  };
  expect_json("merge_at", at(R"({"a":{"b":1}})", "a", R"({"c":2})"), R"({"a":{"b":1,"c":2}})");
  expect_json("merge_at null", at(R"({"a":{"b":1}})", "a", R"({"b":null})"), R"({"a":{}})");
  expect_json("merge_at new", at(R"({})", "a.b", R"({"c":2})"), R"({"a":{"b":{"c":2}}})");
  expect_json("merge_at over", at(R"({"a":5})", "a.b", R"({"c":2})"), R"({"a":{"b":{"c":2}}})");
  expect_json("merge_at each", at(R"({"a":[{"b":{"x":1}},{"c":1},7]})", "a[].b", R"({"y":2})"),
              R"({"a":[{"b":{"x":1,"y":2}},{"c":1,"b":{"y":2}},{"b":{"y":2}}]})");
  expect_json("merge_at index", at(R"({"a":[1,{"b":1},3]})", "a[1]", R"({"c":2})"), R"({"a":[1,{"b":1,"c":2},3]})");
  expect_json("merge_at index beyond", at(R"({"a":[1]})", "a[5].b", R"({"c":2})"), R"({"a":[1]})");
  expect_json("merge_at no array", at(R"({"a":1})", "a[0]", R"({"c":2})"), R"({"a":[]})");
  expect_json("merge_at quoted", at(R"({"a.b":{"c":1}})", "\"a.b\"", R"({"d":2})"), R"({"a.b":{"c":1,"d":2}})");
  const auto remove = [](std::string_view base, std::vector<std::string> paths) { return pl::remove_keys(P(base), paths); };
  const char* tree = R"({"a":{"b":1,"c":[{"d":1,"e":2},{"d":3},4]},"f":[1,2]})";
  expect_json("remove", remove(tree, {"a"}), R"({"f":[1,2]})");
  expect_json("remove two", remove(tree, {"f", "a.c", "x.y"}), R"({"a":{"b":1}})");
  expect_json("remove each", remove(tree, {"a.c[].d"}), R"({"a":{"b":1,"c":[{"e":2},{},4]},"f":[1,2]})");
  expect_json("remove index.key", remove(tree, {"a.c[0].d"}), R"({"a":{"b":1,"c":[{"e":2},{"d":3},4]},"f":[1,2]})");
  expect_json("remove index", remove(tree, {"f[0]"}), tree);
  expect_json("remove all", remove(tree, {"f[]"}), R"({"a":{"b":1,"c":[{"d":1,"e":2},{"d":3},4]},"f":[]})");
  const auto include = [](std::string_view base, std::vector<std::string> paths) { return pl::include(P(base), paths); };
  expect_json("include", include(tree, {"a.b"}), R"({"a":{"b":1}})");
  expect_json("include each", include(tree, {"a.c[].d"}), R"({"a":{"c":[{"d":1},{"d":3},4]}})");
  expect_json("include without []", include(tree, {"a.c.d"}), R"({"a":{"c":[]}})");
  expect_json("include index", include(tree, {"a.c[0].d", "f[0]"}), R"({"a":{"c":[]},"f":[]})");
  expect_json("include both", include(tree, {"a.c[].d", "a"}), R"({"a":{"b":1,"c":[{"d":1,"e":2},{"d":3},4]}})");
  expect_json("include all", include(tree, {"f[]"}), R"({"f":[1,2]})");
  expect_json("include none", include(tree, {}), R"({})");
  const auto exclude = [](std::string_view base, std::vector<std::string> paths) { return pl::exclude(P(base), paths); };
  expect_json("exclude", exclude(tree, {"a.b", "f"}), R"({"a":{"c":[{"d":1,"e":2},{"d":3},4]}})");
  expect_json("exclude each", exclude(tree, {"a.c[].d"}), R"({"a":{"b":1,"c":[{"e":2},{},4]},"f":[1,2]})");
  expect_json("exclude all", exclude(tree, {"f[]"}), R"({"a":{"b":1,"c":[{"d":1,"e":2},{"d":3},4]},"f":[]})");
  expect_json("exclude index", exclude(tree, {"f[0]"}), tree);
  expect_json("exclude none", exclude(tree, {}), tree);
  for (const char* path : {"", "a.", ".a", "[]", "a[", "a[x]", "a b", "\"a", "a..b", "a[-1]", "a\"b\"", "$a"}) {
    CHECK(error_of([&] { pl::check_path(path); }) == ErrorKind::kBadInput);
  }
  for (const char* path : {"a", "a.b", "a[].b[0]", "\"\"", "\"a b\".c", "é"}) pl::check_path(path);
}

void test_datetime() {
  const auto micros = [](const char* text) {
    int64_t value = -1;
    return filter::parse_datetime(text, value) ? value : std::numeric_limits<int64_t>::min();
  };
  const int64_t none = std::numeric_limits<int64_t>::min();
  CHECK(micros("1970-01-01T00:00:00Z") == 0);
  CHECK(micros("1970-01-01") == 0);
  CHECK(micros("2023-02-08T10:49:00Z") == 1675853340000000);
  CHECK(micros("2023-02-08 10:49:00") == 1675853340000000);
  CHECK(micros("2023-02-08 10:49") == 1675853340000000);
  CHECK(micros("2023-02-08T11:49:00.5+01:00") == 1675853340500000);
  CHECK(micros("2023-02-08T11:49:00+0100") == 1675853340000000);
  CHECK(micros("2023-02-08T11:49:00+01") == 1675853340000000);
  CHECK(micros("2023-02-08t10:49:00.1234567z") == 1675853340123456);
  CHECK(micros("2023-02-08 10:49:00 UTC") == 1675853340000000);
  CHECK(micros("1969-12-31T23:59:59.999999Z") == -1);
  CHECK(micros("2000-02-29") == 951782400000000);
  for (const char* text : {"", "2023", "2023-02", "2023-02-29", "2023-13-01", "2023-02-08T", "2023-02-08T24:00:00Z", "2023-02-08T10",
                           "2023-02-08T10:49Z", "2023-02-08T10:49:00X", "2023-02-08T10:49:00.Z", "x2023-02-08", "2023-02-08 ",
                           "2023-02-08T10:49:00+25:00", "1675853340"}) {
    CHECK(micros(text) == none);
  }
}

// --- filters -------------------------------------------------------------------------------------------------------

using Kind = filter::ConditionKind;

void put_filter(ByteWriter& out, const std::vector<std::string>& must, const std::vector<std::string>& should = {},
                const std::vector<std::string>& must_not = {}, int min_count = -1, const std::vector<std::string>& min_should = {}) {
  for (const auto* list : {&must, &should, &must_not}) {
    out.u32(static_cast<uint32_t>(list->size()));
    for (const std::string& condition : *list) out.raw(condition.data(), condition.size());
  }
  out.u8(min_count < 0 ? 0 : 1);
  if (min_count < 0) return;
  out.u32(static_cast<uint32_t>(min_count));
  out.u32(static_cast<uint32_t>(min_should.size()));
  for (const std::string& condition : min_should) out.raw(condition.data(), condition.size());
}

template <typename Rest>
std::string condition(Kind kind, std::string_view key, Rest rest) {
  ByteWriter out;
  out.u8(static_cast<uint8_t>(kind));
  if (kind != Kind::kHasId && kind != Kind::kHasVector && kind != Kind::kFilter) out.text(key);
  rest(out);
  return out.bytes();
}

template <typename... Lists>
std::string program(const Lists&... lists) {
  ByteWriter out;
  out.u8(1);
  put_filter(out, lists...);
  return out.bytes();
}

struct Context final : FilterContext {
  Bitset live_slots;
  std::vector<PointId> ids;
  std::set<std::pair<std::string, uint32_t>> vectors;
  const PayloadIndexes* indexes = nullptr;
  bool has_vector(std::string_view name, uint32_t slot) const override { return vectors.contains({std::string(name), slot}); }
  bool slot_of(const PointId& id, uint32_t& slot) const override {
    for (uint32_t i = 0; i < ids.size(); ++i) {
      if (ids[i] == id && live_slots.test(i)) {
        slot = i;
        return true;
      }
    }
    return false;
  }
  size_t slots() const override { return ids.size(); }
  const Bitset& live() const override { return live_slots; }
  bool is_uuid_field(std::string_view key) const override { return indexes != nullptr && indexes->is_uuid_field(key); }
};

bool matches(std::string_view payload, const std::string& bytes) {
  Context context;
  const PointId id = PointId::number(1);
  return Filter::decode(bytes)->matches({id, 0, payload}, context);
}

void test_filters() {
  const auto keyword = [](std::string_view key, std::string_view value) {
    return condition(Kind::kMatchKeyword, key, [&](ByteWriter& out) { out.text(value); });
  };
  const auto count = [](std::string_view key, uint8_t flags, uint64_t value) {
    return condition(Kind::kValuesCount, key, [&](ByteWriter& out) { out.u8(flags), out.u64(value); });
  };
  const auto bare = [](Kind kind, std::string_view key) { return condition(kind, key, [](ByteWriter&) {}); };
  const auto except = [](std::string_view key, std::string_view value) {
    return condition(Kind::kExceptKeywords, key, [&](ByteWriter& out) { out.u32(1), out.text(value); });
  };
  const auto holds = [](std::string_view json, const std::string& condition) {
    return matches(P(json), program(std::vector<std::string>{condition}));
  };
  using List = std::vector<std::string>;
  const std::string yes = keyword("k", "y"), no = keyword("k", "n");
  const std::string point = P(R"({"k":"y"})");
  CHECK(matches(point, program(List{})));
  CHECK(matches(point, program(List{yes}, List{}, List{no})));
  CHECK(!matches(point, program(List{}, List{no})));
  CHECK(matches(point, program(List{}, List{no, yes})));
  CHECK(!matches(point, program(List{}, List{}, List{yes})));
  CHECK(matches(point, program(List{}, List{}, List{}, 1, List{no, yes})));
  CHECK(!matches(point, program(List{}, List{}, List{}, 2, List{no, yes})));
  CHECK(matches(point, program(List{}, List{}, List{}, 0, List{})));
  CHECK(!matches(point, program(List{}, List{}, List{}, 1, List{})));

  CHECK(holds(R"({"a":["x","y"]})", keyword("a", "y")));
  CHECK(holds(R"({"a":["x","y"]})", keyword("a[]", "y")));
  CHECK(holds(R"({"a":["x","y"]})", keyword("a[1]", "y")));
  CHECK(!holds(R"({"a":["x","y"]})", keyword("a[0]", "y")));
  CHECK(!holds(R"({"a":[["y"]]})", keyword("a", "y")));
  CHECK(!holds(R"({"a":[{"b":"y"}]})", keyword("a.b", "y")));
  CHECK(holds(R"({"a":[{"b":"y"}]})", keyword("a[].b", "y")));
  CHECK(holds(R"({"a":[{"b":["x","y"]}]})", keyword("a[].b", "y")));
  CHECK(!holds(R"({"a":"y"})", except("a", "y")));
  CHECK(holds(R"({"a":["x","y"]})", except("a", "y")));
  CHECK(!holds(R"({"b":1})", except("a", "y")));
  CHECK(!holds(R"({"a":null})", except("a", "y")));
  CHECK(!holds(R"({"a":[]})", except("a", "y")));
  CHECK(holds(R"({"a":5})", except("a", "y")));

  CHECK(holds(R"({})", bare(Kind::kIsEmpty, "a")));
  CHECK(holds(R"({"a":null})", bare(Kind::kIsEmpty, "a")));
  CHECK(holds(R"({"a":[]})", bare(Kind::kIsEmpty, "a")));
  CHECK(!holds(R"({"a":[null]})", bare(Kind::kIsEmpty, "a")));
  CHECK(!holds(R"({"a":{}})", bare(Kind::kIsEmpty, "a")));
  CHECK(holds(R"({"a":null})", bare(Kind::kIsNull, "a")));
  CHECK(holds(R"({"a":[1,null]})", bare(Kind::kIsNull, "a")));
  CHECK(!holds(R"({"a":[[null]]})", bare(Kind::kIsNull, "a")));
  CHECK(!holds(R"({})", bare(Kind::kIsNull, "a")));
  CHECK(holds(R"({})", count("a", 2, 0)));         // lte 0
  CHECK(holds(R"({"a":null})", count("a", 2, 0)));
  CHECK(holds(R"({"a":7})", count("a", 8, 1)));    // gte 1
  CHECK(holds(R"({"a":[1,2]})", count("a", 4, 1)));
  CHECK(!holds(R"({"a":[]})", count("a", 4, 0)));
  CHECK(holds(R"({"a":[{"b":[1]},{"b":[1,2]}]})", count("a[].b", 8, 2)));

  const auto integer = [](std::string_view key, int64_t value) {
    return condition(Kind::kMatchInteger, key, [&](ByteWriter& out) { out.put(value); });
  };
  const auto range = [](std::string_view key, uint8_t flags, double value) {
    return condition(Kind::kRange, key, [&](ByteWriter& out) { out.u8(flags), out.f64(value); });
  };
  CHECK(holds(R"({"a":5})", integer("a", 5)));
  CHECK(!holds(R"({"a":5.0})", integer("a", 5)));
  CHECK(!holds(R"({"a":true})", integer("a", 1)));
  CHECK(holds(R"({"a":5})", range("a", 8, 5)));
  CHECK(holds(R"({"a":[1,5.5]})", range("a", 4, 5)));
  CHECK(!holds(R"({"a":"5"})", range("a", 8, 5)));
  CHECK(!holds(R"({"a":5})", range("a", 1, 5)));

  ByteWriter inner;
  put_filter(inner, List{keyword("b", "x"), integer("c", 1)});
  const auto nested = [&](std::string_view key, const std::string& filter) {
    return condition(Kind::kNested, key, [&](ByteWriter& out) { out.raw(filter.data(), filter.size()); });
  };
  CHECK(holds(R"({"a":[{"b":"x","c":1}]})", nested("a", inner.bytes())));
  CHECK(holds(R"({"a":[{"b":"x","c":1}]})", nested("a[]", inner.bytes())));
  CHECK(!holds(R"({"a":[{"b":"x","c":2},{"b":"y","c":1}]})", nested("a", inner.bytes())));
  CHECK(!holds(R"({"a":{"b":"x","c":1}})", nested("a", inner.bytes())));
  ByteWriter any;
  put_filter(any, List{});
  CHECK(!holds(R"({"a":[1,2]})", nested("a", any.bytes())));
  CHECK(holds(R"({"a":[1,{}]})", nested("a", any.bytes())));

  const auto box = [](double l, double t, double r, double b) {
    return condition(Kind::kGeoBox, "g", [&](ByteWriter& out) { out.f64(l), out.f64(t), out.f64(r), out.f64(b); });
  };
  CHECK(holds(R"({"g":{"lon":13.4,"lat":52.5}})", box(13, 53, 14, 52)));
  CHECK(holds(R"({"g":[{"lon":0,"lat":0},{"lon":13.4,"lat":52.5}]})", box(13, 53, 14, 52)));
  CHECK(!holds(R"({"g":{"lon":13,"lat":52.5}})", box(13, 53, 14, 52)));
  CHECK(holds(R"({"g":{"lon":179.5,"lat":0}})", box(170, 1, -170, -1)));
  CHECK(holds(R"({"g":{"lon":-179.5,"lat":0}})", box(170, 1, -170, -1)));
  CHECK(!holds(R"({"g":{"lon":0,"lat":0}})", box(170, 1, -170, -1)));
  CHECK(!holds(R"({"g":{"lon":"0","lat":0}})", box(-1, 1, 1, -1)));
  const auto radius = [](double lon, double lat, double metres) {
    return condition(Kind::kGeoRadius, "g", [&](ByteWriter& out) { out.f64(lon), out.f64(lat), out.f64(metres); });
  };
  CHECK(holds(R"({"g":{"lon":13.4050,"lat":52.5200}})", radius(37.6173, 55.7558, 1650000)));
  CHECK(!holds(R"({"g":{"lon":13.4050,"lat":52.5200}})", radius(37.6173, 55.7558, 1600000)));
  CHECK(holds(R"({"g":{"lon":-179.99,"lat":0.0}})", radius(179.99, 0, 3000)));

  const std::string deep_start = program(List{keyword("k", "y")});
  CHECK(error_of([&] { Filter::decode(deep_start + "x"); }) == ErrorKind::kBadInput);
  CHECK(error_of([&] { Filter::decode(program(List{keyword("a..b", "y")})); }) == ErrorKind::kBadInput);
  const auto deep = [&](int levels) {
    std::string filter = inner.bytes();
    for (int i = 1; i < levels; ++i) {
      ByteWriter next;
      put_filter(next, List{condition(Kind::kFilter, "", [&](ByteWriter& out) { out.raw(filter.data(), filter.size()); })});
      filter = next.bytes();
    }
    return '\x01' + filter;
  };
  Filter::decode(deep(32));
  CHECK(error_of([&] { Filter::decode(deep(33)); }) == ErrorKind::kBadInput);
}

// --- random --------------------------------------------------------------------------------------------------------

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  uint64_t below(uint64_t n) { return engine_() % n; }
  bool one_in(uint64_t n) { return below(n) == 0; }
  template <typename T>
  const T& pick(const std::vector<T>& from) {
    return from[below(from.size())];
  }

 private:
  std::mt19937_64 engine_;
};

const std::vector<std::string> kTexts = {"x", "y", "z", "", "2023-02-08T10:49:00Z", "2023-02-08", "2024-01-01 00:00:00+02:00",
                                         "0a0b0c0d-0000-0000-0000-00000000000f", "0A0B0C0D-0000-0000-0000-00000000000F",
                                         "0a0b0c0d00000000000000000000000f", "11111111-1111-1111-1111-111111111111"};
const std::vector<int64_t> kIntegers = {0, 1, 2, 3, -1, 7, 9007199254740993, 9007199254740992, INT64_MIN, INT64_MAX};
const std::vector<double> kNumbers = {0.0, -0.0, 1.0, 1.5, 2.0, -1.0, 2.5, 1e300, 9007199254740992.0};
const std::vector<std::string> kKeys = {"a", "b", "c", "d e"};
const std::vector<std::string> kPaths = {"a", "b", "c", "\"d e\"", "a.b", "a[]", "a[].b", "b[].c", "a.b[].c", "a[0]", "b.a", "c[].a"};

Json random_value(Random& random, int depth) {
  Json json;
  const uint64_t kind = random.below(depth > 0 ? 11 : 7);
  switch (kind) {
    case 0:
      break;
    case 1:
      json.type = Json::Type::kBool;
      json.flag = random.one_in(2);
      break;
    case 2:
      json.type = Json::Type::kInt;
      json.integer = random.pick(kIntegers);
      break;
    case 3:
      json.type = Json::Type::kDouble;
      json.number = random.pick(kNumbers);
      break;
    case 4:
    case 5:
      json.type = Json::Type::kString;
      json.text = random.pick(kTexts);
      break;
    case 6: {
      json.type = Json::Type::kObject;
      for (const char* key : {"lon", "lat"}) {
        Json number;
        number.type = Json::Type::kDouble;
        number.number = static_cast<double>(random.below(3600)) / 10 - (key[1] == 'o' ? 180 : random.one_in(8) ? 180 : 90);
        if (key[1] == 'a' && !random.one_in(8)) number.number = std::fmod(number.number, 90);
        json.object.emplace_back(key, number);
      }
      break;
    }
    case 7:
    case 8: {
      json.type = Json::Type::kList;
      for (uint64_t left = random.below(4); left > 0; --left) json.list.push_back(random_value(random, depth - 1));
      break;
    }
    default: {
      json.type = Json::Type::kObject;
      for (const std::string& key : kKeys) {
        if (random.one_in(2)) json.object.emplace_back(key, random_value(random, depth - 1));
      }
    }
  }
  return json;
}

Json random_payload(Random& random) {
  Json json;
  json.type = Json::Type::kObject;
  for (const std::string& key : kKeys) {
    if (!random.one_in(4)) json.object.emplace_back(key, random_value(random, 3));
  }
  return json;
}

std::string random_filter(Random& random, int depth);

std::string random_condition(Random& random, int depth) {
  const Kind kind = static_cast<Kind>(1 + random.below(depth > 0 ? 19 : 17));
  return condition(kind, random.pick(kPaths), [&](ByteWriter& out) {
    const auto lon = [&] { return static_cast<double>(random.below(3601)) / 10 - 180; };
    const auto lat = [&] { return static_cast<double>(random.below(1801)) / 10 - 90; };
    const auto bounds = [&](auto put) {
      const uint8_t flags = static_cast<uint8_t>(random.below(16));
      out.u8(flags);
      for (int i = 0; i < 4; ++i) {
        if (flags >> i & 1) put();
      }
    };
    switch (kind) {
      case Kind::kMatchKeyword:
        out.text(random.pick(kTexts));
        break;
      case Kind::kMatchInteger:
        out.put(random.pick(kIntegers));
        break;
      case Kind::kMatchBool:
        out.u8(static_cast<uint8_t>(random.below(2)));
        break;
      case Kind::kAnyKeywords:
      case Kind::kExceptKeywords: {
        const uint32_t count = static_cast<uint32_t>(random.below(4));
        out.u32(count);
        for (uint32_t i = 0; i < count; ++i) out.text(random.pick(kTexts));
        break;
      }
      case Kind::kAnyIntegers:
      case Kind::kExceptIntegers: {
        const uint32_t count = static_cast<uint32_t>(random.below(4));
        out.u32(count);
        for (uint32_t i = 0; i < count; ++i) out.put(random.pick(kIntegers));
        break;
      }
      case Kind::kRange:
        bounds([&] { out.f64(random.one_in(2) ? random.pick(kNumbers) : static_cast<double>(random.pick(kIntegers))); });
        break;
      case Kind::kDatetimeRange:
        bounds([&] { out.put<int64_t>(random.one_in(2) ? 1675853340000000 : 1704060000000000 - static_cast<int64_t>(random.below(2))); });
        break;
      case Kind::kValuesCount:
        bounds([&] { out.u64(random.below(4)); });
        break;
      case Kind::kGeoBox: {
        const double top = lat(), bottom = lat();
        out.f64(lon()), out.f64(std::max(top, bottom)), out.f64(lon()), out.f64(std::min(top, bottom));
        break;
      }
      case Kind::kGeoRadius:
        out.f64(lon()), out.f64(lat()), out.f64(static_cast<double>(random.below(12000)) * 1000);
        break;
      case Kind::kGeoPolygon: {
        const uint32_t rings = 1 + static_cast<uint32_t>(random.below(2));
        out.u32(rings);
        for (uint32_t i = 0; i < rings; ++i) {
          const uint32_t points = 3 + static_cast<uint32_t>(random.below(4));
          out.u32(points);
          for (uint32_t j = 0; j < points; ++j) out.f64(lon()), out.f64(lat());
        }
        break;
      }
      case Kind::kIsEmpty:
      case Kind::kIsNull:
        break;
      case Kind::kHasId: {
        const uint32_t count = static_cast<uint32_t>(random.below(5));
        out.u32(count);
        for (uint32_t i = 0; i < count; ++i) out.id(PointId::number(random.below(80)));
        break;
      }
      case Kind::kHasVector:
        out.text(random.one_in(2) ? "v" : "w");
        break;
      case Kind::kNested:
      case Kind::kFilter: {
        const std::string inner = random_filter(random, depth - 1);
        out.raw(inner.data(), inner.size());
        break;
      }
    }
  });
}

std::string random_filter(Random& random, int depth) {
  const auto list = [&](uint64_t max) {
    std::vector<std::string> conditions;
    for (uint64_t left = random.below(max + 1); left > 0; --left) conditions.push_back(random_condition(random, depth));
    return conditions;
  };
  ByteWriter out;
  const bool min_should = random.one_in(5);
  put_filter(out, list(2), random.one_in(2) ? list(3) : std::vector<std::string>{}, random.one_in(2) ? list(2) : std::vector<std::string>{},
             min_should ? static_cast<int>(random.below(4)) : -1, min_should ? list(3) : std::vector<std::string>{});
  return out.bytes();
}

// Plans through random indexes against matches() on every point, while points come, change and go.
void test_plans(Random& random, int rounds) {
  size_t exact = 0, narrowed = 0, plans = 0;
  for (int round = 0; round < rounds; ++round) {
    const auto indexes = PayloadIndexes::create();
    Context context;
    context.indexes = indexes.get();
    std::map<uint32_t, std::string> points;
    const uint32_t slots = 1 + static_cast<uint32_t>(random.below(80));
    for (uint32_t slot = 0; slot < slots; ++slot) {
      context.ids.push_back(PointId::number(slot));
      if (random.one_in(2)) context.vectors.insert({random.one_in(2) ? "v" : "w", slot});
    }
    const auto add_index = [&] {
      const std::string& path = random.pick(kPaths);
      indexes->add_index(path, static_cast<FieldType>(random.below(8)), "");
      for (const auto& [slot, payload] : points) indexes->insert_into(path, slot, payload);
    };
    for (uint64_t left = random.below(9); left > 0; --left) add_index();
    for (uint32_t step = 0; step < slots * 2; ++step) {
      const uint32_t slot = static_cast<uint32_t>(random.below(slots));
      const auto at = points.find(slot);
      if (at != points.end()) {
        indexes->erase(slot, at->second);
        points.erase(at);
        context.live_slots.reset(slot);
        if (random.one_in(3)) continue;
      }
      points[slot] = pl::check(encode(random_payload(random)), pl::Bounds{});
      indexes->insert(slot, points[slot]);
      context.live_slots.set(slot);
      if (random.one_in(40)) add_index();
    }
    for (int i = 0; i < 20; ++i) {
      const std::string bytes = '\x01' + random_filter(random, 2);
      const auto filter = Filter::decode(bytes);
      const FilterPlan plan = indexes->plan(*filter, context);
      ++plans;
      exact += plan.exact ? 1 : 0;
      narrowed += plan.count < points.size() ? 1 : 0;
      CHECK(plan.count == plan.slots.count());
      for (uint32_t slot = 0; slot < slots; ++slot) {
        const auto at = points.find(slot);
        const bool truth = at != points.end() && filter->matches({context.ids[slot], slot, at->second}, context);
        const bool planned = plan.slots.test(slot);
        if (at == points.end()) CHECK(!planned);
        if (plan.exact ? planned != truth : truth && !planned) {
          std::printf("plan (exact %d) says %d, matches says %d: %s\n", plan.exact, planned, truth, J(at->second).c_str());
          for (const auto& info : indexes->infos()) std::printf("  index %s type %d\n", info.key.c_str(), static_cast<int>(info.type));
          for (const char c : bytes) std::printf("%02x", static_cast<uint8_t>(c));
          std::printf("\n");
          CHECK(false);
        }
      }
    }
    // What erase removes leaves no trace: an index emptied point by point has the size of nothing.
    for (const auto& [slot, payload] : points) indexes->erase(slot, payload);
    for (const auto& info : indexes->infos()) CHECK(info.points == 0);
    const FilterPlan none = indexes->plan(*Filter::decode(program(std::vector<std::string>{})), Context());
    CHECK(none.exact && none.count == 0);
  }
  std::printf("plans: %zu, exact %zu, narrowed %zu\n", plans, exact, narrowed);
  CHECK(exact > plans / 10 && exact < plans);
}

std::string mutate(Random& random, std::string bytes) {
  for (uint64_t left = 1 + random.below(4); left > 0; --left) {
    if (bytes.empty()) break;
    const size_t at = random.below(bytes.size());
    switch (random.below(6)) {
      case 0:
        bytes[at] = static_cast<char>(random.below(256));
        break;
      case 1:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
        break;
      case 2:
        bytes.erase(at, 1 + random.below(4));
        break;
      case 3:
        bytes.insert(at, 1, static_cast<char>(random.below(256)));
        break;
      case 4:
        bytes.resize(at);
        break;
      default:
        bytes.insert(at, bytes.substr(random.below(bytes.size()), random.below(20)));
    }
  }
  return bytes;
}

void test_mutations(Random& random, int rounds) {
  const pl::Bounds bounds;
  Context context;
  const PointId id = PointId::number(1);
  const std::string sealed = sealed_entry(std::string("\x00\x00\x00\x02xy", 6));
  size_t accepted = 0, rewritten = 0, programs = 0;
  for (int round = 0; round < rounds; ++round) {
    std::string bytes = encode(random_payload(random));
    if (random.one_in(3)) bytes += sealed;
    bytes = mutate(random, std::move(bytes));
    // Right at the end of a heap block, where one byte too far is seen.
    const std::vector<char> heap(bytes.begin(), bytes.end());
    const std::string_view raw(heap.data(), heap.size());
    std::string checked;
    bool good = false;
    try {
      checked = pl::check(raw, bounds);
      good = true;
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::kBadInput);
    }
    if (good) {
      ++accepted;
      rewritten += checked == raw ? 0 : 1;
      CHECK(pl::check(checked, bounds) == checked);
      CHECK(J(checked) == J(raw) || checked != raw);
    }
    const auto filter_bytes = '\x01' + random_filter(random, 2);
    const auto filter = Filter::decode(filter_bytes);
    filter->matches({id, 0, raw}, context);  // whatever it says, it must not read outside
    const std::string& path = random.pick(kPaths);
    for (const std::string_view base : {raw, std::string_view(checked)}) {
      const bool whole = base.data() == checked.data();
      try {
        std::vector<std::string> outs;
        outs.push_back(pl::include(base, {path, random.pick(kPaths)}));
        outs.push_back(pl::exclude(base, {path, random.pick(kPaths)}));
        outs.push_back(pl::remove_keys(base, {path}));
        pl::has_plain(base, {"a"});
        pl::envelope_count(base);
        outs.push_back(pl::merge(base, checked.empty() ? P(R"({"a":1})") : checked));
        outs.push_back(pl::merge_at(base, path, P(R"({"n":1,"a":null})")));
        outs.push_back(pl::append_envelope(base, "envelope"));
        // Changes of a canonical payload are canonical.
        for (const std::string& out : outs) CHECK(!whole || !good || pl::check(out, bounds) == out);
      } catch (const Error& error) {
        CHECK(!whole || error.kind() != ErrorKind::kInternal);
      }
    }
    const auto indexes = PayloadIndexes::create();
    indexes->add_index(path, static_cast<FieldType>(random.below(8)), "");
    indexes->insert(0, raw);
    indexes->erase(0, raw);
    CHECK(indexes->infos()[0].points == 0);

    const std::string broken = mutate(random, filter_bytes);
    const std::vector<char> program_heap(broken.begin(), broken.end());
    try {
      const auto decoded = Filter::decode({program_heap.data(), program_heap.size()});
      ++programs;
      decoded->matches({id, 0, checked}, context);
      decoded->needs_payload();
      indexes->plan(*decoded, context);
    } catch (const Error&) {
    }
    std::string text = mutate(random, random.pick(kPaths));
    try {
      pl::check_path(text);
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::kBadInput);
    }
    int64_t micros;
    text = mutate(random, "2023-02-08T10:49:00.123+01:00");
    filter::parse_datetime(text, micros);
  }
  std::printf("mutations: %d, payloads accepted %zu (rewritten %zu), programs accepted %zu\n", rounds, accepted, rewritten, programs);
  CHECK(accepted > 0 && rewritten > 0 && programs > 0);
}

// --- committed cases, made by test/filter/oracle.py with Qdrant's own client ---------------------------------------------

std::string field_of(const std::string& line, const std::string& name) {
  const size_t start = line.find("\"" + name + "\": \"");
  if (start == std::string::npos) return "";
  const size_t from = start + name.size() + 5;
  return line.substr(from, line.find('"', from) - from);
}

std::string unhex(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) out.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}

void test_cases(const char* file) {
  std::ifstream in(file);
  std::string line;
  size_t cases = 0, wrong = 0;
  while (std::getline(in, line)) {
    const std::string payload = pl::check(unhex(field_of(line, "payload_hex")), pl::Bounds{});
    const bool expected = line.find("\"expected\": true") != std::string::npos;
    const bool got = matches(payload, unhex(field_of(line, "program_hex")));
    ++cases;
    if (got != expected && ++wrong <= 10) std::printf("case %zu: got %d: %.600s\n", cases, got, line.c_str());
  }
  std::printf("cases: %zu, wrong %zu\n", cases, wrong);
  CHECK(cases > 0 && wrong == 0);
}

// --- times ---------------------------------------------------------------------------------------------------------

void bench(uint32_t points) {
  Random random(1);
  const auto indexes = PayloadIndexes::create();
  Context context;
  const auto clock = [] { return std::chrono::steady_clock::now(); };
  const auto ms = [](auto from, auto to) { return std::chrono::duration<double, std::milli>(to - from).count(); };
  indexes->add_index("n", FieldType::kInteger, "");
  indexes->add_index("k", FieldType::kKeyword, "");
  indexes->add_index("u", FieldType::kKeyword, "");
  indexes->add_index("g", FieldType::kGeo, "");
  std::vector<std::string> payloads;
  for (uint32_t slot = 0; slot < points; ++slot) {
    char text[256];
    std::snprintf(text, sizeof text, R"({"n":%d,"k":"k%d","u":"unique-%u","g":{"lon":%f,"lat":%f}})", static_cast<int>(random.below(1000)),
                  static_cast<int>(random.below(20)), slot, static_cast<double>(random.below(3600000)) / 10000 - 180,
                  static_cast<double>(random.below(1800000)) / 10000 - 90);
    payloads.push_back(P(text));
    context.live_slots.set(slot);
  }
  auto start = clock();
  for (uint32_t slot = 0; slot < points; ++slot) indexes->insert(slot, payloads[slot]);
  std::printf("%u points: insert into 4 indexes %.2f us a point\n", points, ms(start, clock()) * 1000 / points);
  for (const auto& info : indexes->infos()) std::printf("  %s: %.1f bytes a point\n", info.key.c_str(), static_cast<double>(info.bytes) / points);
  using List = std::vector<std::string>;
  const auto range = condition(Kind::kRange, "n", [](ByteWriter& out) { out.u8(1), out.f64(470); });
  const auto keyword = condition(Kind::kMatchKeyword, "k", [](ByteWriter& out) { out.text("k3"); });
  const auto unique = condition(Kind::kMatchKeyword, "u", [](ByteWriter& out) { out.text("unique-77"); });
  const auto radius = condition(Kind::kGeoRadius, "g", [](ByteWriter& out) { out.f64(13.4), out.f64(52.5), out.f64(200000); });
  const std::pair<const char*, std::string> programs[] = {{"range 47 %", program(List{range})},
                                                          {"keyword 5 %", program(List{keyword})},
                                                          {"unique keyword", program(List{unique})},
                                                          {"radius 200 km", program(List{radius})},
                                                          {"range and not keyword", program(List{range}, List{}, List{keyword})}};
  for (const auto& [name, bytes] : programs) {
    const auto filter = Filter::decode(bytes);
    double best = 1e9;
    FilterPlan plan;
    for (int i = 0; i < 20; ++i) {
      start = clock();
      plan = indexes->plan(*filter, context);
      best = std::min(best, ms(start, clock()));
    }
    start = clock();
    size_t count = 0;
    for (uint32_t slot = 0; slot < points; ++slot) count += filter->matches({PointId(), slot, payloads[slot]}, context) ? 1 : 0;
    std::printf("  %-22s plan %.3f ms, %zu slots, exact %d; all payloads %.1f ms, %zu\n", name, best, plan.count, plan.exact, ms(start, clock()), count);
  }
  start = clock();
  for (uint32_t slot = 0; slot < points; ++slot) pl::check(payloads[slot], pl::Bounds{});
  std::printf("  check %.3f us a payload\n", ms(start, clock()) * 1000 / points);
  start = clock();
  for (uint32_t slot = 0; slot < points; ++slot) indexes->erase(slot, payloads[slot]);
  std::printf("  erase %.2f us a point\n", ms(start, clock()) * 1000 / points);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "bench") {
    bench(100'000);
    bench(1'000'000);
    return 0;
  }
  const uint64_t seed = argc > 1 && argv[1][0] != '-' ? std::strtoull(argv[1], nullptr, 10) : std::random_device()();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  test_check();
  test_sealed();
  test_changes();
  test_datetime();
  test_filters();
  Random random(seed);
  test_plans(random, 300);
  test_mutations(random, 20'000);
  if (argc > 2) test_cases(argv[2]);
  std::printf(failures == 0 ? "ok\n" : "%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
