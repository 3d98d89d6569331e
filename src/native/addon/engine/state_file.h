// Derived files that spare a start the reading of the store: what a collection's points are (ids, slots, versions), its payload indexes, and the rows of vectors that
// are kept in memory (sparse ones, multivectors). Each
// holds one moment of the collection, named by its last operation, and a stamp that the store must name too (key "f"): so a file of another
// history is never believed. What changed since stands in the store's change log (key "j", change_log.h). A disk format: kStateFormat.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "../core/bytes.h"

namespace sealpoint {

constexpr uint32_t kStateFormat = 1;

// What the store says of a collection's state files.
struct StateName {
  uint64_t operation = 0;
  uint64_t stamp = 0;  // random
  bool indexes = false;
  bool rows = false;

  std::string encode() const {
    ByteWriter out;
    out.u64(operation);
    out.u64(stamp);
    out.u8(static_cast<uint8_t>((indexes ? 1 : 0) | (rows ? 2 : 0)));
    return std::move(out.bytes());
  }
  static StateName decode(std::string_view bytes) {
    ByteReader in(bytes);
    StateName name;
    name.operation = in.u64();
    name.stamp = in.u64();
    const uint8_t files = in.u8();
    name.indexes = (files & 1) != 0;
    name.rows = (files & 2) != 0;
    return name;
  }
};

enum class StateKind : uint8_t { kPoints = 0, kIndexes = 1, kRows = 2 };
constexpr StateKind kStateKinds[] = {StateKind::kPoints, StateKind::kIndexes, StateKind::kRows};

// Whether there is a file of that kind.
inline bool has_file(const StateName& name, StateKind kind) {
  return kind == StateKind::kPoints || (kind == StateKind::kIndexes ? name.indexes : name.rows);
}

std::string state_path(const std::string& folder, StateKind kind, const StateName& name);
// Bytes that stand before the content; the content is appended to them and then sealed.
std::string begin_state();
// Completes the header and writes the file durably. Throws.
void write_state(const std::string& folder, StateKind kind, uint32_t cid, const StateName& name, std::string bytes);
// The file's bytes, header included; nothing when it is missing, damaged or of something else. The content begins at state_content.
std::optional<std::string> read_state(const std::string& folder, StateKind kind, uint32_t cid, const StateName& name);
std::string_view state_content(const std::string& bytes);
// Removes all state files of the folder but those of `kept`.
void remove_states(const std::string& folder, const StateName* kept);

}  // namespace sealpoint
