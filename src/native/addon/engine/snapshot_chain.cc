// Restores a snapshot with the incremental ones on top of it. The newest has all points; a payload or vector is in the oldest file whose
// collection had come to the operation that wrote it. Each file is read once, side by side, in the order of their keys.
#include <memory>
#include <tuple>

#include "snapshot_stager.h"

namespace sealpoint {

namespace {

// The rows of one file, ascending by kind and key.
class ChainFile {
 public:
  ChainFile(const std::string& path, const std::atomic<bool>& cancel) : file_(path, cancel) {
    if (file_.full()) throw Error(ErrorKind::kBadInput, "Wrong input: a snapshot of the whole storage has no incremental ones", "location");
    SnapshotBlock kind;
    if (!file_.next(kind, content_) || kind != SnapshotBlock::kCollection) damaged_snapshot("its blocks are not in order");
    head_ = content_;
    ByteReader in(head_);
    record_ = CollectionRecord::decode(in.text());
    operation_ = in.u64();
    next();
  }

  const std::string& head() const { return head_; }
  const CollectionRecord& record() const { return record_; }
  uint64_t operation() const { return operation_; }
  const std::optional<SnapshotBase>& base() const { return file_.base(); }
  // Once all rows were read.
  std::string sha256() { return file_.sha256(); }

  bool done() const { return done_; }
  SnapshotBlock kind() const { return kind_; }
  std::string_view key() const { return key_; }
  std::string_view value() const { return value_; }

  void next() {
    while (rows_.empty()) {
      SnapshotBlock kind;
      if (!file_.next(kind, content_)) damaged_snapshot("its blocks are not in order");
      if (kind == SnapshotBlock::kCollectionEnd) return finish();
      if (kind < SnapshotBlock::kStreams || kind > SnapshotBlock::kVectors || kind < kind_) damaged_snapshot("its blocks are not in order");
      if (kind > kind_) key_.clear();
      kind_ = kind;
      rows_ = content_;
    }
    ByteReader in(rows_);
    const std::string_view key = in.text();
    if (!key_.empty() && key <= key_) damaged_snapshot("its rows are not in order");
    key_ = key;
    value_ = in.text();
    rows_.remove_prefix(2 * sizeof(uint32_t) + key.size() + value_.size());
    ++counts_[static_cast<size_t>(kind_) - static_cast<size_t>(SnapshotBlock::kStreams)];
  }

 private:
  void finish() {
    ByteReader in(content_);
    for (const uint64_t count : counts_) {
      if (in.u64() != count) damaged_snapshot("rows are missing");
    }
    SnapshotBlock kind;
    for (const SnapshotBlock expected : {SnapshotBlock::kAliases, SnapshotBlock::kEnd}) {
      if (!file_.next(kind, content_) || kind != expected) damaged_snapshot("its blocks are not in order");
    }
    if (file_.next(kind, content_)) damaged_snapshot("bytes follow its end");
    done_ = true;
  }

  SnapshotFileReader file_;
  std::string head_;
  CollectionRecord record_;
  uint64_t operation_ = 0;
  SnapshotCounts counts_{};
  SnapshotBlock kind_ = SnapshotBlock::kStreams;
  std::string_view content_, rows_, value_;
  std::string key_;
  bool done_ = false;
};

// The points of the newest file, asked for in ascending order, once for the payloads and once for each vector.
class ChainPoints {
 public:
  ChainPoints(std::string path, const std::atomic<bool>& cancel) : path_(std::move(path)), cancel_(cancel) {}

  void restart() {
    file_ = std::make_unique<ChainFile>(path_, cancel_);
    read_ = false;
  }
  // nullptr: there is no such point.
  const PointRecord* find(std::string_view key) {
    while (!file_->done() && (file_->kind() < SnapshotBlock::kPoints || (file_->kind() == SnapshotBlock::kPoints && file_->key() < key))) {
      file_->next();
      read_ = false;
    }
    if (file_->done() || file_->kind() != SnapshotBlock::kPoints || file_->key() != key) return nullptr;
    if (!read_) point_ = PointRecord::decode(file_->value());
    read_ = true;
    return &point_;
  }

 private:
  const std::string path_;
  const std::atomic<bool>& cancel_;
  std::unique_ptr<ChainFile> file_;
  PointRecord point_;
  bool read_ = false;
};

class Chain {
 public:
  Chain(Store& store, const std::vector<std::string>& paths, const std::string& folder, const std::function<uint32_t()>& allocate,
        const std::atomic<bool>& cancel)
      : stager_(store, folder, allocate), points_(paths.back(), cancel) {
    for (const auto& path : paths) files_.push_back(std::make_unique<ChainFile>(path, cancel));
  }

  StagedSnapshot stage(const std::string& sha256) {
    check_links();
    ByteReader head(files_.back()->head());
    stager_.begin(head);
    for (ChainFile* file; (file = least()) != nullptr; file->next()) take(*file);
    std::string last;
    for (const auto& file : files_) {
      if (file->base() && file->base()->sha256 != last) {
        throw Error(ErrorKind::kBadInput, "Wrong input: an incremental snapshot is based on another one than that before it; nothing was restored", "location");
      }
      last = file->sha256();
    }
    if (!sha256.empty() && last != sha256) {
      throw Error(ErrorKind::kBadInput, "Wrong input: Snapshot checksum mismatch: expected " + sha256 + "; nothing was restored", "checksum");
    }
    stager_.end();
    return stager_.finish(false);
  }

 private:
  void check_links() const {
    for (size_t i = 0; i < files_.size(); ++i) {
      const ChainFile& file = *files_[i];
      if (file.base().has_value() != (i > 0)) {
        throw Error(ErrorKind::kBadInput, i > 0 ? "Wrong input: a whole snapshot follows another one" : "Wrong input: the snapshot is incremental: the one that it is based on is needed too", "location");
      }
      if (i == 0) continue;
      const ChainFile& before = *files_[i - 1];
      if (file.record().cid != before.record().cid || file.record().sealing_id != before.record().sealing_id || file.base()->since != before.operation() ||
          file.operation() < before.operation()) {
        throw Error(ErrorKind::kBadInput, "Wrong input: an incremental snapshot is based on another one than that before it; nothing was restored", "location");
      }
    }
  }

  ChainFile* least() const {
    ChainFile* least = nullptr;
    for (const auto& file : files_) {
      if (file->done()) continue;
      if (least == nullptr || std::make_tuple(file->kind(), file->key()) < std::make_tuple(least->kind(), least->key())) least = file.get();
    }
    return least;
  }

  // Of the files that were there when `version` was written, the first.
  const ChainFile* owner(uint64_t version) const {
    for (const auto& file : files_) {
      if (version <= file->operation()) return file.get();
    }
    return nullptr;
  }

  void take(ChainFile& file) {
    const SnapshotBlock kind = file.kind();
    const bool newest = &file == files_.back().get();
    if (kind == SnapshotBlock::kStreams || kind == SnapshotBlock::kPoints) {
      if (newest) stager_.row(kind, file.key(), file.value());
      return;
    }
    std::string_view id = file.key();
    int vector = -1;
    if (kind == SnapshotBlock::kVectors) {
      if (id.size() < 2) damaged_snapshot("a key cannot be one");
      vector = static_cast<uint8_t>(id[0]) << 8 | static_cast<uint8_t>(id[1]);
      id.remove_prefix(2);
    }
    if (kind != walked_ || vector != walked_vector_) points_.restart();
    walked_ = kind;
    walked_vector_ = vector;
    const PointRecord* point = points_.find(id);
    if (point == nullptr) return;
    uint64_t version = point->version;
    if (vector >= 0) {
      version = 0;
      for (const auto& [number, written] : point->vectors) {
        if (number == vector) version = written;
      }
    }
    if (version != 0 && owner(version) == &file) stager_.row(kind, file.key(), file.value());
  }

  SnapshotStager stager_;
  ChainPoints points_;
  std::vector<std::unique_ptr<ChainFile>> files_;
  SnapshotBlock walked_ = SnapshotBlock::kStreams;
  int walked_vector_ = -1;
};

}  // namespace

StagedSnapshot stage_chain(Store& store, const std::vector<std::string>& paths, const std::string& folder, const std::string& sha256,
                           const std::function<uint32_t()>& allocate, const std::atomic<bool>& cancel) {
  const SnapshotFolder tables(folder);
  try {
    return Chain(store, paths, folder, allocate, cancel).stage(sha256);
  } catch (const Error& error) {
    // What cannot be read though its checksum holds was written so; what names the field is the caller's choice of files.
    if (error.kind() == ErrorKind::kInternal || (error.kind() == ErrorKind::kBadInput && error.field().empty())) damaged_snapshot(error.what());
    throw;
  }
}

}  // namespace sealpoint
