// Qdrant's JSON paths: `key`, `"quoted key"`, `[]` and `[n]`, joined by dots. A path starts with a key.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "wire.h"

namespace sealpoint::payload {

struct PathItem {
  enum class Type : uint8_t { kKey, kIndex, kEach };
  Type type = Type::kKey;
  std::string key;
  uint64_t index = 0;

  bool is_key(std::string_view name) const { return type == Type::kKey && key == name; }
  bool is_each() const { return type == Type::kEach; }
};

struct Path {
  std::vector<PathItem> items;

  // Throws Error kBadInput that names `field`.
  static Path parse(std::string_view text, const std::string& field = "key");
  // One spelling per path, so that equal paths compare equal as text.
  std::string canonical() const;
  // `a.b` gives `a.b[]`; a path that ends in [] stays as it is.
  Path array_key() const;
  Path extend(const Path& other) const;
};

template <typename Visit>
bool visit_values(const Value& value, const std::vector<PathItem>& items, size_t at, Visit& visit) {
  if (at == items.size()) return visit(value);
  const PathItem& item = items[at];
  bool go_on = true;
  if (item.type == PathItem::Type::kKey) {
    if (value.kind != Kind::kStruct) return true;
    for_each_entry(value.body, kStructField, [&](const Entry& entry) {
      if (entry.key != item.key) return true;
      go_on = visit_values(read_value(entry.value), items, at + 1, visit);
      return false;
    });
    return go_on;
  }
  if (value.kind != Kind::kList) return true;
  uint64_t index = 0;
  for_each_element(value.body, [&](std::string_view bytes) {
    if (item.is_each()) {
      go_on = visit_values(read_value(bytes), items, at + 1, visit);
      return go_on;
    }
    if (index++ != item.index) return true;
    go_on = visit_values(read_value(bytes), items, at + 1, visit);
    return false;
  });
  return go_on;
}

// The values at a path, as Qdrant selects them: an array at the end of the path is one value. Visit(const Value&) ->
// bool, false ends the walk. `map_field` says whose entries these are (kRootField or kStructField).
template <typename Visit>
void for_each_value(std::string_view entries, uint32_t map_field, const Path& path, Visit visit) {
  for_each_entry(entries, map_field, [&](const Entry& entry) {
    if (entry.key != path.items[0].key) return true;
    visit_values(read_value(entry.value), path.items, 1, visit);
    return false;
  });
}

}  // namespace sealpoint::payload
