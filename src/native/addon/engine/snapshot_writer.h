// Writes snapshots (snapshot_file.h): each collection as one RocksDB snapshot shows it, while writes go on.
#pragma once
#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "../store/store.h"
#include "records.h"

namespace sealpoint {

struct SnapshotSource {
  CollectionRecord record;
  Snapshot view;  // holds all that the record's collection had at one moment
};

// Writes and syncs a new file and its name in the folder; its size and SHA-256. On a failure nothing is left.
std::pair<uint64_t, std::string> write_snapshot(Store& store, const std::vector<SnapshotSource>& sources,
                                                const std::vector<std::pair<std::string, std::string>>& aliases, bool full,
                                                const std::string& path, const std::atomic<bool>& cancel);

}  // namespace sealpoint
