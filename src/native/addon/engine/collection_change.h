// What one write does, from its reading (collection_write.cc) to its commit (collection_commit.cc).
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "collection.h"
#include "write_scratch.h"

namespace sealpoint {

struct Collection::WrittenVector {
  uint16_t number;
  const float* values;  // in the write's arena; of a sparse vector and a multivector its row
  size_t row_bytes = 0;

  std::string_view row() const { return {reinterpret_cast<const char*>(values), row_bytes}; }
};

// What one write does to one point.
struct Collection::Change {
  PointId id;
  uint32_t slot = IdTable::kNone;  // kNone: new
  bool removed = false;
  bool replace_vectors = false;  // vectors that are not given go
  std::optional<std::string> payload;  // the new one
  std::optional<std::string> old_payload;
  std::vector<WrittenVector> set;       // vectors written
  std::vector<uint16_t> cleared;        // vectors deleted
  bool touched = false;
  std::optional<bool> admitted;  // by the write's condition
};

struct Collection::WriteContext {
  std::vector<Change> changes;
  ScratchLease scratch;
  std::unordered_map<PointId, size_t, PointIdHash> by_id;
  std::string stream;
  uint64_t sequence = 0;
  // The first point that was to be changed and is not there.
  std::optional<PointId> missing;
  std::string missing_field;

  void note_missing(const PointId& id, std::string field) {
    if (missing) return;
    missing = id;
    missing_field = std::move(field);
  }
};

}  // namespace sealpoint
