// payload::check: the only place where bytes from outside become a stored payload. Most payloads arrive in canonical
// form already, so a quick walk decides that first; everything else is rewritten, and only the rewriting walk reports
// what is wrong and where.
#include <cmath>
#include <unordered_set>

#include "../core/status.h"
#include "../core/utf8.h"
#include "payload.h"
#include "wire.h"

namespace sealpoint::payload {
namespace {

// Maps up to this size look for equal keys by comparing all pairs, larger ones by hashing.
constexpr size_t kSmallMap = 8;

// Whole envelopes, each behind its u32 BE length; at least one.
bool valid_envelopes(std::string_view framed) {
  if (framed.empty()) return false;
  while (!framed.empty()) {
    if (framed.size() < 4) return false;
    uint32_t size = 0;
    for (int i = 0; i < 4; ++i) size = size << 8 | static_cast<uint8_t>(framed[i]);
    framed.remove_prefix(4);
    if (size == 0 || size > framed.size()) return false;
    framed.remove_prefix(size);
  }
  return true;
}

// --- the quick walk -----------------------------------------------------------------------------------------------

class CanonicalWalk {
 public:
  explicit CanonicalWalk(const Bounds& bounds) : bounds_(bounds) {}
  bool root(std::string_view entries) { return map(entries, kRootField, 0); }

 private:
  static bool minimal_varint(std::string_view& in, uint64_t& value) {
    WireReader reader(in);
    if (!reader.varint(value)) return false;
    const size_t size = static_cast<size_t>(reader.at() - in.data());
    if (size != varint_size(value)) return false;
    in.remove_prefix(size);
    return true;
  }
  static bool part(std::string_view& in, uint8_t tag, std::string_view& body) {
    if (in.empty() || static_cast<uint8_t>(in[0]) != tag) return false;
    in.remove_prefix(1);
    uint64_t size;
    if (!minimal_varint(in, size) || size > in.size()) return false;
    body = in.substr(0, size);
    in.remove_prefix(size);
    return true;
  }
  bool map(std::string_view in, uint32_t field, size_t depth) {
    std::string_view few[kSmallMap];
    std::unordered_set<std::string_view> many;
    size_t count = 0;
    while (!in.empty()) {
      std::string_view entry, key, value;
      if (!part(in, static_cast<uint8_t>(field << 3 | 2), entry)) return false;
      if (!part(entry, 0x0a, key) || !part(entry, 0x12, value) || !entry.empty()) return false;
      if (!valid_utf8(key)) return false;
      if (count < kSmallMap) {
        for (size_t i = 0; i < count; ++i) {
          if (few[i] == key) return false;
        }
        few[count] = key;
      } else {
        if (count == kSmallMap) many.insert(few, few + kSmallMap);
        if (!many.insert(key).second) return false;
      }
      // The stored form of the reserved key is allowed in the first place only.
      if (!this->value(value, depth, depth == 0 && count == 0 && key == kSealedKey)) return false;
      ++count;
    }
    return true;
  }
  bool value(std::string_view in, size_t depth, bool sealed) {
    if (in.empty()) return false;
    std::string_view body;
    uint64_t raw;
    double number;
    switch (static_cast<uint8_t>(in[0])) {
      case 0x08:
        return in.size() == 2 && in[1] == 0;
      case 0x11:
        if (in.size() != 9) return false;
        std::memcpy(&number, in.data() + 1, 8);
        return std::isfinite(number);
      case 0x18:
        in.remove_prefix(1);
        return minimal_varint(in, raw) && in.empty();
      case 0x22:
        return part(in, 0x22, body) && in.empty() && valid_utf8(body);
      case 0x28:
        return in.size() == 2 && (in[1] == 0 || in[1] == 1);
      case 0x32:
        return depth < bounds_.depth_max && part(in, 0x32, body) && in.empty() && map(body, kStructField, depth + 1);
      case 0x3a:
        if (depth >= bounds_.depth_max || !part(in, 0x3a, body) || !in.empty()) return false;
        while (!body.empty()) {
          std::string_view element;
          if (!part(body, 0x0a, element) || !value(element, depth + 1, false)) return false;
        }
        return true;
      case 0x7a:
        return sealed && part(in, 0x7a, body) && in.empty() && valid_envelopes(body);
      default:
        return false;
    }
  }

  const Bounds& bounds_;
};

// --- the rewriting walk -------------------------------------------------------------------------------------------

// Where the walk stands; a path is spelled out only when something is wrong there.
struct Place {
  const Place* up = nullptr;
  std::string_view key;
  size_t index = 0;
  bool is_index = false;
};

[[noreturn]] void fail(const Place& place, const std::string& what) {
  std::string path;
  for (const Place* at = &place; at != nullptr && at->up != nullptr; at = at->up) {
    std::string step = at->is_index ? '[' + std::to_string(at->index) + ']' : '.' + std::string(at->key.substr(0, 64));
    path.insert(0, step);
    if (path.size() > 512) break;
  }
  if (!path.empty() && path[0] == '.') path.erase(0, 1);
  // A key may be what is not UTF-8: the error's text has to stay valid.
  if (!valid_utf8(path)) path.clear();
  throw Error(ErrorKind::kBadInput, "payload: " + what + (path.empty() ? "" : " at " + path),
              path.empty() ? "payload" : "payload." + path);
}

class Rewrite {
 public:
  explicit Rewrite(const Bounds& bounds) : bounds_(bounds) {}

  std::string root(std::string_view entries) {
    std::string out;
    out.reserve(entries.size());
    map(entries, kRootField, 0, Place{}, out);
    return out;
  }

 private:
  struct Item {
    std::string_view key;
    std::string_view value;
    std::string joined;  // the value when it came in parts: protobuf merges messages by concatenation
    bool dropped = false;
    std::string_view bytes() const { return joined.empty() ? value : std::string_view(joined); }
  };

  static void join(std::string_view part, bool& seen, std::string_view& whole, std::string& joined) {
    if (!seen) {
      whole = part;
      seen = true;
      return;
    }
    if (joined.empty()) joined.assign(whole);
    joined.append(part);
  }

  std::vector<Item> items(std::string_view entries, uint32_t map_field, const Place& place) {
    std::vector<Item> items;
    WireReader reader(entries);
    uint32_t field, type;
    while (!reader.done()) {
      if (!reader.tag(field, type)) fail(place, "malformed protobuf");
      if (field != map_field || type != 2) {
        // The root is our own framing, where nothing else can stand; inside, unknown fields are passed over as protobuf
        // asks.
        if (map_field == kRootField || !reader.skip(type)) fail(place, "malformed protobuf");
        continue;
      }
      std::string_view body;
      if (!reader.bytes(body)) fail(place, "malformed protobuf");
      Item item;
      bool seen = false;
      WireReader inner(body);
      while (!inner.done()) {
        std::string_view part;
        if (!inner.tag(field, type)) fail(place, "malformed protobuf");
        if (field == 1 && type == 2) {
          if (!inner.bytes(item.key)) fail(place, "malformed protobuf");
        } else if (field == 2 && type == 2) {
          if (!inner.bytes(part)) fail(place, "malformed protobuf");
          join(part, seen, item.value, item.joined);
        } else if (!inner.skip(type)) {
          fail(place, "malformed protobuf");
        }
      }
      if (!valid_utf8(item.key)) fail(place, "a key is not valid UTF-8");
      items.push_back(std::move(item));
    }
    drop_repeated(items);
    return items;
  }

  static void drop_repeated(std::vector<Item>& items) {
    if (items.size() <= kSmallMap) {
      for (size_t i = 0; i < items.size(); ++i) {
        for (size_t j = i + 1; j < items.size() && !items[i].dropped; ++j)
          items[i].dropped = items[j].key == items[i].key;
      }
      return;
    }
    std::unordered_set<std::string_view> seen;
    for (size_t i = items.size(); i-- > 0;) items[i].dropped = !seen.insert(items[i].key).second;
  }

  void map(std::string_view entries, uint32_t field, size_t depth, const Place& place, std::string& out) {
    std::vector<Item> found = items(entries, field, place);
    const auto put = [&](const Item& item) {
      const Place here{&place, item.key, 0, false};
      put_message(out, field, item.bytes().size() + item.key.size() + 4, [&] {
        put_bytes(out, 1, item.key);
        put_message(out, 2, item.bytes().size(),
                    [&] { value(item.bytes(), depth, depth == 0 && item.key == kSealedKey, here, out); });
      });
    };
    if (depth == 0) {
      for (Item& item : found) {
        if (item.dropped || item.key != kSealedKey || read_value(item.bytes()).kind != Kind::kEnvelopes) continue;
        put(item);
        item.dropped = true;
      }
    }
    for (const Item& item : found) {
      if (!item.dropped) put(item);
    }
  }

  void value(std::string_view bytes, size_t depth, bool sealed, const Place& place, std::string& out) {
    Value value;
    std::string joined;
    bool other = false;
    WireReader reader(bytes);
    uint32_t field, type;
    while (!reader.done()) {
      uint64_t raw = 0;
      std::string_view part;
      if (!reader.tag(field, type)) fail(place, "malformed protobuf");
      bool good = true;
      if (field == 1 && type == 0) {
        good = reader.varint(raw);
        value = {};
        other = true;
      } else if (field == 2 && type == 1) {
        good = reader.fixed64(raw);
        value.kind = Kind::kDouble;
        std::memcpy(&value.number, &raw, 8);
        other = true;
      } else if (field == 3 && type == 0) {
        good = reader.varint(raw);
        value.kind = Kind::kInteger;
        value.integer = static_cast<int64_t>(raw);
        other = true;
      } else if (field == 4 && type == 2) {
        good = reader.bytes(value.body);
        value.kind = Kind::kString;
        other = true;
      } else if (field == 5 && type == 0) {
        good = reader.varint(raw);
        value.kind = Kind::kBool;
        value.flag = raw != 0;
        other = true;
      } else if ((field == 6 || field == 7) && type == 2) {
        const Kind kind = field == 6 ? Kind::kStruct : Kind::kList;
        good = reader.bytes(part);
        bool seen = value.kind == kind;
        if (!seen) joined.clear();
        join(part, seen, value.body, joined);
        value.kind = kind;
        other = true;
      } else if (field == 15 && type == 2 && sealed) {
        good = reader.bytes(value.body);
        value.kind = Kind::kEnvelopes;
      } else {
        good = reader.skip(type);
      }
      if (!good) fail(place, "malformed protobuf");
    }
    if (!joined.empty() && (value.kind == Kind::kStruct || value.kind == Kind::kList)) value.body = joined;
    put_value(value, other, depth, place, out);
  }

  void put_value(const Value& value, bool other, size_t depth, const Place& place, std::string& out) {
    switch (value.kind) {
      case Kind::kNull:
        out.append("\x08\x00", 2);
        return;
      case Kind::kDouble:
        if (!std::isfinite(value.number)) fail(place, "a number is not finite");
        out.push_back('\x11');
        out.append(reinterpret_cast<const char*>(&value.number), 8);
        return;
      case Kind::kInteger:
        out.push_back('\x18');
        put_varint(out, static_cast<uint64_t>(value.integer));
        return;
      case Kind::kString:
        if (!valid_utf8(value.body)) fail(place, "a string is not valid UTF-8");
        put_bytes(out, 4, value.body);
        return;
      case Kind::kBool:
        out.push_back('\x28');
        out.push_back(value.flag ? 1 : 0);
        return;
      case Kind::kStruct:
        check_depth(depth, place);
        put_message(out, 6, value.body.size(), [&] { map(value.body, kStructField, depth + 1, place, out); });
        return;
      case Kind::kList:
        check_depth(depth, place);
        put_message(out, 7, value.body.size(), [&] { list(value.body, depth + 1, place, out); });
        return;
      case Kind::kEnvelopes:
        if (other || !valid_envelopes(value.body)) fail(place, "the envelopes are malformed");
        put_bytes(out, 15, value.body);
        return;
    }
  }

  void list(std::string_view elements, size_t depth, const Place& place, std::string& out) {
    WireReader reader(elements);
    uint32_t field, type;
    size_t index = 0;
    while (!reader.done()) {
      if (!reader.tag(field, type)) fail(place, "malformed protobuf");
      if (field != 1 || type != 2) {
        if (!reader.skip(type)) fail(place, "malformed protobuf");
        continue;
      }
      std::string_view element;
      if (!reader.bytes(element)) fail(place, "malformed protobuf");
      const Place here{&place, {}, index++, true};
      put_message(out, 1, element.size(), [&] { value(element, depth, false, here, out); });
    }
  }

  void check_depth(size_t depth, const Place& place) const {
    if (depth >= bounds_.depth_max) {
      fail(place, "lists and objects are nested more than " + std::to_string(bounds_.depth_max) + " deep");
    }
  }

  const Bounds& bounds_;
};

}  // namespace

bool is_canonical(std::string_view entries, const Bounds& bounds) {
  return entries.size() <= bounds.bytes_max && CanonicalWalk(bounds).root(entries);
}

std::string check(std::string_view entries, const Bounds& bounds) {
  const auto check_size = [&](size_t size) {
    if (size > bounds.bytes_max) {
      throw Error(
          ErrorKind::kBadInput,
          "payload: " + std::to_string(size) + " bytes are more than the limit of " + std::to_string(bounds.bytes_max),
          "payload");
    }
  };
  check_size(entries.size());
  if (CanonicalWalk(bounds).root(entries)) return std::string(entries);
  std::string out = Rewrite(bounds).root(entries);
  check_size(out.size());
  return out;
}

}  // namespace sealpoint::payload
