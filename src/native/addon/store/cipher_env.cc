#include "cipher_env.h"

#include <rocksdb/file_system.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "../core/status.h"

namespace sealpoint {

namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

constexpr const char* kRenamed = ".renamed";
// A piece of a file that is not of blocks: its sealed size, then itself.
constexpr size_t kPieceHead = 4;
constexpr size_t kPieceMax = 64 << 20;

std::string name_of(const std::string& path) { return "store/" + path.substr(path.rfind('/') + 1); }
bool is_blocks(const std::string& path) { return path.ends_with(".sst") || path.ends_with(".blob"); }

IOStatus changed(const std::string& path) { return IOStatus::Corruption("an encrypted file is not what was written: " + name_of(path)); }

// Runs what may throw, as a status.
template <typename Work>
IOStatus guarded(Work&& work) {
  try {
    return work();
  } catch (const Error& error) {
    return error.kind() == ErrorKind::kDataLoss ? IOStatus::Corruption(error.what()) : IOStatus::IOError(error.what());
  } catch (const std::bad_alloc&) {
    return IOStatus::IOError("no memory is left for an encrypted file");
  }
}

class Writer : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  Writer(std::unique_ptr<rocksdb::FSWritableFile>&& file, std::unique_ptr<SealedFile> sealed)
      : FSWritableFileOwnerWrapper(std::move(file)), sealed_(std::move(sealed)) {}

  using FSWritableFileOwnerWrapper::Append;
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&, IODebugContext* context) override {
    return this->Append(data, options, context);
  }
  IOStatus PositionedAppend(const Slice&, uint64_t, const IOOptions&, IODebugContext*) override { return IOStatus::NotSupported("appends have no place"); }
  IOStatus PositionedAppend(const Slice&, uint64_t, const IOOptions&, const rocksdb::DataVerificationInfo&, IODebugContext*) override {
    return IOStatus::NotSupported("appends have no place");
  }
  IOStatus Truncate(uint64_t size, const IOOptions&, IODebugContext*) override {
    return size == size_ ? IOStatus::OK() : IOStatus::NotSupported("an encrypted file only grows");
  }
  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override { return size_; }

 protected:
  const std::unique_ptr<SealedFile> sealed_;
  std::vector<uint8_t> out_;  // ciphertext
  uint64_t size_ = 0;
};

// A piece for each append.
class PieceWriter : public Writer {
 public:
  using Writer::Writer;
  using Writer::Append;
  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* context) override {
    return guarded([&] {
      for (size_t at = 0; at < data.size(); at += kPieceMax) {
        const size_t size = std::min(kPieceMax, data.size() - at);
        const auto sealed = static_cast<uint32_t>(size + SealedFile::kSealBytes);
        out_.resize(kPieceHead + sealed);
        std::memcpy(out_.data(), &sealed, kPieceHead);
        sealed_->seal(number_++, data.data() + at, size, out_.data() + kPieceHead);
        auto status = target()->Append(Slice(reinterpret_cast<const char*>(out_.data()), out_.size()), options, context);
        if (!status.ok()) return status;
        size_ += size;
      }
      return IOStatus::OK();
    });
  }

 private:
  uint64_t number_ = 0;
};

// Whole blocks as they fill; the last one, if it is short, at each sync and at the end, and again when it has grown.
class BlockWriter : public Writer {
 public:
  using Writer::Writer;
  using Writer::Append;
  ~BlockWriter() override { std::fill(pending_.begin(), pending_.end(), 0); }

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* context) override {
    return guarded([&] {
      if (written_short_ && !data.empty()) {
        auto status = target()->Truncate(SealedFile::place(block_), options, context);
        if (!status.ok()) return status;
        written_short_ = false;
      }
      const auto* at = reinterpret_cast<const uint8_t*>(data.data());
      const auto* const end = at + data.size();
      out_.clear();
      while (at < end) {
        if (pending_.empty() && static_cast<size_t>(end - at) >= SealedFile::kBlock) {
          put(at, SealedFile::kBlock);
          at += SealedFile::kBlock;
          continue;
        }
        const size_t taken = std::min<size_t>(SealedFile::kBlock - pending_.size(), static_cast<size_t>(end - at));
        pending_.insert(pending_.end(), at, at + taken);
        at += taken;
        if (pending_.size() < SealedFile::kBlock) break;
        put(pending_.data(), pending_.size());
        pending_.clear();
      }
      size_ += data.size();
      return out_.empty() ? IOStatus::OK() : target()->Append(Slice(reinterpret_cast<const char*>(out_.data()), out_.size()), options, context);
    });
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* context) override {
    const auto status = write_short(options, context);
    return status.ok() ? target()->Sync(options, context) : status;
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* context) override {
    const auto status = write_short(options, context);
    return status.ok() ? target()->Fsync(options, context) : status;
  }
  IOStatus Close(const IOOptions& options, IODebugContext* context) override {
    const auto status = write_short(options, context);
    const auto closed = target()->Close(options, context);
    return status.ok() ? closed : status;
  }
  bool IsSyncThreadSafe() const override { return false; }

 private:
  void put(const uint8_t* text, size_t size) {
    const size_t at = out_.size();
    out_.resize(at + size + SealedFile::kSealBytes);
    sealed_->seal(block_++, text, size, out_.data() + at);
  }
  IOStatus write_short(const IOOptions& options, IODebugContext* context) {
    if (pending_.empty() || written_short_) return IOStatus::OK();
    return guarded([&] {
      out_.clear();
      put(pending_.data(), pending_.size());
      --block_;
      const auto status = target()->Append(Slice(reinterpret_cast<const char*>(out_.data()), out_.size()), options, context);
      written_short_ = status.ok();
      return status;
    });
  }

  std::vector<uint8_t> pending_;  // the last block, as long as it is short
  uint64_t block_ = 0;
  bool written_short_ = false;
};

class RandomReader : public rocksdb::FSRandomAccessFileOwnerWrapper {
 public:
  RandomReader(std::unique_ptr<rocksdb::FSRandomAccessFile>&& file, std::unique_ptr<SealedFile> sealed, std::string path)
      : FSRandomAccessFileOwnerWrapper(std::move(file)), sealed_(std::move(sealed)), path_(std::move(path)) {}

  IOStatus Read(uint64_t offset, size_t n, const IOOptions& options, Slice* result, char* scratch, IODebugContext* context) const override {
    *result = Slice();
    return guarded([&] {
      IOStatus status;
      size_t got = 0;
      const bool sound = sealed_->read(
          offset, n, scratch,
          [&](uint64_t place, size_t size, uint8_t* to) -> size_t {
            Slice part;
            status = target()->Read(place, size, options, &part, reinterpret_cast<char*>(to), context);
            if (!status.ok()) return 0;
            if (part.data() != reinterpret_cast<char*>(to)) std::memcpy(to, part.data(), part.size());
            return part.size();
          },
          got);
      if (!status.ok()) return status;
      if (!sound) return changed(path_);
      *result = Slice(scratch, got);
      return IOStatus::OK();
    });
  }
  IOStatus MultiRead(rocksdb::FSReadRequest* requests, size_t count, const IOOptions& options, IODebugContext* context) override {
    for (size_t i = 0; i < count; ++i) {
      auto& each = requests[i];
      each.status = Read(each.offset, each.len, options, &each.result, each.scratch, context);
    }
    return IOStatus::OK();
  }
  IOStatus ReadAsync(rocksdb::FSReadRequest& request, const IOOptions& options, std::function<void(const rocksdb::FSReadRequest&, void*)> done, void* argument,
                     void** handle, rocksdb::IOHandleDeleter* deleter, IODebugContext*) override {
    return FSRandomAccessFile::ReadAsync(request, options, std::move(done), argument, handle, deleter, nullptr);
  }
  IOStatus Prefetch(uint64_t offset, size_t n, const IOOptions& options, IODebugContext* context) override {
    const uint64_t first = SealedFile::place(offset / SealedFile::kBlock);
    const uint64_t end = SealedFile::place((offset + n) / SealedFile::kBlock + 1);
    return target()->Prefetch(first, end - first, options, context);
  }
  IOStatus InvalidateCache(size_t, size_t) override { return target()->InvalidateCache(0, 0); }

 private:
  const std::unique_ptr<SealedFile> sealed_;
  const std::string path_;
};

class SequentialReader : public rocksdb::FSSequentialFileOwnerWrapper {
 public:
  SequentialReader(std::unique_ptr<rocksdb::FSSequentialFile>&& file, std::unique_ptr<SealedFile> sealed, std::string path, bool blocks)
      : FSSequentialFileOwnerWrapper(std::move(file)), sealed_(std::move(sealed)), path_(std::move(path)), blocks_(blocks) {}
  ~SequentialReader() override { std::fill(text_.begin(), text_.end(), 0); }

  IOStatus Read(size_t n, const IOOptions& options, Slice* result, char* scratch, IODebugContext* context) override {
    *result = Slice();
    return guarded([&] {
      size_t got = 0;
      while (got < n) {
        if (at_ == text_.size()) {
          bool end = false;
          auto status = next(options, context, end);
          if (!status.ok()) return status;
          if (end) break;
        }
        const size_t taken = std::min(n - got, text_.size() - at_);
        std::memcpy(scratch + got, text_.data() + at_, taken);
        got += taken;
        at_ += taken;
      }
      *result = Slice(scratch, got);
      return IOStatus::OK();
    });
  }
  IOStatus Skip(uint64_t n) override {
    char room[4096];
    while (n > 0) {
      Slice part;
      const auto status = Read(std::min<uint64_t>(n, sizeof(room)), {}, &part, room, nullptr);
      if (!status.ok() || part.empty()) return status;
      n -= part.size();
    }
    return IOStatus::OK();
  }
  IOStatus InvalidateCache(size_t, size_t) override { return target()->InvalidateCache(0, 0); }
  IOStatus PositionedRead(uint64_t, size_t, const IOOptions&, Slice*, char*, IODebugContext*) override { return IOStatus::NotSupported("PositionedRead"); }

 private:
  // Up to `size` bytes into sealed_; fewer at the end.
  IOStatus fetch(size_t size, const IOOptions& options, IODebugContext* context) {
    sealed_bytes_.resize(size);
    Slice part;
    auto status = target()->Read(size, options, &part, reinterpret_cast<char*>(sealed_bytes_.data()), context);
    if (!status.ok()) return status;
    if (part.data() != reinterpret_cast<char*>(sealed_bytes_.data())) std::memcpy(sealed_bytes_.data(), part.data(), part.size());
    sealed_bytes_.resize(part.size());
    return status;
  }
  IOStatus next(const IOOptions& options, IODebugContext* context, bool& end) {
    size_t size = SealedFile::kSealedBlock;
    if (!blocks_) {
      auto status = fetch(kPieceHead, options, context);
      if (!status.ok()) return status;
      end = sealed_bytes_.empty();
      if (end) return status;
      uint32_t sealed = 0;
      if (sealed_bytes_.size() < kPieceHead) return changed(path_);
      std::memcpy(&sealed, sealed_bytes_.data(), kPieceHead);
      size = sealed;
      if (size < SealedFile::kSealBytes || size > kPieceMax + SealedFile::kSealBytes) return changed(path_);
    }
    auto status = fetch(size, options, context);
    if (!status.ok()) return status;
    end = blocks_ && sealed_bytes_.empty();
    if (end) return status;
    if ((!blocks_ && sealed_bytes_.size() < size) || sealed_bytes_.size() < SealedFile::kSealBytes) return changed(path_);
    std::fill(text_.begin(), text_.end(), 0);
    text_.resize(sealed_bytes_.size() - SealedFile::kSealBytes);
    at_ = 0;
    return sealed_->open(number_++, sealed_bytes_.data(), sealed_bytes_.size(), text_.data()) ? status : changed(path_);
  }

  const std::unique_ptr<SealedFile> sealed_;
  const std::string path_;
  const bool blocks_;
  uint64_t number_ = 0;
  std::vector<uint8_t> sealed_bytes_;
  std::vector<uint8_t> text_;
  size_t at_ = 0;
};

// A small file that is read here and there all the same.
class MemoryReader : public rocksdb::FSRandomAccessFile {
 public:
  explicit MemoryReader(std::string text) : text_(std::move(text)) {}
  ~MemoryReader() override { std::fill(text_.begin(), text_.end(), '\0'); }
  IOStatus Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch, IODebugContext*) const override {
    const size_t at = std::min<uint64_t>(offset, text_.size());
    const size_t size = std::min(n, text_.size() - at);
    std::memcpy(scratch, text_.data() + at, size);
    *result = Slice(scratch, size);
    return IOStatus::OK();
  }

 private:
  std::string text_;
};

class CipherFs : public rocksdb::FileSystemWrapper {
 public:
  CipherFs(const std::shared_ptr<rocksdb::FileSystem>& base, std::shared_ptr<const FileCipher> cipher) : FileSystemWrapper(base), cipher_(std::move(cipher)) {}
  const char* Name() const override { return "SealpointCipher"; }

  IOStatus NewWritableFile(const std::string& path, const FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* result,
                           IODebugContext* context) override {
    return new_file(path, path, options, result, context);
  }
  IOStatus NewRandomAccessFile(const std::string& path, const FileOptions& options, std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                               IODebugContext* context) override {
    if (!is_blocks(path)) return open_small(path, result, context);
    FileOptions plain = options;
    plain.use_mmap_reads = false;
    std::unique_ptr<rocksdb::FSRandomAccessFile> file;
    auto status = target()->NewRandomAccessFile(path, plain, &file, context);
    if (!status.ok()) return status;
    return guarded([&] {
      char room[SealedFile::kHeadBytes];
      Slice head;
      auto read = file->Read(0, sizeof(room), plain.io_options, &head, room, context);
      if (!read.ok()) return read;
      auto sealed = std::make_unique<SealedFile>(*cipher_, name_of(path), head.ToStringView());
      result->reset(new RandomReader(std::move(file), std::move(sealed), path));
      return read;
    });
  }
  IOStatus NewSequentialFile(const std::string& path, const FileOptions& options, std::unique_ptr<rocksdb::FSSequentialFile>* result,
                             IODebugContext* context) override {
    FileOptions plain = options;
    plain.use_mmap_reads = false;
    std::unique_ptr<rocksdb::FSSequentialFile> file;
    auto status = target()->NewSequentialFile(path, plain, &file, context);
    if (!status.ok()) return status;
    return guarded([&] {
      char room[SealedFile::kHeadBytes];
      Slice head;
      auto read = file->Read(sizeof(room), plain.io_options, &head, room, context);
      if (!read.ok()) return read;
      auto sealed = std::make_unique<SealedFile>(*cipher_, name_of(path), head.ToStringView());
      result->reset(new SequentialReader(std::move(file), std::move(sealed), path, is_blocks(path)));
      return read;
    });
  }
  IOStatus GetFileSize(const std::string& path, const IOOptions& options, uint64_t* size, IODebugContext* context) override {
    auto status = target()->GetFileSize(path, options, size, context);
    if (!status.ok()) return status;
    if (is_blocks(path)) {
      *size = SealedFile::text_bytes(*size);
      return status;
    }
    // What is asked of these is whether they are as long as they should be: what they hold tells.
    std::unique_ptr<rocksdb::FSSequentialFile> file;
    status = NewSequentialFile(path, {}, &file, context);
    if (!status.ok()) return status;
    *size = 0;
    char room[4096];
    for (Slice part;;) {
      status = file->Read(sizeof(room), options, &part, room, context);
      if (!status.ok() || part.empty()) return status;
      *size += part.size();
    }
  }
  IOStatus GetChildrenFileAttributes(const std::string& folder, const IOOptions& options, std::vector<rocksdb::FileAttributes>* result,
                                     IODebugContext* context) override {
    auto status = target()->GetChildrenFileAttributes(folder, options, result, context);
    for (auto& each : *result) {
      if (is_blocks(each.name)) each.size_bytes = SealedFile::text_bytes(each.size_bytes);
    }
    return status;
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options, IODebugContext* context) override {
    const std::string copy = to + kRenamed;
    auto status = reseal(from, to, copy, options, context);
    if (status.ok()) status = target()->RenameFile(copy, to, options, context);
    if (status.ok()) status = target()->DeleteFile(from, options, context);
    if (!status.ok()) target()->DeleteFile(copy, options, context).PermitUncheckedError();
    return status;
  }
  IOStatus ReopenWritableFile(const std::string&, const FileOptions&, std::unique_ptr<rocksdb::FSWritableFile>*, IODebugContext*) override {
    return IOStatus::NotSupported("an encrypted file is written once");
  }
  IOStatus ReuseWritableFile(const std::string&, const std::string&, const FileOptions&, std::unique_ptr<rocksdb::FSWritableFile>*, IODebugContext*) override {
    return IOStatus::NotSupported("an encrypted file is written once");
  }
  IOStatus NewRandomRWFile(const std::string&, const FileOptions&, std::unique_ptr<rocksdb::FSRandomRWFile>*, IODebugContext*) override {
    return IOStatus::NotSupported("an encrypted file is written once");
  }
  IOStatus NewMemoryMappedFileBuffer(const std::string&, std::unique_ptr<rocksdb::MemoryMappedFileBuffer>*) override {
    return IOStatus::NotSupported("an encrypted file is not mapped");
  }
  IOStatus LinkFile(const std::string&, const std::string&, const IOOptions&, IODebugContext*) override {
    return IOStatus::NotSupported("an encrypted file has one name");
  }
  IOStatus Truncate(const std::string&, size_t, const IOOptions&, IODebugContext*) override {
    return IOStatus::NotSupported("an encrypted file is written once");
  }

 private:
  // At `path`, to be opened as `name`.
  IOStatus new_file(const std::string& path, const std::string& name, const FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* result,
                    IODebugContext* context) {
    FileOptions plain = options;
    plain.use_mmap_writes = false;
    std::unique_ptr<rocksdb::FSWritableFile> file;
    auto status = target()->NewWritableFile(path, plain, &file, context);
    if (!status.ok()) return status;
    return guarded([&] {
      auto sealed = std::make_unique<SealedFile>(*cipher_, name_of(name));
      auto written = file->Append(sealed->head(), plain.io_options, context);
      if (!written.ok()) return written;
      if (is_blocks(name)) {
        result->reset(new BlockWriter(std::move(file), std::move(sealed)));
      } else {
        result->reset(new PieceWriter(std::move(file), std::move(sealed)));
      }
      return written;
    });
  }
  IOStatus open_small(const std::string& path, std::unique_ptr<rocksdb::FSRandomAccessFile>* result, IODebugContext* context) {
    std::unique_ptr<rocksdb::FSSequentialFile> file;
    auto status = NewSequentialFile(path, {}, &file, context);
    std::string text;
    char room[4096];
    while (status.ok()) {
      Slice part;
      status = file->Read(sizeof(room), {}, &part, room, context);
      if (!status.ok() || part.empty()) break;
      text.append(part.data(), part.size());
    }
    if (status.ok()) result->reset(new MemoryReader(std::move(text)));
    return status;
  }
  // What is renamed is a few bytes.
  IOStatus reseal(const std::string& from, const std::string& to, const std::string& copy, const IOOptions& options, IODebugContext* context) {
    std::unique_ptr<rocksdb::FSSequentialFile> in;
    std::unique_ptr<rocksdb::FSWritableFile> out;
    auto status = NewSequentialFile(from, {}, &in, context);
    if (status.ok()) status = new_file(copy, to, {}, &out, context);
    char room[4096];
    while (status.ok()) {
      Slice part;
      status = in->Read(sizeof(room), options, &part, room, context);
      if (!status.ok() || part.empty()) break;
      status = out->Append(part, options, context);
    }
    if (status.ok()) status = out->Sync(options, context);
    if (status.ok()) status = out->Close(options, context);
    return status;
  }

  const std::shared_ptr<const FileCipher> cipher_;
};

}  // namespace

std::unique_ptr<rocksdb::Env> make_cipher_env(std::shared_ptr<const FileCipher> cipher, rocksdb::Env* base) {
  const auto below = base != nullptr ? base->GetFileSystem() : rocksdb::FileSystem::Default();
  return rocksdb::NewCompositeEnv(std::make_shared<CipherFs>(below, std::move(cipher)));
}

rocksdb::Status read_small_files(rocksdb::Env& env, const std::string& folder) {
  std::vector<std::string> names;
  auto status = env.GetChildren(folder, &names);
  for (const auto& name : names) {
    // The lock is empty, and half a renaming is nobody's.
    if (!status.ok()) break;
    if (is_blocks(name) || name == "LOCK" || name.ends_with(kRenamed)) continue;
    uint64_t size = 0;
    status = env.GetFileSize(folder + "/" + name, &size);
  }
  return status;
}

}  // namespace sealpoint
