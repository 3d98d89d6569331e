// Reads the bytes of qdrant.Value and of its maps, as src/core/payload.ts fixes them. Every reader here is bounded by
// the view it is given: wrong bytes end the walk early and never lead outside.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace sealpoint::payload {

// Field numbers of a map entry: `payload` of a stored point is field 2, qdrant.Struct.fields is field 1.
inline constexpr uint32_t kRootField = 2;
inline constexpr uint32_t kStructField = 1;
inline constexpr std::string_view kSealedKey = "$sealpoint";

enum class Kind : uint8_t { kNull, kDouble, kInteger, kString, kBool, kStruct, kList, kEnvelopes };

struct Value {
  Kind kind = Kind::kNull;
  bool flag = false;
  double number = 0;
  int64_t integer = 0;
  std::string_view body;  // the string; the entries of a struct; the elements of a list; the framed envelopes
};

class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}
  bool done() const { return at_ == end_; }
  const char* at() const { return at_; }

  bool varint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (at_ == end_) return false;
      const uint8_t byte = static_cast<uint8_t>(*at_++);
      if (shift == 63 && byte > 1) return false;
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return true;
    }
    return false;
  }
  bool tag(uint32_t& field, uint32_t& type) {
    uint64_t raw;
    if (!varint(raw) || raw > 0xffffffffULL) return false;
    field = static_cast<uint32_t>(raw >> 3);
    type = static_cast<uint32_t>(raw & 7);
    return field != 0;
  }
  bool bytes(std::string_view& value) {
    uint64_t size;
    if (!varint(size) || size > static_cast<uint64_t>(end_ - at_)) return false;
    value = {at_, static_cast<size_t>(size)};
    at_ += size;
    return true;
  }
  bool fixed64(uint64_t& value) {
    if (end_ - at_ < 8) return false;
    std::memcpy(&value, at_, 8);
    at_ += 8;
    return true;
  }
  bool skip(uint32_t type) {
    uint64_t ignored;
    std::string_view view;
    switch (type) {
      case 0:
        return varint(ignored);
      case 1:
        return fixed64(ignored);
      case 2:
        return bytes(view);
      case 5:
        if (end_ - at_ < 4) return false;
        at_ += 4;
        return true;
      default:
        return false;  // groups: no message of ours or Qdrant's has any
    }
  }

 private:
  const char* at_;
  const char* end_;
};

inline size_t varint_size(uint64_t value) {
  size_t size = 1;
  while (value >= 0x80) {
    value >>= 7;
    ++size;
  }
  return size;
}

// `Text` is std::string or one with another allocator.
template <typename Text>
void put_varint(Text& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

template <typename Text>
void put_bytes(Text& out, uint32_t field, std::string_view value) {
  put_varint(out, field << 3 | 2);
  put_varint(out, value.size());
  out.append(value);
}

// Writes field `field` with the message that `body` appends. `guess` is the likely size, so that the length rarely has
// to be widened.
template <typename Text, typename Body>
void put_message(Text& out, uint32_t field, size_t guess, Body body) {
  put_varint(out, field << 3 | 2);
  const size_t at = out.size();
  const size_t width = varint_size(guess);
  out.append(width, '\0');
  body();
  const size_t size = out.size() - at - width;
  const size_t needed = varint_size(size);
  if (needed > width) out.insert(at, needed - width, '\0');
  if (needed < width) out.erase(at, width - needed);
  uint64_t rest = size;
  for (size_t i = 0; i < needed; ++i, rest >>= 7) {
    out[at + i] = static_cast<char>((rest & 0x7f) | (i + 1 < needed ? 0x80 : 0));
  }
}

// The value that the bytes of a qdrant.Value hold; null when they hold none or are damaged.
inline Value read_value(std::string_view bytes) {
  Value value;
  WireReader reader(bytes);
  uint32_t field, type;
  uint64_t raw;
  while (!reader.done()) {
    if (!reader.tag(field, type)) return {};
    if (field == 1 && type == 0) {
      if (!reader.varint(raw)) return {};
      value = {};
    } else if (field == 2 && type == 1) {
      if (!reader.fixed64(raw)) return {};
      value.kind = Kind::kDouble;
      std::memcpy(&value.number, &raw, 8);
    } else if (field == 3 && type == 0) {
      if (!reader.varint(raw)) return {};
      value.kind = Kind::kInteger;
      value.integer = static_cast<int64_t>(raw);
    } else if (field == 5 && type == 0) {
      if (!reader.varint(raw)) return {};
      value.kind = Kind::kBool;
      value.flag = raw != 0;
    } else if (type == 2 && (field == 4 || field == 6 || field == 7 || field == 15)) {
      if (!reader.bytes(value.body)) return {};
      value.kind = field == 4   ? Kind::kString
                   : field == 6 ? Kind::kStruct
                   : field == 7 ? Kind::kList
                                : Kind::kEnvelopes;
    } else if (!reader.skip(type)) {
      return {};
    }
  }
  return value;
}

struct Entry {
  std::string_view key;
  std::string_view value;  // bytes of the qdrant.Value
  std::string_view raw;    // tag, length and all
};

// Visit(const Entry&) -> bool, false ends the walk. True when the bytes were read to their end.
template <typename Visit>
bool for_each_entry(std::string_view entries, uint32_t map_field, Visit visit) {
  WireReader reader(entries);
  uint32_t field, type;
  while (!reader.done()) {
    const char* start = reader.at();
    if (!reader.tag(field, type)) return false;
    if (field != map_field || type != 2) {
      if (!reader.skip(type)) return false;
      continue;
    }
    std::string_view body;
    if (!reader.bytes(body)) return false;
    Entry entry;
    entry.raw = {start, static_cast<size_t>(reader.at() - start)};
    WireReader inner(body);
    while (!inner.done()) {
      if (!inner.tag(field, type)) return false;
      if (type == 2 && field == 1) {
        if (!inner.bytes(entry.key)) return false;
      } else if (type == 2 && field == 2) {
        if (!inner.bytes(entry.value)) return false;
      } else if (!inner.skip(type)) {
        return false;
      }
    }
    if (!visit(static_cast<const Entry&>(entry))) return true;
  }
  return true;
}

// Visit(std::string_view value_bytes) -> bool, false ends the walk.
template <typename Visit>
bool for_each_element(std::string_view elements, Visit visit) {
  WireReader reader(elements);
  uint32_t field, type;
  while (!reader.done()) {
    if (!reader.tag(field, type)) return false;
    if (field != 1 || type != 2) {
      if (!reader.skip(type)) return false;
      continue;
    }
    std::string_view body;
    if (!reader.bytes(body)) return false;
    if (!visit(body)) return true;
  }
  return true;
}

}  // namespace sealpoint::payload
