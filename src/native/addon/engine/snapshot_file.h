// The snapshot file: blocks with checksums behind a short head. A disk format: a change is a new version.
//   head     "SEALSNAP", u32 version, u32 flags (1: the whole storage, 2: incremental)
//            incremental ones (version 2): SHA-256 of the snapshot that it is based on as 64 digits, u64 that one's last operation, u32
//            checksum of the head before it
//   block    u8 kind, u8 compression (0 none, 1 LZ4), u16 0, u32 number from 0, u32 size, u32 stored size, u32 checksum of what is
//            stored, u32 checksum of the 20 bytes before; then what is stored. Checksums are lane_crc32c (vector/checksum.h).
// Kinds, in this order for each collection, then aliases and end:
//   collection  the collection record (records.h), u64 last operation
//   streams, points, payloads, vectors   rows: u32 key size, key without cid, u32 value size, value; ascending by key
//   collection end   u64 streams, points, payloads, vectors: the counts of rows
//   aliases  u32 n, each alias and collection        end  u32 collections, u64 time of creation (ms)
// An incremental one holds one collection: its record, streams and points whole, of the payloads and vectors those that are newer
// than the base's last operation. So what was deleted needs no mark: no point refers to it.
#pragma once
#include <openssl/evp.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/bytes.h"
#include "records.h"

namespace sealpoint {

enum class SnapshotBlock : uint8_t { kCollection = 1, kStreams, kPoints, kPayloads, kVectors, kCollectionEnd, kAliases, kEnd };

// The counts that a collection end block holds, in this order.
using SnapshotCounts = std::array<uint64_t, 4>;
constexpr size_t kSnapshotRowKinds = 4;

// What an incremental snapshot builds on.
struct SnapshotBase {
  std::string sha256;  // hexadecimal
  uint64_t since = 0;
};

// SHA-256 over what is added, as hexadecimal text.
class Sha256 {
 public:
  Sha256();
  void add(std::string_view bytes);
  std::string hex();

 private:
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;
};

// A new file that is gone again unless finish() was reached. Throws kExhausted on a full disk, and what `room` throws, which is told how many bytes come next.
class SnapshotFileWriter {
 public:
  SnapshotFileWriter(std::string path, bool full, const std::optional<SnapshotBase>& base, const std::atomic<bool>& cancel,
                     std::function<void(uint64_t)> room = nullptr);
  ~SnapshotFileWriter();
  void row(SnapshotBlock kind, std::string_view key, std::string_view value);
  void block(SnapshotBlock kind, std::string_view content);
  // Writes out the rows that wait.
  void flush();
  // Syncs the file; its size and SHA-256.
  std::pair<uint64_t, std::string> finish();

 private:
  void append(std::string_view bytes);

  const std::string path_;
  const std::atomic<bool>& cancel_;
  const std::function<void(uint64_t)> room_;
  int file_ = -1;
  bool finished_ = false;
  uint64_t size_ = 0, written_back_ = 0;
  uint32_t number_ = 0;
  SnapshotBlock rows_kind_ = SnapshotBlock::kEnd;
  std::string rows_, compressed_;
  Sha256 sha_;
};

// Reads block by block and checks each. Throws kBadInput for what is no snapshot, kDataLoss for a damaged one.
class SnapshotFileReader {
 public:
  SnapshotFileReader(const std::string& path, const std::atomic<bool>& cancel);
  ~SnapshotFileReader();
  bool full() const { return full_; }
  const std::optional<SnapshotBase>& base() const { return base_; }
  // False behind the end block. `content` lives until the next call.
  bool next(SnapshotBlock& kind, std::string_view& content);
  // Of the whole file, behind its end.
  std::string sha256() { return sha_.hex(); }

 private:
  std::string_view read(std::string& into, size_t size);

  const std::atomic<bool>& cancel_;
  int file_ = -1;
  bool full_ = false, ended_ = false;
  std::optional<SnapshotBase> base_;
  uint32_t number_ = 0;
  std::string header_, stored_, content_;
  Sha256 sha_;
};

[[noreturn]] void damaged_snapshot(const std::string& why);

}  // namespace sealpoint
