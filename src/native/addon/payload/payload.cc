// Changes to stored payloads. The bytes are copied in runs: an entry that does not change is never decoded.
#include "payload.h"

#include <algorithm>
#include <optional>

#include "../core/status.h"
#include "json_path.h"
#include "wire.h"

namespace sealpoint::payload {
namespace {

// core/limits.ts: envelopesPerPointMax.
constexpr size_t kEnvelopesMax = 8;

std::optional<std::string_view> envelopes(std::string_view entries) {
  std::optional<std::string_view> found;
  for_each_entry(entries, kRootField, [&](const Entry& entry) {
    // check() moved the stored form first, so nothing else needs a look.
    if (entry.key == kSealedKey) {
      const Value value = read_value(entry.value);
      if (value.kind == Kind::kEnvelopes) found = value.body;
    }
    return false;
  });
  return found;
}

bool is_stored_envelope(const Entry& entry) {
  return entry.key == kSealedKey && read_value(entry.value).kind == Kind::kEnvelopes;
}

size_t count_framed(std::string_view framed) {
  size_t count = 0;
  while (framed.size() >= 4) {
    uint32_t size = 0;
    for (int i = 0; i < 4; ++i) size = size << 8 | static_cast<uint8_t>(framed[i]);
    framed.remove_prefix(4);
    if (size > framed.size()) break;
    framed.remove_prefix(size);
    ++count;
  }
  return count;
}

template <typename Body>  // Body appends the bytes of a qdrant.Value
void put_entry(std::string& out, uint32_t field, std::string_view key, size_t guess, Body body) {
  put_message(out, field, guess + key.size() + 4, [&] {
    put_bytes(out, 1, key);
    put_message(out, 2, guess, body);
  });
}

void copy_entry(std::string& out, uint32_t field, const Entry& entry) {
  put_entry(out, field, entry.key, entry.value.size(), [&] { out.append(entry.value); });
}

struct PatchEntry {
  Entry entry;
  bool is_null = false;
};

std::vector<PatchEntry> patch_entries(std::string_view patch) {
  std::vector<PatchEntry> entries;
  for_each_entry(patch, kRootField, [&](const Entry& entry) {
    entries.push_back({entry, read_value(entry.value).kind == Kind::kNull});
    return true;
  });
  std::sort(entries.begin(), entries.end(),
            [](const PatchEntry& a, const PatchEntry& b) { return a.entry.key < b.entry.key; });
  return entries;
}

// Qdrant's merge of maps: a key of the patch replaces that of the base, and a null removes it.
void merge_maps(std::string& out, std::string_view base, uint32_t field, const std::vector<PatchEntry>& patch) {
  for_each_entry(base, field, [&](const Entry& entry) {
    const auto at = std::lower_bound(patch.begin(), patch.end(), entry.key,
                                     [](const PatchEntry& item, std::string_view key) { return item.entry.key < key; });
    if (at == patch.end() || at->entry.key != entry.key) out.append(entry.raw);
    return true;
  });
  for (const PatchEntry& item : patch) {
    if (!item.is_null) copy_entry(out, field, item.entry);
  }
}

[[noreturn]] void refuse_reserved(const char* field) {
  throw Error(ErrorKind::kBadInput, "the key $sealpoint is reserved and cannot be changed on its own", field);
}

[[noreturn]] void refuse_envelope() {
  throw Error(ErrorKind::kPrecondition,
              "the point holds " + std::to_string(kEnvelopesMax) + " envelopes; overwrite its payload instead",
              "payload");
}

void set_value(std::string& out, const Value& value, const Path& path, size_t at, const std::vector<PatchEntry>& patch);

void set_in_map(std::string& out, std::string_view entries, uint32_t field, const Path& path, size_t at,
                const std::vector<PatchEntry>& patch) {
  const std::string& key = path.items[at].key;
  bool found = false;
  for_each_entry(entries, field, [&](const Entry& entry) {
    if (entry.key != key) {
      out.append(entry.raw);
      return true;
    }
    found = true;
    put_entry(out, field, key, entry.value.size(),
              [&] { set_value(out, read_value(entry.value), path, at + 1, patch); });
    return true;
  });
  if (!found) {
    put_entry(out, field, key, 0, [&] { set_value(out, Value{}, path, at + 1, patch); });
  }
}

void set_value(std::string& out, const Value& value, const Path& path, size_t at,
               const std::vector<PatchEntry>& patch) {
  const std::string_view fields = value.kind == Kind::kStruct ? value.body : std::string_view();
  if (at == path.items.size()) {
    put_message(out, 6, fields.size(), [&] { merge_maps(out, fields, kStructField, patch); });
    return;
  }
  const PathItem& item = path.items[at];
  if (item.type == PathItem::Type::kKey) {
    put_message(out, 6, fields.size(), [&] { set_in_map(out, fields, kStructField, path, at, patch); });
    return;
  }
  const std::string_view elements = value.kind == Kind::kList ? value.body : std::string_view();
  put_message(out, 7, elements.size(), [&] {
    uint64_t index = 0;
    for_each_element(elements, [&](std::string_view element) {
      if (item.is_each() || index == item.index) {
        put_message(out, 1, element.size(), [&] { set_value(out, read_value(element), path, at + 1, patch); });
      } else {
        put_bytes(out, 1, element);
      }
      ++index;
      return true;
    });
  });
}

void remove_value(std::string& out, std::string_view bytes, const Path& path, size_t at);

void remove_in_map(std::string& out, std::string_view entries, uint32_t field, const Path& path, size_t at) {
  for_each_entry(entries, field, [&](const Entry& entry) {
    if (!path.items[at].is_key(entry.key)) {
      out.append(entry.raw);
    } else if (at + 1 < path.items.size()) {
      put_entry(out, field, entry.key, entry.value.size(), [&] { remove_value(out, entry.value, path, at + 1); });
    }
    return true;
  });
}

void remove_value(std::string& out, std::string_view bytes, const Path& path, size_t at) {
  const Value value = read_value(bytes);
  const PathItem& item = path.items[at];
  const bool last = at + 1 == path.items.size();
  if (item.type == PathItem::Type::kKey && value.kind == Kind::kStruct) {
    put_message(out, 6, value.body.size(), [&] { remove_in_map(out, value.body, kStructField, path, at); });
  } else if (item.is_each() && last && value.kind == Kind::kList) {
    put_bytes(out, 7, {});
  } else if (item.type != PathItem::Type::kKey && !last && value.kind == Kind::kList) {
    put_message(out, 7, value.body.size(), [&] {
      uint64_t index = 0;
      for_each_element(value.body, [&](std::string_view element) {
        if (item.is_each() || index == item.index) {
          put_message(out, 1, element.size(), [&] { remove_value(out, element, path, at + 1); });
        } else {
          put_bytes(out, 1, element);
        }
        ++index;
        return true;
      });
    });
  } else {
    // Qdrant does not remove a single element of an array: that would not be idempotent.
    out.append(bytes);
  }
}

// The patterns that still fit at some depth of the walk.
using Patterns = std::vector<const Path*>;

Patterns narrow_to_key(const Patterns& patterns, size_t at, std::string_view key) {
  Patterns fitting;
  for (const Path* path : patterns) {
    if (at < path->items.size() && path->items[at].is_key(key)) fitting.push_back(path);
  }
  return fitting;
}

Patterns narrow_to_each(const Patterns& patterns, size_t at) {
  Patterns fitting;
  for (const Path* path : patterns) {
    if (at < path->items.size() && path->items[at].is_each()) fitting.push_back(path);
  }
  return fitting;
}

bool any_ends(const Patterns& patterns, size_t at) {
  return std::any_of(patterns.begin(), patterns.end(), [at](const Path* path) { return path->items.size() == at; });
}

// The two walks differ only in what they do with a part that no pattern names: include drops it, exclude keeps it.
class Selection {
 public:
  explicit Selection(bool include) : include_(include) {}

  void map(std::string& out, std::string_view entries, uint32_t field, const Patterns& patterns, size_t at) const {
    for_each_entry(entries, field, [&](const Entry& entry) {
      if (field == kRootField && is_stored_envelope(entry)) {
        out.append(entry.raw);  // envelopes go with every selection, or nobody could open the point
        return true;
      }
      const Patterns inner = narrow_to_key(patterns, at, entry.key);
      if (inner.empty() ? !include_ : include_ && any_ends(inner, at + 1)) {
        out.append(entry.raw);
      } else if (!inner.empty() && !any_ends(inner, at + 1)) {
        put_entry(out, field, entry.key, entry.value.size(), [&] { value(out, entry.value, inner, at + 1); });
      }
      return true;
    });
  }

 private:
  void value(std::string& out, std::string_view bytes, const Patterns& patterns, size_t at) const {
    const Value value = read_value(bytes);
    if (value.kind == Kind::kStruct) {
      put_message(out, 6, value.body.size(), [&] { map(out, value.body, kStructField, patterns, at); });
      return;
    }
    const Patterns inner = value.kind == Kind::kList ? narrow_to_each(patterns, at) : Patterns();
    const bool ends = any_ends(inner, at + 1);
    if (value.kind != Kind::kList || (inner.empty() ? !include_ : include_ && ends)) {
      out.append(bytes);
      return;
    }
    put_message(out, 7, value.body.size(), [&] {
      if (inner.empty() || ends) return;
      for_each_element(value.body, [&](std::string_view element) {
        put_message(out, 1, element.size(), [&] { this->value(out, element, inner, at + 1); });
        return true;
      });
    });
  }

  const bool include_;
};

std::string select(std::string_view base, const std::vector<std::string>& paths, bool include) {
  std::vector<Path> parsed;
  parsed.reserve(paths.size());
  for (const std::string& path : paths) parsed.push_back(Path::parse(path, "with_payload"));
  Patterns patterns;
  for (const Path& path : parsed) patterns.push_back(&path);
  std::string out;
  Selection(include).map(out, base, kRootField, patterns, 0);
  return out;
}

std::string checked(std::string out) { return check(out, Bounds{}); }

}  // namespace

std::string merge(std::string_view base, std::string_view patch) {
  const auto old_envelopes = envelopes(base);
  const auto new_envelopes = envelopes(patch);
  std::vector<PatchEntry> entries = patch_entries(patch);
  std::string out;
  out.reserve(base.size() + patch.size() + 16);
  // A partial update of a sealed point adds its envelope behind those that are there: opening merges them in order.
  if (old_envelopes || new_envelopes) {
    std::string framed(old_envelopes.value_or(std::string_view()));
    framed.append(new_envelopes.value_or(std::string_view()));
    if (count_framed(framed) > kEnvelopesMax) refuse_envelope();
    put_entry(out, kRootField, kSealedKey, framed.size() + 6, [&] { put_bytes(out, 15, framed); });
    const auto reserved = std::find_if(entries.begin(), entries.end(),
                                       [](const PatchEntry& item) { return item.entry.key == kSealedKey; });
    if (reserved != entries.end()) {
      if (!new_envelopes) refuse_reserved("payload");
      entries.erase(reserved);
    }
    std::string rest;
    for_each_entry(base, kRootField, [&](const Entry& entry) {
      if (entry.key != kSealedKey) rest.append(entry.raw);
      return true;
    });
    merge_maps(out, rest, kRootField, entries);
  } else {
    merge_maps(out, base, kRootField, entries);
  }
  return checked(std::move(out));
}

std::string merge_at(std::string_view base, std::string_view path, std::string_view patch) {
  const Path parsed = Path::parse(path, "key");
  if (parsed.items[0].key == kSealedKey) refuse_reserved("key");
  if (is_sealed(patch)) refuse_reserved("payload");
  std::string out;
  out.reserve(base.size() + patch.size() + 64);
  set_in_map(out, base, kRootField, parsed, 0, patch_entries(patch));
  return checked(std::move(out));
}

std::string remove_keys(std::string_view base, const std::vector<std::string>& paths) {
  std::string out(base);
  for (const std::string& text : paths) {
    const Path path = Path::parse(text, "keys");
    if (path.items[0].key == kSealedKey && path.items.size() > 1) refuse_reserved("keys");
    std::string next;
    next.reserve(out.size());
    remove_in_map(next, out, kRootField, path, 0);
    out = std::move(next);
  }
  return out;
}

std::string include(std::string_view base, const std::vector<std::string>& paths) { return select(base, paths, true); }

std::string exclude(std::string_view base, const std::vector<std::string>& paths) { return select(base, paths, false); }

bool is_sealed(std::string_view entries) { return envelopes(entries).has_value(); }

size_t envelope_count(std::string_view entries) {
  return count_framed(envelopes(entries).value_or(std::string_view()));
}

std::string append_envelope(std::string_view base, std::string_view envelope) {
  std::string framed(envelopes(base).value_or(std::string_view()));
  if (count_framed(framed) >= kEnvelopesMax) refuse_envelope();
  const uint32_t size = static_cast<uint32_t>(envelope.size());
  if (size == 0 || size != envelope.size()) throw Error(ErrorKind::kInternal, "an envelope of wrong size");
  for (int shift = 24; shift >= 0; shift -= 8) framed.push_back(static_cast<char>(size >> shift));
  framed.append(envelope);
  std::string out;
  out.reserve(base.size() + envelope.size() + 32);
  put_entry(out, kRootField, kSealedKey, framed.size() + 6, [&] { put_bytes(out, 15, framed); });
  for_each_entry(base, kRootField, [&](const Entry& entry) {
    if (entry.key != kSealedKey) out.append(entry.raw);
    return true;
  });
  return out;
}

bool begins_sealed(std::string_view entries) {
  // 0x12 length 0x0a 10 "$sealpoint"
  size_t at = 1;
  while (at < entries.size() && at < 6 && (static_cast<uint8_t>(entries[at]) & 0x80) != 0) ++at;
  ++at;
  return entries.size() >= at + 2 + kSealedKey.size() && entries[0] == 0x12 && entries[at] == 0x0a &&
         entries[at + 1] == static_cast<char>(kSealedKey.size()) && entries.substr(at + 2, kSealedKey.size()) == kSealedKey;
}

bool has_plain(std::string_view entries, const std::vector<std::string>& clear) {
  bool plain = false;
  const bool whole = for_each_entry(entries, kRootField, [&](const Entry& entry) {
    plain = !is_stored_envelope(entry) && std::find(clear.begin(), clear.end(), entry.key) == clear.end();
    return !plain;
  });
  // Bytes that cannot be read count as plain: a policy must not pass what it did not see.
  return plain || !whole;
}

}  // namespace sealpoint::payload
