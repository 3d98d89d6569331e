#include "json_path.h"

#include "../core/status.h"
#include "payload.h"

namespace sealpoint::payload {
namespace {

constexpr size_t kPathBytesMax = 4096;
constexpr size_t kPathItemsMax = 128;

// Qdrant takes any alphanumeric character of Unicode; whether a character beyond ASCII is a letter is left to
// src/filter/encode.ts.
bool plain_key_byte(char c) {
  const uint8_t byte = static_cast<uint8_t>(c);
  return byte >= 0x80 || (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
         byte == '_' || byte == '-';
}

bool take_key(std::string_view& text, std::string& key) {
  if (!text.empty() && text[0] == '"') {
    const size_t end = text.find_first_of("\"\\", 1);
    if (end == std::string_view::npos || text[end] != '"') return false;
    key = text.substr(1, end - 1);
    text.remove_prefix(end + 1);
    return true;
  }
  size_t size = 0;
  while (size < text.size() && plain_key_byte(text[size])) ++size;
  key = text.substr(0, size);
  text.remove_prefix(size);
  return size > 0;
}

bool take_bracket(std::string_view& text, PathItem& item) {
  const size_t end = text.find(']');
  if (end == std::string_view::npos) return false;
  const std::string_view digits = text.substr(1, end - 1);
  item.type = digits.empty() ? PathItem::Type::kEach : PathItem::Type::kIndex;
  for (const char c : digits) {
    if (c < '0' || c > '9') return false;
    const uint64_t digit = static_cast<uint64_t>(c - '0');
    if (item.index > (UINT64_MAX - digit) / 10) return false;
    item.index = item.index * 10 + digit;
  }
  text.remove_prefix(end + 1);
  return true;
}

bool parse_items(std::string_view text, std::vector<PathItem>& items) {
  PathItem first;
  if (!take_key(text, first.key)) return false;
  items.push_back(std::move(first));
  while (!text.empty()) {
    if (items.size() == kPathItemsMax) return false;
    PathItem item;
    if (text[0] == '[') {
      if (!take_bracket(text, item)) return false;
    } else {
      if (text[0] != '.') return false;
      text.remove_prefix(1);
      if (!take_key(text, item.key)) return false;
    }
    items.push_back(std::move(item));
  }
  return true;
}

}  // namespace

Path Path::parse(std::string_view text, const std::string& field) {
  Path path;
  if (text.size() > kPathBytesMax || !parse_items(text, path.items)) {
    throw Error(ErrorKind::kBadInput, "Invalid json path: '" + std::string(text.substr(0, 64)) + "'", field);
  }
  return path;
}

std::string Path::canonical() const {
  std::string out;
  for (const PathItem& item : items) {
    switch (item.type) {
      case PathItem::Type::kKey: {
        if (!out.empty()) out.push_back('.');
        bool plain = !item.key.empty();
        for (const char c : item.key) plain = plain && plain_key_byte(c);
        if (plain) {
          out += item.key;
        } else {
          out += '"' + item.key + '"';
        }
        break;
      }
      case PathItem::Type::kIndex:
        out += '[' + std::to_string(item.index) + ']';
        break;
      case PathItem::Type::kEach:
        out += "[]";
        break;
    }
  }
  return out;
}

Path Path::array_key() const {
  Path path = *this;
  if (!path.items.back().is_each()) {
    PathItem each;
    each.type = PathItem::Type::kEach;
    path.items.push_back(std::move(each));
  }
  return path;
}

Path Path::extend(const Path& other) const {
  Path path = *this;
  path.items.insert(path.items.end(), other.items.begin(), other.items.end());
  return path;
}

void check_path(std::string_view path) { Path::parse(path); }

}  // namespace sealpoint::payload
