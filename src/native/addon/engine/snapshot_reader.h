// Reads a snapshot into collections that nobody sees yet: their rows go into table files beside the store, which takes all of them at
// once after every checksum held. Until a collection's record is written, its rows belong to a cid with a restore mark, and a start removes them.
#pragma once
#include <atomic>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "../store/store.h"
#include "records.h"
#include "snapshot_file.h"

namespace sealpoint {

struct StagedCollection {
  CollectionRecord record;  // with the new cid, otherwise as it was
  uint64_t operation = 0;
  std::vector<std::pair<std::string, std::string>> streams;  // stream id and position
  SnapshotCounts counts{};

  // About what its vectors and ids will take in memory until graphs are built.
  uint64_t memory_bytes() const;
  // Its record, operation and streams; takes the restore mark away.
  void commit(Store& store, rocksdb::WriteBatch& batch) const;
};

struct StagedSnapshot {
  bool full = false;
  std::vector<StagedCollection> collections;
  std::vector<std::pair<std::string, std::string>> aliases;
};

// `allocate` gives a cid that is marked as being restored. `folder` is made for the tables and removed again. `sha256`: what the file
// must have, in hexadecimal; empty: not asked. Throws kBadInput, kDataLoss; what is marked is then the caller's to discard.
StagedSnapshot stage_snapshot(Store& store, const std::string& path, const std::string& folder, const std::string& sha256,
                              const std::function<uint32_t()>& allocate, const std::atomic<bool>& cancel);

// The same of a snapshot and the incremental ones on top of it, the oldest first (snapshot_chain.cc).
StagedSnapshot stage_chain(Store& store, const std::vector<std::string>& paths, const std::string& folder, const std::string& sha256,
                           const std::function<uint32_t()>& allocate, const std::atomic<bool>& cancel);

// Key of the mark of a collection that is being restored, or whose rows are still to be deleted.
std::string restore_mark(uint32_t cid);
// Deletes all rows of a marked cid and the mark.
void discard_rows(Store& store, uint32_t cid);

}  // namespace sealpoint
