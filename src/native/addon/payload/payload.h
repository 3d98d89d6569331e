// Payloads as stored: entries of map<string, qdrant.Value>, each under field 2 (see src/core/payload.ts). Functions
// here read and rewrite those bytes. The bytes given must have passed check() once, at the write; later readers trust
// them for form only, never for bounds.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace sealpoint::payload {

struct Bounds {
  size_t depth_max = 128;
  size_t bytes_max = 16 * 1024 * 1024;
};

// Canonical form: well-formed protobuf, UTF-8 keys and strings, one entry per key (the last wins, as protobuf merges
// maps), no unknown fields, depth bounded, and an entry `$sealpoint` in stored form (field 15) moved first. Throws
// Error kBadInput that says what is wrong and where (JSON path).
std::string check(std::string_view entries, const Bounds& bounds);
// Whether check() would give the entries back as they are.
bool is_canonical(std::string_view entries, const Bounds& bounds);

// set_payload at the root: top-level keys of `patch` replace those of `base`, and a null removes its key, as Qdrant does.
// Envelopes of the patch go behind those of the base; more than the limit throws Error kPrecondition.
std::string merge(std::string_view base, std::string_view patch);
// set_payload with `key`: merges `patch` into the object at the JSON path, as Qdrant does (creates missing objects;
// `a[].b`, `a[0]` work on arrays).
std::string merge_at(std::string_view base, std::string_view path, std::string_view patch);
// delete_payload: removes each JSON path that exists.
std::string remove_keys(std::string_view base, const std::vector<std::string>& paths);
// with_payload include / exclude, by JSON paths, as Qdrant does.
std::string include(std::string_view base, const std::vector<std::string>& paths);
std::string exclude(std::string_view base, const std::vector<std::string>& paths);
// Throws Error kBadInput when a JSON path cannot be parsed (Qdrant's grammar: keys, quoted keys "a.b", [] and [n]).
void check_path(std::string_view path);
// True when the payload holds envelopes in stored form.
bool is_sealed(std::string_view entries);
// True when the first entry is `$sealpoint`, which is where a stored payload has its envelopes. Cheap enough for every answered point.
bool begins_sealed(std::string_view entries);
// Number of envelopes in stored form; 0 for none.
size_t envelope_count(std::string_view entries);
// Adds one binary envelope at the end of the stored list (made first entry when there was none).
std::string append_envelope(std::string_view base, std::string_view envelope);
// True when a top-level key is neither `$sealpoint` nor among `clear`.
bool has_plain(std::string_view entries, const std::vector<std::string>& clear);

}  // namespace sealpoint::payload
