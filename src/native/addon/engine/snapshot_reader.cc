#include "snapshot_reader.h"

#include "snapshot_stager.h"

namespace sealpoint {

namespace {

// Slot, version, place: what a point takes in memory beside its vectors.
constexpr uint64_t kPointBytes = 96;

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
  if (file.base()) throw Error(ErrorKind::kBadInput, "Wrong input: the snapshot is incremental: the one that it is based on is needed too", "location");
  const SnapshotFolder tables(folder);
  SnapshotStager stager(store, folder, allocate);
  SnapshotBlock kind;
  std::string_view content;
  while (file.next(kind, content)) {
    try {
      // Rows become tables here and stay beside what they replace.
      store.require_room(content.size());
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
  batch.DeleteRange(store.meta(), Store::collection_key('j', cid), Store::collection_key('j', cid + 1));
  batch.DeleteRange(store.meta(), Store::collection_key('g', cid), Store::collection_key('g', cid + 1));
  batch.Delete(store.meta(), Store::collection_key('f', cid));
  batch.Delete(store.meta(), Store::collection_key('o', cid));
  batch.Delete(store.meta(), restore_mark(cid));
  store.write(batch);
}

}  // namespace sealpoint
