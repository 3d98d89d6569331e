// What the checks of payloads and filters share: JSON to stored bytes and back, programs of filters, random payloads
// and filters.
#pragma once
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "../core/bytes.h"
#include "../core/status.h"
#include "../filter/filter.h"
#include "../filter/tree.h"
#include "../payload/payload.h"
#include "../payload/wire.h"
#include "program.h"

namespace sealpoint::check {

namespace pl = sealpoint::payload;

// --- a small JSON, so that cases can be read -----------------------------------------------------------------------

struct JsonField;

struct Json {
  enum class Type { kNull, kBool, kInt, kDouble, kString, kList, kObject } type = Type::kNull;
  bool flag = false;
  int64_t integer = 0;
  double number = 0;
  std::string text;
  std::vector<Json> list;
  std::vector<JsonField> object;
};

struct JsonField {
  std::string key;
  Json value;
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
          out.object.push_back({std::move(key), read()});
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

inline std::string encode_value(const Json& json);

inline std::string encode_map(const Json& json, uint32_t field) {
  std::string out;
  for (const auto& [key, value] : json.object) {
    std::string entry;
    pl::put_bytes(entry, 1, key);
    pl::put_bytes(entry, 2, encode_value(value));
    pl::put_bytes(out, field, entry);
  }
  return out;
}

inline std::string encode_value(const Json& json) {
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

inline std::string encode(const Json& json) { return encode_map(json, 2); }
inline std::string P(std::string_view text) { return encode(JsonReader(text).read()); }

inline std::string show_map(std::string_view entries, uint32_t field);
inline std::string show(const pl::Value& value) {
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
inline std::string show_map(std::string_view entries, uint32_t field) {
  std::map<std::string, std::string> sorted;
  pl::for_each_entry(entries, field, [&](const pl::Entry& entry) {
    sorted[std::string(entry.key)] = show(pl::read_value(entry.value));
    return true;
  });
  std::string out = "{";
  for (const auto& [key, value] : sorted) out += (out.size() > 1 ? ",\"" : "\"") + key + "\":" + value;
  return out + "}";
}
inline std::string J(std::string_view entries) { return show_map(entries, 2); }

template <typename Call>
inline ErrorKind error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.kind();
  }
  return ErrorKind::kInternal;
}

inline void expect_json(const char* what, const std::string& got, std::string_view wanted) {
  pl::check(got, pl::Bounds{});
  if (J(got) == J(P(wanted))) return;
  CHECK(false, "%s\n  got    %s\n  wanted %s", what, J(got).c_str(), std::string(wanted).c_str());
}

inline std::string sealed_entry(std::string_view framed) {
  std::string value, entry, out;
  pl::put_bytes(value, 15, framed);
  pl::put_bytes(entry, 1, pl::kSealedKey);
  pl::put_bytes(entry, 2, value);
  pl::put_bytes(out, 2, entry);
  return out;
}

// --- programs of filters
// -------------------------------------------------------------------------------------------------------

using Kind = filter::ConditionKind;

inline void put_filter(ByteWriter& out, const std::vector<std::string>& must,
                       const std::vector<std::string>& should = {}, const std::vector<std::string>& must_not = {},
                       int min_count = -1, const std::vector<std::string>& min_should = {}) {
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
inline std::string condition(Kind kind, std::string_view key, Rest rest) {
  ByteWriter out;
  out.u8(static_cast<uint8_t>(kind));
  if (kind != Kind::kHasId && kind != Kind::kHasVector && kind != Kind::kFilter) out.text(key);
  rest(out);
  return out.bytes();
}

template <typename... Lists>
inline std::string program(const Lists&... lists) {
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
  bool has_vector(std::string_view name, uint32_t slot) const override {
    return vectors.contains({std::string(name), slot});
  }
  bool slot_of(const PointId& id, uint32_t& slot) const override {
    for (slot = 0; slot < ids.size() && !(ids[slot] == id && live_slots.test(slot));) ++slot;
    return slot < ids.size();
  }
  PointId id_of(uint32_t slot) const override { return ids[slot]; }
  size_t slots() const override { return ids.size(); }
  const Bitset& live() const override { return live_slots; }
  const filter::TextFields* text_fields() const override { return indexes == nullptr ? nullptr : (texts = indexes->text_fields()).get(); }
  mutable std::shared_ptr<const filter::TextFields> texts;
  bool is_uuid_field(std::string_view key) const override { return indexes != nullptr && indexes->is_uuid_field(key); }
};

inline bool matches(std::string_view payload, const std::string& bytes) {
  Context context;
  const PointId id = PointId::number(1);
  return Filter::decode(bytes)->matches({id, 0, payload}, context);
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

inline const std::vector<std::string> kTexts = {"x",
                                                "y",
                                                "z",
                                                "",
                                                "2023-02-08T10:49:00Z",
                                                "2023-02-08",
                                                "2024-01-01 00:00:00+02:00",
                                                "0a0b0c0d-0000-0000-0000-00000000000f",
                                                "0A0B0C0D-0000-0000-0000-00000000000F",
                                                "0a0b0c0d00000000000000000000000f",
                                                "11111111-1111-1111-1111-111111111111"};
inline const std::vector<int64_t> kIntegers = {0,         1,        2, 3, -1, 7, 9007199254740993, 9007199254740992,
                                               INT64_MIN, INT64_MAX};
inline const std::vector<double> kNumbers = {0.0, -0.0, 1.0, 1.5, 2.0, -1.0, 2.5, 1e300, 9007199254740992.0};
inline const std::vector<std::string> kKeys = {"a", "b", "c", "d e"};
inline const std::vector<std::string> kPaths = {"a",     "b",     "c",       "\"d e\"", "a.b", "a[]",
                                                "a[].b", "b[].c", "a.b[].c", "a[0]",    "b.a", "c[].a"};

inline Json random_value(Random& random, int depth) {
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
        number.number = static_cast<double>(random.below(3600)) / 10 - (key[1] == 'o'      ? 180
                                                                        : random.one_in(8) ? 180
                                                                                           : 90);
        if (key[1] == 'a' && !random.one_in(8)) number.number = std::fmod(number.number, 90);
        json.object.push_back({key, number});
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
        if (random.one_in(2)) json.object.push_back({key, random_value(random, depth - 1)});
      }
    }
  }
  return json;
}

// Half of all paths are `a`, and half of the values there lists of one type: so an index, a condition on it and a slot
// with several of its values come together often.
inline const std::string& random_path(Random& random) { return random.one_in(2) ? kPaths[0] : random.pick(kPaths); }

inline Json random_list(Random& random) {
  Json json;
  json.type = Json::Type::kList;
  const bool texts = random.one_in(2);
  for (uint64_t left = random.below(4); left > 0; --left) {
    Json element;
    element.type = texts ? Json::Type::kString : Json::Type::kInt;
    if (texts) element.text = random.pick(kTexts);
    element.integer = random.pick(kIntegers);
    json.list.push_back(element);
  }
  return json;
}

inline Json random_payload(Random& random) {
  Json json;
  json.type = Json::Type::kObject;
  for (const std::string& key : kKeys) {
    if (key == kPaths[0] && random.one_in(2)) {
      json.object.push_back({key, random_list(random)});
      continue;
    }
    if (!random.one_in(4)) json.object.push_back({key, random_value(random, 3)});
  }
  return json;
}

inline std::string random_filter(Random& random, int depth);

inline std::string random_condition(Random& random, int depth) {
  const Kind kind = static_cast<Kind>(1 + random.below(depth > 0 ? 19 : 17));
  return condition(kind, random_path(random), [&](ByteWriter& out) {
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
        bounds(
            [&] { out.f64(random.one_in(2) ? random.pick(kNumbers) : static_cast<double>(random.pick(kIntegers))); });
        break;
      case Kind::kDatetimeRange:
        bounds([&] {
          out.put<int64_t>(random.one_in(2) ? 1675853340000000
                                            : 1704060000000000 - static_cast<int64_t>(random.below(2)));
        });
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

inline std::string random_filter(Random& random, int depth) {
  const auto list = [&](uint64_t max) {
    std::vector<std::string> conditions;
    for (uint64_t left = random.below(max + 1); left > 0; --left) conditions.push_back(random_condition(random, depth));
    return conditions;
  };
  ByteWriter out;
  const bool min_should = random.one_in(5);
  put_filter(out, list(2), random.one_in(2) ? list(3) : std::vector<std::string>{},
             random.one_in(2) ? list(2) : std::vector<std::string>{},
             min_should ? static_cast<int>(random.below(4)) : -1, min_should ? list(3) : std::vector<std::string>{});
  return out.bytes();
}

inline std::string mutate(Random& random, std::string bytes) {
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

inline int report() {
  std::printf("ok\n");
  return 0;
}

}  // namespace sealpoint::check
