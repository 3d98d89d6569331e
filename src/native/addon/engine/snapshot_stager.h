// Takes the rows of restored collections into table files beside the store, which takes all of them at once.
#pragma once
#include <rocksdb/sst_file_writer.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "../store/store.h"
#include "snapshot_file.h"
#include "snapshot_reader.h"

namespace sealpoint {

// Ascending rows of one family, in as many tables as they fill.
class SnapshotTables {
 public:
  SnapshotTables(Store& store, rocksdb::ColumnFamilyHandle* family, std::string folder)
      : store_(store), family_(family), folder_(std::move(folder)) {}
  void add(const std::string& key, std::string_view value);
  void close();
  rocksdb::IngestExternalFileArg argument() const;
  bool empty() const { return files_.empty(); }

 private:
  Store& store_;
  rocksdb::ColumnFamilyHandle* const family_;
  const std::string folder_;
  std::unique_ptr<rocksdb::SstFileWriter> writer_;
  std::vector<std::string> files_;
};

// A folder of its own that is gone again at the end.
struct SnapshotFolder {
  explicit SnapshotFolder(std::string path);
  ~SnapshotFolder();
  const std::string path;
};

// Throws kDataLoss for what no snapshot can hold.
class SnapshotStager {
 public:
  SnapshotStager(Store& store, const std::string& folder, const std::function<uint32_t()>& allocate)
      : store_(store),
        allocate_(allocate),
        points_(store, store.points(), folder),
        payloads_(store, store.payloads(), folder),
        vectors_(store, store.vectors(), folder) {}

  // A block of a whole snapshot, in the file's order.
  void take(SnapshotBlock kind, std::string_view content);
  // The same in parts, for rows that come from several files: what a collection block holds, then rows by kind and key.
  void begin(ByteReader& in);
  void row(SnapshotBlock kind, std::string_view key, std::string_view value);
  void end() { open_ = false; }
  // Gives all rows to the store.
  StagedSnapshot finish(bool full);

 private:
  Store& store_;
  const std::function<uint32_t()>& allocate_;
  SnapshotTables points_, payloads_, vectors_;
  StagedSnapshot staged_;
  std::unordered_set<std::string> names_;
  std::string prefix_;
  SnapshotBlock last_ = SnapshotBlock::kCollection;
  bool open_ = false;
};

}  // namespace sealpoint
