// Writes snapshots (snapshot_file.h): each collection as one RocksDB snapshot shows it, while writes go on.
#pragma once
#include <atomic>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../store/store.h"
#include "records.h"
#include "snapshot_file.h"

namespace sealpoint {

struct SnapshotSource {
  CollectionRecord record;
  Snapshot view;  // holds all that the record's collection had at one moment
};

// What a snapshot based on the one at `path` would hold of it. Throws kBadInput when that is not an earlier moment of the same collection.
// Reads the whole file for its SHA-256, and checks it.
SnapshotBase read_base(const std::string& path, const CollectionRecord& record, const std::atomic<bool>& cancel);

// Writes and syncs a new file and its name in the folder; its size and SHA-256. On a failure nothing is left.
std::pair<uint64_t, std::string> write_snapshot(Store& store, const std::vector<SnapshotSource>& sources,
                                                const std::vector<std::pair<std::string, std::string>>& aliases, bool full,
                                                const std::optional<SnapshotBase>& base, const std::string& path, const std::atomic<bool>& cancel);

}  // namespace sealpoint
