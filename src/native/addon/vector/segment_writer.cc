#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "../core/status.h"
#include "segment_io.h"

namespace sealpoint {

[[noreturn]] void throw_io(const std::string& what, const std::string& path) {
  const int code = errno;
  const ErrorKind kind = code == ENOSPC || code == EDQUOT ? ErrorKind::kExhausted : ErrorKind::kUnavailable;
  throw Error(kind, what + " " + path + ": " + std::strerror(code));
}

// What a segment's file is sealed as.
std::string sealed_name(const std::string& path) { return "segment/" + path.substr(path.rfind('/') + 1); }

namespace {

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

void write_fully(int fd, const void* data, size_t bytes, uint64_t offset, const std::string& path) {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::pwrite(fd, at, bytes, static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      throw_io("cannot write", path);
    }
    at += written;
    offset += static_cast<uint64_t>(written);
    bytes -= static_cast<size_t>(written);
  }
}

}  // namespace

void sync_folder(const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) throw_io("cannot open", folder);
  const int result = ::fsync(fd);
  const int code = errno;
  ::close(fd);
  errno = code;
  if (result != 0) throw_io("cannot sync", folder);
}

void write_file_durably(const std::string& path, const std::string& content) {
  const std::string temporary = path + ".tmp";
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) throw_io("cannot create", temporary);
  try {
    write_fully(fd, content.data(), content.size(), 0, temporary);
    if (::fsync(fd) != 0) throw_io("cannot sync", temporary);
  } catch (...) {
    ::close(fd);
    ::unlink(temporary.c_str());
    throw;
  }
  ::close(fd);
  if (::rename(temporary.c_str(), path.c_str()) != 0) throw_io("cannot rename", temporary);
  sync_folder(folder_of(path));
}

SegmentWriter::SegmentWriter(const std::string& path, std::shared_ptr<const FileCipher> cipher)
    : path_(path), temporary_(path + ".tmp"), sealed_(cipher == nullptr ? nullptr : std::make_unique<SealedFile>(*cipher, sealed_name(path))) {
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd_ < 0) throw_io("cannot create", temporary_);
}

SegmentWriter::~SegmentWriter() {
  if (fd_ >= 0) ::close(fd_);
  if (!committed_) ::unlink(temporary_.c_str());
}

void SegmentWriter::seal_pending() {
  const size_t count = pending_.size() / SealedFile::kBlock;
  blocks_.resize(count * SealedFile::kSealedBlock);
  const uint64_t first = at_ / SealedFile::kBlock;
  for (size_t i = 0; i < count; ++i) {
    sealed_->seal(first + i, pending_.data() + i * SealedFile::kBlock, SealedFile::kBlock, blocks_.data() + i * SealedFile::kSealedBlock);
  }
  write_fully(fd_, blocks_.data(), blocks_.size(), SealedFile::place(first), temporary_);
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(count * SealedFile::kBlock));
  at_ += count * SealedFile::kBlock;
}

void SegmentWriter::begin_section(Section section, size_t bytes) {
  sections_[section] = {end_, bytes, 0, 0};
  section_ = section;
  checksum_ = {};
  at_ = end_;
  end_ = (end_ + bytes + kPage - 1) / kPage * kPage;
}

void SegmentWriter::write_piece(const void* data, size_t bytes) {
  // The rows have checks of their own.
  if (section_ != kRows) checksum_.add(data, bytes);
  if (sealed_ == nullptr) {
    write_fully(fd_, data, bytes, at_, temporary_);
    at_ += bytes;
    return;
  }
  const auto* at = static_cast<const uint8_t*>(data);
  pending_.insert(pending_.end(), at, at + bytes);
  if (pending_.size() >= kSegmentPiece) seal_pending();
}

void SegmentWriter::end_piece() {
  if (sealed_ == nullptr) return;
  pending_.resize((pending_.size() + SealedFile::kBlock - 1) / SealedFile::kBlock * SealedFile::kBlock);
  seal_pending();
}

SectionEntry SegmentWriter::write_extent(const void* data, size_t bytes) {
  const SectionEntry entry{end_, bytes, lane_crc32c(data, bytes), 0};
  at_ = end_;
  end_ = (end_ + bytes + kPage - 1) / kPage * kPage;
  section_ = kRows;  // whose checksum is not taken here either
  write_piece(data, bytes);
  end_piece();
  return entry;
}

void SegmentWriter::end_section() {
  end_piece();
  if (section_ != kRows) sections_[section_].check = checksum_.value();
}

void SegmentWriter::write_section(Section section, const void* data, size_t bytes) {
  begin_section(section, bytes);
  write_piece(data, bytes);
  end_section();
}

void SegmentWriter::commit(SegmentHeader header) {
  std::memcpy(header.magic, kSegmentMagic, sizeof(kSegmentMagic));
  header.format = kSegmentFormat;
  header.unused = 0;
  std::copy(std::begin(sections_), std::end(sections_), std::begin(header.sections));
  header.check = header_check(header);
  at_ = 0;
  std::memcpy(first_page_.data(), &header, sizeof(header));
  if (sealed_ == nullptr) {
    write_fully(fd_, first_page_.data(), first_page_.size(), 0, temporary_);
  } else {
    pending_ = first_page_;
    seal_pending();
    write_fully(fd_, sealed_->head().data(), sealed_->head().size(), 0, temporary_);
  }
  const uint64_t size = sealed_ == nullptr ? end_ : SealedFile::place(end_ / SealedFile::kBlock);
  if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) throw_io("cannot size", temporary_);
  if (::fsync(fd_) != 0) throw_io("cannot sync", temporary_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) throw_io("cannot rename", temporary_);
  committed_ = true;
  sync_folder(folder_of(path_));
}

}  // namespace sealpoint
