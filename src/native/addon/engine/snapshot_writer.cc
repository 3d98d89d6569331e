#include "snapshot_writer.h"

#include <fcntl.h>
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

void write_collection(Store& store, const SnapshotSource& source, SnapshotFileWriter& out) {
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
  counts.u64(write_rows(store, source.view, store.points(), prefix, SnapshotBlock::kPoints, out));
  counts.u64(write_rows(store, source.view, store.payloads(), prefix, SnapshotBlock::kPayloads, out));
  counts.u64(write_rows(store, source.view, store.vectors(), prefix, SnapshotBlock::kVectors, out));
  out.block(SnapshotBlock::kCollectionEnd, counts.bytes());
}

void sync_folder(const std::string& folder) {
  const int handle = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = handle >= 0 && fsync(handle) == 0;
  if (handle >= 0) close(handle);
  if (!synced) throw Error(ErrorKind::kUnavailable, "cannot sync the folder of snapshots");
}

std::pair<uint64_t, std::string> write_file(Store& store, const std::vector<SnapshotSource>& sources,
                                            const std::vector<std::pair<std::string, std::string>>& aliases, bool full, const std::string& path,
                                            const std::atomic<bool>& cancel) {
  SnapshotFileWriter out(path, full, cancel);
  for (const SnapshotSource& source : sources) write_collection(store, source, out);
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

std::pair<uint64_t, std::string> write_snapshot(Store& store, const std::vector<SnapshotSource>& sources,
                                                const std::vector<std::pair<std::string, std::string>>& aliases, bool full,
                                                const std::string& path, const std::atomic<bool>& cancel) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code failure;
  if (std::filesystem::create_directories(folder, failure)) {
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, failure);
  }
  if (failure) throw Error(ErrorKind::kUnavailable, "cannot make the folder of snapshots: " + failure.message());
  if (std::filesystem::exists(path)) throw Error(ErrorKind::kAlreadyExists, "a snapshot of this name exists");
  const std::string partial = path + ".partial", checksum = path + ".checksum";
  try {
    auto written = write_file(store, sources, aliases, full, partial, cancel);
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
