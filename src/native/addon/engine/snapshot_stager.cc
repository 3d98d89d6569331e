#include "snapshot_stager.h"

#include <filesystem>

#include "../payload/payload.h"

namespace sealpoint {

namespace {

constexpr uint64_t kTableBytes = 64 << 20;
// As limits.ts has them: a file that somebody made by hand is held to what a request is.
constexpr size_t kVectorNumbersMax = 1024, kIndexesMax = 256, kStreamsMax = 10'000, kCollectionsMax = 10'000, kAliasesMax = 10'000;
constexpr uint32_t kDimMax = 65'536;

}  // namespace

void SnapshotTables::add(const std::string& key, std::string_view value) {
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
void SnapshotTables::close() {
  if (writer_ == nullptr) return;
  check(writer_->Finish(), "cannot write the restored rows");
  writer_.reset();
}
rocksdb::IngestExternalFileArg SnapshotTables::argument() const {
  rocksdb::IngestExternalFileArg argument;
  argument.column_family = family_;
  argument.external_files = files_;
  argument.options.move_files = true;
  return argument;
}

SnapshotFolder::SnapshotFolder(std::string path) : path(std::move(path)) {
  std::error_code failure;
  std::filesystem::remove_all(this->path, failure);
  std::filesystem::create_directories(this->path, failure);
  if (failure) throw Error(ErrorKind::kUnavailable, "cannot make the folder of the restore: " + failure.message());
  std::filesystem::permissions(this->path, std::filesystem::perms::owner_all, failure);
}

SnapshotFolder::~SnapshotFolder() {
  std::error_code failure;
  std::filesystem::remove_all(path, failure);
}

void SnapshotStager::take(SnapshotBlock kind, std::string_view content) {
  ByteReader in(content);
  switch (kind) {
    case SnapshotBlock::kCollection:
      begin(in);
      break;
    case SnapshotBlock::kStreams:
    case SnapshotBlock::kPoints:
    case SnapshotBlock::kPayloads:
    case SnapshotBlock::kVectors:
      while (!in.done()) {
        const std::string_view key = in.text();
        row(kind, key, in.text());
      }
      break;
    case SnapshotBlock::kCollectionEnd:
      if (!open_) damaged_snapshot("its blocks are not in order");
      for (const uint64_t count : staged_.collections.back().counts) {
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

StagedSnapshot SnapshotStager::finish(bool full) {
  if (!full && staged_.collections.size() != 1) damaged_snapshot("it does not hold one collection");
  std::vector<rocksdb::IngestExternalFileArg> arguments;
  for (SnapshotTables* tables : {&points_, &payloads_, &vectors_}) {
    tables->close();
    if (!tables->empty()) arguments.push_back(tables->argument());
  }
  if (!arguments.empty()) check(store_.db().IngestExternalFiles(arguments), "cannot restore");
  staged_.full = full;
  return std::move(staged_);
}

void SnapshotStager::begin(ByteReader& in) {
  if (open_ || staged_.collections.size() >= kCollectionsMax) damaged_snapshot("its blocks are not in order");
  StagedCollection& one = staged_.collections.emplace_back();
  one.record = CollectionRecord::decode(in.text());
  one.operation = in.u64();
  const CollectionRecord& record = one.record;
  if (record.name.empty() || record.name.size() > 1024 || record.sealing_id.size() != 16 || record.vectors.size() > kVectorNumbersMax ||
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

void SnapshotStager::row(SnapshotBlock kind, std::string_view key, std::string_view value) {
  if (!open_ || kind < last_ || kind < SnapshotBlock::kStreams || kind > SnapshotBlock::kVectors) damaged_snapshot("its rows are not in order");
  last_ = kind;
  StagedCollection& one = staged_.collections.back();
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
    std::erase_if(point.vectors, [&](const auto& vector) { return one.record.vectors[vector.first].removed; });
    points_.add(full_key, point.encode());
  } else if (kind == SnapshotBlock::kPayloads) {
    payloads_.add(full_key, payload::check(value, {}));
  } else {
    // What a base still had of a name that went since is left behind.
    const size_t number = static_cast<size_t>(static_cast<uint8_t>(key[0])) << 8 | static_cast<uint8_t>(key[1]);
    if (number >= one.record.vectors.size()) damaged_snapshot("a vector is of no field");
    if (!one.record.vectors[number].removed) vectors_.add(full_key, value);
  }
  ++count;
}

}  // namespace sealpoint
