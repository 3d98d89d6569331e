#include "snapshot_reader.h"

#include <rocksdb/sst_file_writer.h>

#include <array>
#include <filesystem>
#include <memory>
#include <unordered_set>

#include "../payload/payload.h"

namespace sealpoint {

namespace {

constexpr uint64_t kTableBytes = 64 << 20;
// As limits.ts has them: a file that somebody made by hand is held to what a request is.
constexpr size_t kVectorNamesMax = 64, kIndexesMax = 256, kStreamsMax = 10'000, kCollectionsMax = 10'000, kAliasesMax = 10'000;
constexpr uint32_t kDimMax = 65'536;
// Slot, version, place: what a point takes in memory beside its vectors.
constexpr uint64_t kPointBytes = 96;

// Ascending rows of one family, in as many tables as they fill.
class Tables {
 public:
  Tables(Store& store, rocksdb::ColumnFamilyHandle* family, std::string folder) : store_(store), family_(family), folder_(std::move(folder)) {}

  void add(const std::string& key, std::string_view value) {
    if (writer_ == nullptr) {
      writer_ = std::make_unique<rocksdb::SstFileWriter>(rocksdb::EnvOptions(), store_.db().GetOptions(family_), family_);
      files_.push_back(folder_ + "/" + family_->GetName() + "-" + std::to_string(files_.size()) + ".sst");
      check(writer_->Open(files_.back()), "cannot write the restored rows");
    }
    const auto status = writer_->Put(key, rocksdb::Slice(value.data(), value.size()));
    if (status.IsInvalidArgument()) damaged_snapshot("its rows are not in order");
    check(status, "cannot write the restored rows");
    if (writer_->FileSize() >= kTableBytes) close();
  }
  void close() {
    if (writer_ == nullptr) return;
    check(writer_->Finish(), "cannot write the restored rows");
    writer_.reset();
  }
  rocksdb::IngestExternalFileArg argument() const {
    rocksdb::IngestExternalFileArg argument;
    argument.column_family = family_;
    argument.external_files = files_;
    argument.options.move_files = true;
    return argument;
  }
  bool empty() const { return files_.empty(); }

 private:
  Store& store_;
  rocksdb::ColumnFamilyHandle* const family_;
  const std::string folder_;
  std::unique_ptr<rocksdb::SstFileWriter> writer_;
  std::vector<std::string> files_;
};

struct Folder {
  explicit Folder(std::string path) : path(std::move(path)) {
    std::error_code failure;
    std::filesystem::remove_all(this->path, failure);
    std::filesystem::create_directories(this->path, failure);
    if (failure) throw Error(ErrorKind::kUnavailable, "cannot make the folder of the restore: " + failure.message());
    std::filesystem::permissions(this->path, std::filesystem::perms::owner_all, failure);
  }
  ~Folder() {
    std::error_code failure;
    std::filesystem::remove_all(path, failure);
  }
  const std::string path;
};

class Stager {
 public:
  Stager(Store& store, const std::string& folder, const std::function<uint32_t()>& allocate)
      : store_(store),
        allocate_(allocate),
        points_(store, store.points(), folder),
        payloads_(store, store.payloads(), folder),
        vectors_(store, store.vectors(), folder) {}

  void take(SnapshotBlock kind, std::string_view content) {
    ByteReader in(content);
    switch (kind) {
      case SnapshotBlock::kCollection:
        begin(in);
        break;
      case SnapshotBlock::kStreams:
      case SnapshotBlock::kPoints:
      case SnapshotBlock::kPayloads:
      case SnapshotBlock::kVectors:
        if (!open_ || kind < last_) damaged_snapshot("its blocks are not in order");
        last_ = kind;
        while (!in.done()) {
          const std::string_view key = in.text();
          row(kind, key, in.text());
        }
        break;
      case SnapshotBlock::kCollectionEnd:
        if (!open_) damaged_snapshot("its blocks are not in order");
        for (const uint64_t count : current().counts) {
          if (in.u64() != count) damaged_snapshot("rows are missing");
        }
        open_ = false;
        break;
      case SnapshotBlock::kAliases: {
        const uint32_t count = in.u32();
        if (count > kAliasesMax) damaged_snapshot("it has too many aliases");
        for (uint32_t i = 0; i < count; ++i) {
          const std::string alias(in.text());
          staged_.aliases.emplace_back(alias, in.text());
        }
        break;
      }
      case SnapshotBlock::kEnd:
        if (open_ || in.u32() != staged_.collections.size()) damaged_snapshot("collections are missing");
        break;
    }
  }

  StagedSnapshot finish(bool full) {
    if (!full && staged_.collections.size() != 1) damaged_snapshot("it does not hold one collection");
    std::vector<rocksdb::IngestExternalFileArg> arguments;
    for (Tables* tables : {&points_, &payloads_, &vectors_}) {
      tables->close();
      if (!tables->empty()) arguments.push_back(tables->argument());
    }
    if (!arguments.empty()) check(store_.db().IngestExternalFiles(arguments), "cannot restore");
    staged_.full = full;
    return std::move(staged_);
  }

 private:
  StagedCollection& current() { return staged_.collections.back(); }

  void begin(ByteReader& in) {
    if (open_ || staged_.collections.size() >= kCollectionsMax) damaged_snapshot("its blocks are not in order");
    StagedCollection& one = staged_.collections.emplace_back();
    one.record = CollectionRecord::decode(in.text());
    one.operation = in.u64();
    const CollectionRecord& record = one.record;
    if (record.name.empty() || record.name.size() > 1024 || record.sealing_id.size() != 16 || record.vectors.size() > kVectorNamesMax ||
        record.indexes.size() > kIndexesMax) {
      damaged_snapshot("a collection's record is beyond the limits");
    }
    for (const VectorField& field : record.vectors) {
      if (field.dim > kDimMax) damaged_snapshot("a collection's record is beyond the limits");
    }
    if (record.name == "." || record.name == ".." || record.name.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos) {
      damaged_snapshot("a collection's name cannot be one");
    }
    if (!names_.insert(record.name).second) damaged_snapshot("it holds a collection twice");
    one.record.cid = allocate_();
    prefix_ = Store::cid_prefix(one.record.cid);
    last_ = SnapshotBlock::kCollection;
    open_ = true;
  }

  void row(SnapshotBlock kind, std::string_view key, std::string_view value) {
    StagedCollection& one = current();
    uint64_t& count = one.counts[static_cast<size_t>(kind) - static_cast<size_t>(SnapshotBlock::kStreams)];
    if (kind == SnapshotBlock::kStreams) {
      if (key.empty() || value.size() != 16 || one.streams.size() >= kStreamsMax) damaged_snapshot("the position of a stream cannot be one");
      one.streams.emplace_back(key, value);
      ++count;
      return;
    }
    std::string_view left = key;
    if (kind == SnapshotBlock::kVectors) {
      if (left.size() < 2) damaged_snapshot("a key cannot be one");
      left.remove_prefix(2);
    }
    PointId id;
    if (!PointId::parse_key(left, id) || !left.empty()) damaged_snapshot("a key cannot be one");
    const std::string full_key = prefix_ + std::string(key);
    if (kind == SnapshotBlock::kPoints) {
      PointRecord point = PointRecord::decode(value);
      // Slots are dense again, without the holes that deletes leave.
      point.slot = static_cast<uint32_t>(count);
      if (point.version > one.operation) damaged_snapshot("a point is newer than its collection");
      for (const auto& [vector, version] : point.vectors) {
        if (vector >= one.record.vectors.size()) damaged_snapshot("a point names a vector that its collection lacks");
      }
      points_.add(full_key, point.encode());
    } else if (kind == SnapshotBlock::kPayloads) {
      payloads_.add(full_key, payload::check(value, {}));
    } else {
      vectors_.add(full_key, value);
    }
    ++count;
  }

  Store& store_;
  const std::function<uint32_t()>& allocate_;
  Tables points_, payloads_, vectors_;
  StagedSnapshot staged_;
  std::unordered_set<std::string> names_;
  std::string prefix_;
  SnapshotBlock last_ = SnapshotBlock::kCollection;
  bool open_ = false;
};

}  // namespace

uint64_t StagedCollection::memory_bytes() const {
  uint64_t largest = 0;
  for (const VectorField& field : record.vectors) largest = std::max<uint64_t>(largest, field.dim);
  return counts[1] * kPointBytes + counts[3] * largest * sizeof(float);
}

void StagedCollection::commit(Store& store, rocksdb::WriteBatch& batch) const {
  ByteWriter last;
  last.u64(operation);
  batch.Put(store.meta(), Store::collection_key('c', record.cid), record.encode());
  batch.Put(store.meta(), Store::collection_key('o', record.cid), last.bytes());
  for (const auto& [stream, position] : streams) batch.Put(store.meta(), Store::collection_key('s', record.cid) + stream, position);
  batch.Delete(store.meta(), restore_mark(record.cid));
}

StagedSnapshot stage_snapshot(Store& store, const std::string& path, const std::string& folder, const std::string& sha256,
                              const std::function<uint32_t()>& allocate, const std::atomic<bool>& cancel) {
  SnapshotFileReader file(path, cancel);
  const Folder tables(folder);
  Stager stager(store, folder, allocate);
  SnapshotBlock kind;
  std::string_view content;
  while (file.next(kind, content)) {
    try {
      stager.take(kind, content);
    } catch (const Error& error) {
      // What cannot be read though its checksum holds was written so.
      if (error.kind() == ErrorKind::kInternal || error.kind() == ErrorKind::kBadInput) damaged_snapshot(error.what());
      throw;
    }
  }
  if (!sha256.empty() && file.sha256() != sha256) {
    throw Error(ErrorKind::kBadInput, "Wrong input: Snapshot checksum mismatch: expected " + sha256 + "; nothing was restored", "checksum");
  }
  return stager.finish(file.full());
}

std::string restore_mark(uint32_t cid) { return Store::collection_key('r', cid); }

void discard_rows(Store& store, uint32_t cid) {
  rocksdb::WriteBatch batch;
  const std::string from = Store::cid_prefix(cid), to = Store::cid_prefix(cid + 1);
  for (auto* family : {store.points(), store.payloads(), store.vectors()}) batch.DeleteRange(family, from, to);
  batch.DeleteRange(store.meta(), Store::collection_key('s', cid), Store::collection_key('s', cid + 1));
  batch.Delete(store.meta(), Store::collection_key('o', cid));
  batch.Delete(store.meta(), restore_mark(cid));
  store.write(batch);
}

}  // namespace sealpoint
