#include "snapshot_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "snapshot_file.h"

namespace sealpoint {

namespace {

uint64_t write_rows(Store& store, const Snapshot& view, rocksdb::ColumnFamilyHandle* family, const std::string& prefix, SnapshotBlock kind,
                    SnapshotFileWriter& out) {
  rocksdb::ReadOptions options;
  options.snapshot = view.get();
  options.total_order_seek = true;
  options.readahead_size = 1 << 20;
  options.fill_cache = false;
  const std::unique_ptr<rocksdb::Iterator> it(store.db().NewIterator(options, family));
  uint64_t rows = 0;
  for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix); it->Next(), ++rows) {
    out.row(kind, it->key().ToStringView().substr(prefix.size()), it->value().ToStringView());
  }
  check(it->status(), "cannot read the collection");
  out.flush();
  return rows;
}

// Keys of points, one after the other: each tells its own length.
class PackedIds {
 public:
  void add(std::string_view key) { bytes_.append(key); }
  // Calls `each` with every key, in the order of add.
  template <class Each>
  void each(Each&& each) const {
    for (std::string_view left = bytes_; !left.empty();) {
      const std::string_view before = left;
      PointId id;
      if (!PointId::parse_key(left, id)) throw Error(ErrorKind::kInternal, "the key of a point cannot be one");
      each(before.substr(0, before.size() - left.size()));
    }
  }

 private:
  std::string bytes_;
};

struct Changed {
  PackedIds points;
  std::vector<PackedIds> vectors;
};

// Writes all points and tells which have something newer than `since`.
uint64_t write_points(Store& store, const SnapshotSource& source, uint64_t since, Changed& changed, SnapshotFileWriter& out) {
  const std::string prefix = Store::cid_prefix(source.record.cid);
  changed.vectors.resize(source.record.vectors.size());
  rocksdb::ReadOptions options;
  options.snapshot = source.view.get();
  options.total_order_seek = true;
  options.readahead_size = 1 << 20;
  options.fill_cache = false;
  const std::unique_ptr<rocksdb::Iterator> it(store.db().NewIterator(options, store.points()));
  uint64_t rows = 0;
  for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix); it->Next(), ++rows) {
    const std::string_view key = it->key().ToStringView().substr(prefix.size());
    out.row(SnapshotBlock::kPoints, key, it->value().ToStringView());
    const PointRecord point = PointRecord::decode(it->value().ToStringView());
    if (point.version > since) changed.points.add(key);
    for (const auto& [vector, version] : point.vectors) {
      if (version > since && vector < changed.vectors.size()) changed.vectors[vector].add(key);
    }
  }
  check(it->status(), "cannot read the collection");
  out.flush();
  return rows;
}

uint64_t write_changed(Store& store, const Snapshot& view, rocksdb::ColumnFamilyHandle* family, const std::string& prefix, const std::string& within,
                       const PackedIds& ids, SnapshotBlock kind, SnapshotFileWriter& out) {
  rocksdb::ReadOptions options;
  options.snapshot = view.get();
  options.fill_cache = false;
  uint64_t rows = 0;
  std::string key;
  rocksdb::PinnableSlice value;
  ids.each([&](std::string_view id) {
    key.assign(within).append(id);
    value.Reset();
    const auto status = store.db().Get(options, family, prefix + key, &value);
    if (status.IsNotFound()) return;
    check(status, "cannot read the collection");
    out.row(kind, key, value.ToStringView());
    ++rows;
  });
  out.flush();
  return rows;
}

void write_collection(Store& store, const SnapshotSource& source, const std::optional<SnapshotBase>& base, SnapshotFileWriter& out) {
  const uint32_t cid = source.record.cid;
  rocksdb::ReadOptions options;
  options.snapshot = source.view.get();
  std::string value;
  const auto status = store.db().Get(options, store.meta(), Store::collection_key('o', cid), &value);
  if (!status.IsNotFound()) check(status, "cannot read the collection");
  ByteWriter head;
  head.text(source.record.encode());
  head.u64(status.ok() ? ByteReader(value).u64() : 0);
  out.block(SnapshotBlock::kCollection, head.bytes());
  const std::string prefix = Store::cid_prefix(cid);
  ByteWriter counts;
  counts.u64(write_rows(store, source.view, store.meta(), Store::collection_key('s', cid), SnapshotBlock::kStreams, out));
  if (base) {
    Changed changed;
    counts.u64(write_points(store, source, base->since, changed, out));
    counts.u64(write_changed(store, source.view, store.payloads(), prefix, "", changed.points, SnapshotBlock::kPayloads, out));
    uint64_t vectors = 0;
    for (size_t n = 0; n < changed.vectors.size(); ++n) {
      const std::string within{static_cast<char>(n >> 8), static_cast<char>(n)};
      vectors += write_changed(store, source.view, store.vectors(), prefix, within, changed.vectors[n], SnapshotBlock::kVectors, out);
    }
    counts.u64(vectors);
  } else {
    counts.u64(write_rows(store, source.view, store.points(), prefix, SnapshotBlock::kPoints, out));
    counts.u64(write_rows(store, source.view, store.payloads(), prefix, SnapshotBlock::kPayloads, out));
    counts.u64(write_rows(store, source.view, store.vectors(), prefix, SnapshotBlock::kVectors, out));
  }
  out.block(SnapshotBlock::kCollectionEnd, counts.bytes());
}

void sync_folder(const std::string& folder) {
  const int handle = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = handle >= 0 && fsync(handle) == 0;
  if (handle >= 0) close(handle);
  if (!synced) throw Error(ErrorKind::kUnavailable, "cannot sync the folder of snapshots");
}

std::pair<uint64_t, std::string> write_file(Store& store, const std::vector<SnapshotSource>& sources,
                                            const std::vector<std::pair<std::string, std::string>>& aliases, bool full,
                                            const std::optional<SnapshotBase>& base, const std::string& path, const std::atomic<bool>& cancel) {
  struct stat mine, its;
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const bool shared = stat(folder.c_str(), &mine) == 0 && stat(store.path().c_str(), &its) == 0 && mine.st_dev == its.st_dev;
  SnapshotFileWriter out(path, full, base, cancel, [&](uint64_t bytes) {
    // On the store's own disk a snapshot leaves the writes their reserve.
    if (shared) store.require_room(bytes);
  });
  for (const SnapshotSource& source : sources) write_collection(store, source, base, out);
  ByteWriter names;
  names.u32(static_cast<uint32_t>(aliases.size()));
  for (const auto& [alias, collection] : aliases) {
    names.text(alias);
    names.text(collection);
  }
  out.block(SnapshotBlock::kAliases, names.bytes());
  ByteWriter end;
  end.u32(static_cast<uint32_t>(sources.size()));
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  end.u64(static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()));
  out.block(SnapshotBlock::kEnd, end.bytes());
  return out.finish();
}

}  // namespace

SnapshotBase read_base(const std::string& path, const CollectionRecord& record, const std::atomic<bool>& cancel) {
  SnapshotFileReader file(path, cancel);
  if (file.full()) throw Error(ErrorKind::kBadInput, "Wrong input: base: a snapshot of the whole storage is no base", "base");
  SnapshotBase base;
  SnapshotBlock kind;
  std::string_view content;
  while (file.next(kind, content)) {
    if (kind != SnapshotBlock::kCollection) continue;
    ByteReader in(content);
    const CollectionRecord old = CollectionRecord::decode(in.text());
    base.since = in.u64();
    // Both: numbers of collections may be the same in two data folders, and a restored collection may keep its sealing id.
    if (old.cid != record.cid || old.sealing_id != record.sealing_id) {
      throw Error(ErrorKind::kBadInput, "Wrong input: base: the snapshot is of another collection, or of this one before it was restored", "base");
    }
  }
  base.sha256 = file.sha256();
  return base;
}

std::pair<uint64_t, std::string> write_snapshot(Store& store, const std::vector<SnapshotSource>& sources,
                                                const std::vector<std::pair<std::string, std::string>>& aliases, bool full,
                                                const std::optional<SnapshotBase>& base, const std::string& path, const std::atomic<bool>& cancel) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code failure;
  if (std::filesystem::create_directories(folder, failure)) {
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, failure);
  }
  if (failure) throw Error(ErrorKind::kUnavailable, "cannot make the folder of snapshots: " + failure.message());
  if (std::filesystem::exists(path)) throw Error(ErrorKind::kAlreadyExists, "a snapshot of this name exists");
  // The operations of what a power cut undoes are counted again: a snapshot that others build on may hold none of them.
  store.sync();
  const std::string partial = path + ".partial", checksum = path + ".checksum";
  try {
    auto written = write_file(store, sources, aliases, full, base, partial, cancel);
    std::ofstream note(checksum, std::ios::binary);
    note << written.second;
    note.close();
    if (!note) throw Error(ErrorKind::kExhausted, "cannot write the checksum beside the snapshot");
    std::filesystem::rename(partial, path);
    sync_folder(folder.string());
    return written;
  } catch (...) {
    for (const auto& file : {partial, checksum, path}) unlink(file.c_str());
    throw;
  }
}

}  // namespace sealpoint
