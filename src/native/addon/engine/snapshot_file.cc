#include "snapshot_file.h"

#include <fcntl.h>
#include <lz4.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "../vector/checksum.h"

namespace sealpoint {

namespace {

constexpr std::string_view kMagic = "SEALSNAP";
constexpr uint32_t kWhole = 1, kIncremental = 2;  // versions
constexpr uint32_t kFullFlag = 1, kBaseFlag = 2;
constexpr size_t kShaDigits = 64, kBaseBytes = kShaDigits + 8 + 4;
constexpr size_t kBlockBytes = 1 << 20;
// A row is a payload of at most 16 MiB and its key; a reader takes no more memory than this for a block.
constexpr uint32_t kBlockBytesMax = 64 << 20;
constexpr size_t kHeader = 24;
// Written pages go to the disk while the next are made, so that the sync at the end finds little to do.
constexpr uint64_t kWriteBackBytes = 8 << 20;

[[noreturn]] void file_failed(const char* doing, const std::string& path) {
  const int code = errno;
  const bool space = code == ENOSPC || code == EDQUOT || code == EFBIG;
  const std::string text = space ? "the disk is full: no snapshot was written" : std::string(doing) + " " + path + ": " + std::generic_category().message(code);
  throw Error(space ? ErrorKind::kExhausted : code == ENOENT ? ErrorKind::kNotFound : ErrorKind::kUnavailable, text);
}

void stop_if(const std::atomic<bool>& cancel) {
  if (cancel) throw Error(ErrorKind::kUnavailable, "the server is shutting down");
}

}  // namespace

void damaged_snapshot(const std::string& why) { throw Error(ErrorKind::kDataLoss, "the snapshot is damaged: " + why + "; nothing was restored"); }

Sha256::Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
  if (context_ == nullptr || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) throw Error(ErrorKind::kInternal, "no SHA-256");
}

void Sha256::add(std::string_view bytes) { EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()); }

std::string Sha256::hex() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_DigestFinal_ex(context_.get(), digest, &size);
  static const char* digits = "0123456789abcdef";
  std::string text;
  for (unsigned i = 0; i < size; ++i) {
    text.push_back(digits[digest[i] >> 4]);
    text.push_back(digits[digest[i] & 15]);
  }
  return text;
}

SnapshotFileWriter::SnapshotFileWriter(std::string path, bool full, const std::optional<SnapshotBase>& base, const std::atomic<bool>& cancel,
                                       std::function<void(uint64_t)> room)
    : path_(std::move(path)), cancel_(cancel), room_(std::move(room)) {
  file_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file_ < 0) file_failed("cannot make", path_);
  ByteWriter head;
  head.raw(kMagic.data(), kMagic.size());
  head.u32(base ? kIncremental : kWhole);
  head.u32((full ? kFullFlag : 0) | (base ? kBaseFlag : 0));
  if (base) {
    head.raw(base->sha256.data(), kShaDigits);
    head.u64(base->since);
    head.u32(lane_crc32c(head.bytes().data(), head.bytes().size()));
  }
  append(head.bytes());
}

SnapshotFileWriter::~SnapshotFileWriter() {
  if (file_ >= 0) close(file_);
  if (!finished_) unlink(path_.c_str());
}

void SnapshotFileWriter::append(std::string_view bytes) {
  if (room_ != nullptr) room_(bytes.size());
  sha_.add(bytes);
  size_ += bytes.size();
  while (!bytes.empty()) {
    const ssize_t done = write(file_, bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) file_failed("cannot write", path_);
    bytes.remove_prefix(static_cast<size_t>(done));
  }
  if (size_ - written_back_ < kWriteBackBytes) return;
  sync_file_range(file_, static_cast<off64_t>(written_back_), static_cast<off64_t>(size_ - written_back_), SYNC_FILE_RANGE_WRITE);
  written_back_ = size_;
}

void SnapshotFileWriter::row(SnapshotBlock kind, std::string_view key, std::string_view value) {
  if (kind != rows_kind_ || rows_.size() + value.size() > kBlockBytes) flush();
  rows_kind_ = kind;
  const auto add = [&](std::string_view text) {
    const auto size = static_cast<uint32_t>(text.size());
    rows_.append(reinterpret_cast<const char*>(&size), sizeof(size));
    rows_.append(text);
  };
  add(key);
  add(value);
}

void SnapshotFileWriter::flush() {
  if (rows_.empty()) return;
  const std::string rows = std::move(rows_);
  rows_.clear();
  rows_.reserve(kBlockBytes + (64 << 10));
  block(rows_kind_, rows);
}

void SnapshotFileWriter::block(SnapshotBlock kind, std::string_view content) {
  stop_if(cancel_);
  if (content.size() > kBlockBytesMax) throw Error(ErrorKind::kInternal, "a block of the snapshot is too large");
  std::string_view stored = content;
  uint8_t compression = 0;
  // Floats do not compress, and trying costs as much as writing them.
  if (kind != SnapshotBlock::kVectors) {
    compressed_.resize(static_cast<size_t>(LZ4_compressBound(static_cast<int>(content.size()))));
    const int size = LZ4_compress_default(content.data(), compressed_.data(), static_cast<int>(content.size()), static_cast<int>(compressed_.size()));
    if (size > 0 && static_cast<size_t>(size) < content.size()) {
      stored = std::string_view(compressed_).substr(0, static_cast<size_t>(size));
      compression = 1;
    }
  }
  ByteWriter header;
  header.u8(static_cast<uint8_t>(kind));
  header.u8(compression);
  header.put<uint16_t>(0);
  header.u32(number_++);
  header.u32(static_cast<uint32_t>(content.size()));
  header.u32(static_cast<uint32_t>(stored.size()));
  header.u32(lane_crc32c(stored.data(), stored.size()));
  header.u32(lane_crc32c(header.bytes().data(), header.bytes().size()));
  append(header.bytes());
  append(stored);
}

std::pair<uint64_t, std::string> SnapshotFileWriter::finish() {
  flush();
  if (fsync(file_) != 0) file_failed("cannot sync", path_);
  const int file = std::exchange(file_, -1);
  if (close(file) != 0) file_failed("cannot close", path_);
  finished_ = true;
  return {size_, sha_.hex()};
}

SnapshotFileReader::SnapshotFileReader(const std::string& path, const std::atomic<bool>& cancel) : cancel_(cancel) {
  file_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file_ < 0) file_failed("cannot read", path);
  posix_fadvise(file_, 0, 0, POSIX_FADV_SEQUENTIAL);
  try {
    constexpr size_t kHeadBytes = kMagic.size() + 8;
    const std::string_view head = read(header_, kHeadBytes);
    if (head.size() < kMagic.size() + 8 || head.substr(0, kMagic.size()) != kMagic) {
      throw Error(ErrorKind::kBadInput, "Wrong input: the file is not a snapshot of Sealpoint (Qdrant's are not read: see docs/migration.md)", "location");
    }
    ByteReader in(head.substr(kMagic.size()));
    const uint32_t version = in.u32(), flags = in.u32();
    if (version != kWhole && version != kIncremental) {
      throw Error(ErrorKind::kBadInput, "Wrong input: the snapshot has a version that this server does not know", "location");
    }
    if (flags > (kFullFlag | kBaseFlag) || ((flags & kBaseFlag) != 0) != (version == kIncremental)) damaged_snapshot("its head cannot be one");
    full_ = (flags & kFullFlag) != 0;
    if (version == kIncremental) {
      std::string start(head), more;
      start += read(more, kBaseBytes);
      if (start.size() < kHeadBytes + kBaseBytes) damaged_snapshot("it is cut short");
      ByteReader tail(std::string_view(start).substr(kHeadBytes + kShaDigits));
      base_ = SnapshotBase{start.substr(kHeadBytes, kShaDigits), tail.u64()};
      if (tail.u32() != lane_crc32c(start.data(), start.size() - 4)) damaged_snapshot("its head fails its checksum");
    }
  } catch (...) {
    close(file_);
    throw;
  }
}

SnapshotFileReader::~SnapshotFileReader() { close(file_); }

// Shorter than `size` only at the end of the file.
std::string_view SnapshotFileReader::read(std::string& into, size_t size) {
  if (into.size() < size) into.resize(size);
  size_t at = 0;
  while (at < size) {
    const ssize_t done = ::read(file_, into.data() + at, size - at);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) throw Error(ErrorKind::kUnavailable, "cannot read the snapshot: " + std::generic_category().message(errno));
    if (done == 0) break;
    at += static_cast<size_t>(done);
  }
  const std::string_view got(into.data(), at);
  sha_.add(got);
  return got;
}

bool SnapshotFileReader::next(SnapshotBlock& kind, std::string_view& content) {
  stop_if(cancel_);
  const std::string_view head = read(header_, kHeader);
  if (ended_ && head.empty()) return false;
  if (ended_) damaged_snapshot("bytes follow its end");
  if (head.size() < kHeader) damaged_snapshot("it is cut short");
  ByteReader in(head);
  kind = static_cast<SnapshotBlock>(in.u8());
  const uint8_t compression = in.u8();
  (void)in.u16();
  const uint32_t number = in.u32(), size = in.u32(), stored_size = in.u32(), checksum = in.u32();
  const std::string place = "block " + std::to_string(number_);
  if (in.u32() != lane_crc32c(head.data(), kHeader - 4)) damaged_snapshot(place + "'s header fails its checksum");
  if (number != number_++ || size > kBlockBytesMax || stored_size > size || compression > 1 || kind < SnapshotBlock::kCollection || kind > SnapshotBlock::kEnd) {
    damaged_snapshot(place + " cannot be one of this file");
  }
  const std::string_view stored = read(stored_, stored_size);
  if (stored.size() < stored_size) damaged_snapshot("it is cut short");
  if (lane_crc32c(stored.data(), stored.size()) != checksum) damaged_snapshot(place + " fails its checksum");
  content = stored;
  if (compression == 1) {
    if (content_.size() < size) content_.resize(size);
    const int unpacked = LZ4_decompress_safe(stored.data(), content_.data(), static_cast<int>(stored.size()), static_cast<int>(size));
    if (unpacked != static_cast<int>(size)) damaged_snapshot(place + " cannot be unpacked");
    content = std::string_view(content_.data(), size);
  } else if (size != stored_size) {
    damaged_snapshot(place + " cannot be one of this file");
  }
  ended_ = kind == SnapshotBlock::kEnd;
  return true;
}

}  // namespace sealpoint
