#include "segment_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <exception>
#include <functional>
#include <system_error>
#include <thread>

#include "../core/status.h"
#include "code_kinds.h"
#include "mapped_read.h"
#include "planes.h"
#include "segment_io.h"

namespace sealpoint {
namespace {

// What a walk reads, and where that is. Slots, row checks and the book are always in memory: everything reads slots, and the checks tell what is damaged.
bool is_hot(uint32_t section, const Placement& placement, bool encrypted) {
  if (encrypted) return section != kRows;
  switch (section) {
    case kCodes:
    case kNorms:
      return !placement.codes_on_disk;
    case kLinks:
    case kUpperNodes:
    case kUpperLinks:
      return !placement.graph_on_disk;
    default:
      return section == kSlots || section == kRowChecks || section == kBook;
  }
}

// Codes of at least this many bytes are read by a thread of their own.
constexpr size_t kThreadedBytes = 16 << 20;

// Fewer bytes when the file ends before.
size_t read_some(int fd, void* data, size_t bytes, uint64_t offset, bool& failed) {
  size_t done = 0;
  while (done < bytes) {
    const ssize_t got = ::pread(fd, static_cast<char*>(data) + done, bytes - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    failed = got < 0;
    if (got <= 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

size_t read_some(int fd, void* data, size_t bytes, uint64_t offset, const std::string& path) {
  bool failed = false;
  const size_t done = read_some(fd, data, bytes, offset, failed);
  if (failed) throw_io("cannot read", path);
  return done;
}

bool links_in_range(const uint32_t* links, size_t count, uint32_t rows) {
  uint32_t bad = 0;
  for (size_t i = 0; i < count; ++i) bad |= static_cast<uint32_t>(links[i] >= rows) & (links[i] != kNoRow);
  return bad == 0;
}

}  // namespace

std::optional<std::string> read_whole_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  std::string bytes;
  struct stat info;
  if (::fstat(fd, &info) == 0) {
    bytes.resize(static_cast<size_t>(info.st_size));
    bool failed = false;
    bytes.resize(read_some(fd, bytes.data(), bytes.size(), 0, failed));
  }
  ::close(fd);
  return bytes;
}

size_t SegmentFile::resident_bytes() const {
  if (encrypted() || base_ == nullptr) return 0;
  // So many pages are told of in one call.
  constexpr size_t kPages = 16'384;
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> there(kPages);
  size_t resident = 0;
  for (size_t from = 0; from < bytes_; from += kPages * page) {
    const size_t length = std::min(kPages * page, bytes_ - from);
    if (::mincore(const_cast<uint8_t*>(base_) + from, length, there.data()) != 0) return 0;
    for (size_t at = 0; at < length; at += page) {
      if ((there[at / page] & 1) != 0) resident += std::min(page, length - at);
    }
  }
  return resident;
}

bool codes_in_planes(const SegmentHeader& header) {
  // Bytes lie to one side of zero, which leaves their upper plane too little to say.
  return header.code_kind == static_cast<uint32_t>(CodeKind::kScalar) && header.code_bytes >= kPlanesMin &&
         header.datatype != static_cast<uint32_t>(Datatype::kUint8) && header.distance != static_cast<uint32_t>(Distance::kManhattan);
}

SegmentFile::~SegmentFile() {
  if (fd_ >= 0) ::close(fd_);
  if (base_ != nullptr) ::munmap(const_cast<uint8_t*>(base_), bytes_);
}

std::unique_ptr<SegmentFile> SegmentFile::open(const std::string& path, const VectorIndexConfig& config, std::string& why) {
  struct Descriptor {
    int fd;
    ~Descriptor() {
      if (fd >= 0) ::close(fd);
    }
  };
  const Descriptor file_descriptor{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  const int fd = file_descriptor.fd;
  if (fd < 0) {
    if (errno != ENOENT) throw_io("cannot open", path);
    why = "the file is missing";
    return nullptr;
  }
  std::unique_ptr<SegmentFile> file(new SegmentFile);
  file->path_ = path;
  struct stat info;
  if (::fstat(fd, &info) != 0) throw_io("cannot look at", path);
  file->bytes_ = static_cast<size_t>(info.st_size);
  if (config.cipher != nullptr) {
    std::string head(SealedFile::kHeadBytes, '\0');
    head.resize(read_some(fd, head.data(), head.size(), 0, path));
    try {
      file->sealed_ = std::make_unique<SealedFile>(*config.cipher, sealed_name(path), head);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kDataLoss) throw;
      why = error.what();
      return nullptr;
    }
    file->bytes_ = static_cast<size_t>(SealedFile::text_bytes(file->bytes_));
  }
  if (file->bytes_ < kPage || !file->read_fully(fd, &file->header_, sizeof(SegmentHeader), 0)) {
    why = "the file is cut short or was changed";
    return nullptr;
  }
  if (!file->check_header(config, why)) return nullptr;
  if (file->encrypted()) {
    file->fd_ = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (file->fd_ < 0) throw_io("cannot open", path);
  } else {
    void* base = ::mmap(nullptr, file->bytes_, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) throw_io("cannot map", path);
    file->base_ = static_cast<const uint8_t*>(base);
  }
  if (!file->load_sections(fd, config.placement, why)) return nullptr;
  bool sound = false;
  const bool there = mapped_read([&] { sound = file->links_sound(); });
  if (there && sound) {
    if (file->load_blocks(fd, why)) return file;
    return nullptr;
  }
  why = there ? "the graph is inconsistent" : "the file was cut short while it was read";
  return nullptr;
}

CodeConfig SegmentFile::codes() const {
  CodeConfig codes;
  codes.kind = static_cast<CodeKind>(header_.code_kind);
  codes.quantile = header_.quantile;
  codes.group = static_cast<uint8_t>(header_.group);
  return codes;
}

bool SegmentFile::check_header(const VectorIndexConfig& config, std::string& why) const {
  const SegmentHeader& h = header_;
  if (std::memcmp(h.magic, kSegmentMagic, sizeof(kSegmentMagic)) != 0 || h.check != header_check(h)) {
    why = "the header is damaged";
    return false;
  }
  if (h.format != kSegmentFormat) {
    why = "the format is " + std::to_string(h.format);
    return false;
  }
  if (h.dim != config.dim || h.distance != static_cast<uint32_t>(config.distance) || h.datatype != static_cast<uint32_t>(config.datatype)) {
    why = "the segment is of another dimension, distance or datatype";
    return false;
  }
  if (h.code_kind > static_cast<uint32_t>(CodeKind::kProduct) || h.group == 0 || h.group > kCodeGroupMax) {
    why = "the segment's codes are of an unknown kind";
    return false;
  }
  const CodeConfig codes = this->codes();
  const uint64_t rows = h.rows;
  const uint64_t expected[kSectionCount] = {
      rows * 4, rows * 8, rows * 4, rows * h.code_bytes,
      config.distance == Distance::kEuclid && codes.kind == CodeKind::kScalar ? rows * 4 : 0,
      rows * h.m * 8, h.sections[kUpperNodes].bytes, h.sections[kUpperLinks].bytes,
      static_cast<uint64_t>(check_blocks()) * 4, book_floats_of(codes, h.dim) * 4, rows * row_bytes()};
  bool sound = rows > 0 && h.entry < rows && h.code_bytes == code_bytes_of(codes, h.dim);
  sound = sound && h.sections[kUpperNodes].bytes % sizeof(UpperNode) == 0 && h.sections[kUpperLinks].bytes % 4 == 0;
  for (uint32_t i = 0; i < kSectionCount; ++i) {
    const SectionEntry& entry = h.sections[i];
    sound = sound && entry.bytes == expected[i] && entry.offset % kPage == 0 && entry.offset <= bytes_ &&
            entry.bytes <= bytes_ - entry.offset;
  }
  if (!sound) why = "the file is cut short or its header is wrong";
  return sound;
}

// Copies a section to memory if `to` says where; either way false when it fails its checksum.
bool SegmentFile::load_section(int fd, Section which, uint8_t* to) const {
  const SectionEntry& entry = header_.sections[which];
  if (to == nullptr) return lane_crc32c(base_ + entry.offset, entry.bytes) == entry.check;
  // In pieces that are still in the processor's cache when their checksum is taken.
  LaneChecksum checksum;
  for (uint64_t done = 0; done < entry.bytes;) {
    const size_t piece = std::min<uint64_t>(kSegmentPiece, entry.bytes - done);
    if (!read_fully(fd, to + done, piece, entry.offset + done)) return false;
    checksum.add(to + done, piece);
    done += piece;
  }
  return checksum.value() == entry.check;
}

// Codes in planes: the upper ones to memory, the lower ones only if `lower` says where, and both against their checksum.
bool SegmentFile::load_planes(int fd, uint8_t* upper, uint8_t* lower) const {
  const SectionEntry& entry = header_.sections[kCodes];
  LaneChecksum checksum;
  std::unique_ptr<uint8_t[]> buffer(lower == nullptr ? new uint8_t[kSegmentPiece] : nullptr);
  for (const bool is_lower : {false, true}) {
    const uint64_t bytes = entry.bytes / 2;
    const uint64_t offset = entry.offset + (is_lower ? bytes : 0);
    for (uint64_t done = 0; done < bytes;) {
      const size_t piece = std::min<uint64_t>(kSegmentPiece, bytes - done);
      uint8_t* const at = !is_lower ? upper + done : lower != nullptr ? lower + done : buffer.get();
      if (!read_fully(fd, at, piece, offset + done)) return false;
      checksum.add(at, piece);
      done += piece;
    }
  }
  return checksum.value() == entry.check;
}

bool SegmentFile::load_sections(int fd, const Placement& placement, std::string& why) {
  const SegmentHeader& h = header_;
  const SectionEntry& all_rows = h.sections[kRows];
  if (!encrypted()) {
    ::madvise(const_cast<uint8_t*>(base_ + all_rows.offset), all_rows.bytes, placement.rows_cached ? MADV_WILLNEED : MADV_RANDOM);
  }
  uint8_t* to[kSectionCount] = {};
  placement_ = placement;
  const bool planes = codes_in_planes(h);
  auto padded = [&](uint32_t section) -> uint64_t {
    if (!is_hot(section, placement, encrypted())) return 0;
    const uint64_t wanted = h.sections[section].bytes;
    return ((section == kCodes && planes && !encrypted() ? wanted / 2 : wanted) + 63) / 64 * 64;
  };
  size_t bytes = 0;
  for (uint32_t i = 0; i < kSectionCount; ++i) bytes += padded(i);
  hot_ = HotMemory(bytes);
  bytes = 0;
  for (uint32_t i = 0; i < kSectionCount; ++i) {
    if (is_hot(i, placement, encrypted())) to[i] = hot_.data() + bytes;
    bytes += padded(i);
  }
  for (uint32_t i = 0; i < kSectionCount; ++i) at_[i] = to[i] != nullptr || encrypted() ? to[i] : base_ + h.sections[i].offset;
  // Where the lower planes go in memory.
  uint8_t* const lower = planes && encrypted() ? to[kCodes] + h.sections[kCodes].bytes / 2 : nullptr;
  // The codes are three quarters of it all, so they are worth a thread of their own.
  std::atomic<uint32_t> failed{kSectionCount};
  std::exception_ptr failures[2];
  auto load = [&](uint32_t section, std::exception_ptr& failure) {
    bool sound = false;
    try {
      const auto which = static_cast<Section>(section);
      if (which == kCodes && planes && to[section] != nullptr) {
        sound = load_planes(fd, to[section], lower);
      } else if (to[section] != nullptr) {
        sound = load_section(fd, which, to[section]);
      } else {
        const bool there = mapped_read([&] { sound = load_section(fd, which, nullptr); });
        sound = sound && there;
      }
    } catch (...) {
      failure = std::current_exception();
    }
    if (!sound) failed.store(section);
  };
  std::thread helper;
  if (h.sections[kCodes].bytes >= kThreadedBytes) {
    try {
      helper = std::thread(load, kCodes, std::ref(failures[0]));
    } catch (const std::system_error&) {
      // Then this thread reads them too.
    }
  }
  for (uint32_t i = 0; i < kRows; ++i) {
    if (i != kCodes || !helper.joinable()) load(i, failures[1]);
  }
  if (helper.joinable()) helper.join();
  // No memory, a disk that does not answer: not the file's fault.
  for (const auto& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  if (failed.load() != kSectionCount) {
    why = "section " + std::to_string(failed.load()) + " fails its checksum";
    return false;
  }
  slots_ = section<uint32_t>(kSlots);
  versions_ = section<uint64_t>(kVersions);
  order_ = section<uint32_t>(kOrder);
  codes_ = section<uint8_t>(kCodes);
  lower_mapped_ = planes && lower == nullptr;
  lower_ = lower_mapped_ ? base_ + h.sections[kCodes].offset + h.sections[kCodes].bytes / 2 : lower;
  walk_bytes_ = planes ? h.code_bytes / 2 : h.code_bytes;
  norms_ = section<int32_t>(kNorms);
  links_ = section<uint32_t>(kLinks);
  upper_nodes_ = section<UpperNode>(kUpperNodes);
  upper_links_ = section<uint32_t>(kUpperLinks);
  row_checks_ = section<uint32_t>(kRowChecks);
  book_ = section<float>(kBook);
  rows_ = section<uint8_t>(kRows);
  upper_count_ = h.sections[kUpperNodes].bytes / sizeof(UpperNode);
  return true;
}

// The checksums are right by now, so this guards against a writer's mistake: a walk must never leave the file.
bool SegmentFile::links_sound() const {
  const uint32_t rows = header_.rows;
  const uint64_t upper_links = header_.sections[kUpperLinks].bytes / 4;
  bool sound = links_in_range(links_, static_cast<size_t>(rows) * 2 * header_.m, rows) &&
               links_in_range(upper_links_, upper_links, rows);
  // Ascending slots over the order's rows: so no row comes twice.
  for (uint32_t i = 0; i < rows && sound; ++i) {
    sound = order_[i] < rows && (i == 0 || slots_[order_[i - 1]] < slots_[order_[i]]);
  }
  for (size_t i = 0; i < upper_count_; ++i) {
    const UpperNode& node = upper_nodes_[i];
    sound = sound && node.row < rows && (i == 0 || upper_nodes_[i - 1].row < node.row) && node.level <= 64 &&
            node.first <= upper_links && static_cast<uint64_t>(node.level) * header_.m <= upper_links - node.first;
  }
  return sound;
}

const uint32_t* SegmentFile::upper_links(uint32_t row, uint32_t level) const {
  const UpperNode* end = upper_nodes_ + upper_count_;
  const UpperNode* node =
      std::lower_bound(upper_nodes_, end, row, [](const UpperNode& a, uint32_t wanted) { return a.row < wanted; });
  if (node == end || node->row != row || node->level < level) return nullptr;
  return upper_links_ + node->first + static_cast<size_t>(level - 1) * header_.m;
}

uint32_t SegmentFile::find_slot(uint32_t slot, uint32_t& hint) const {
  uint32_t row = kNoRow;
  // A file that is cut short has no slots any more.
  const bool there = mapped_read([&] {
    if (hint >= header_.rows || slots_[order_[hint]] != slot) {
      const uint32_t* end = order_ + header_.rows;
      const uint32_t* found =
          std::lower_bound(order_, end, slot, [&](uint32_t at, uint32_t wanted) { return slots_[at] < wanted; });
      if (found == end || slots_[*found] != slot) return;
      hint = static_cast<uint32_t>(found - order_);
    }
    row = order_[hint++];
  });
  return there ? row : kNoRow;
}

// False when the file ends before, or an encrypted one is not what was written.
bool SegmentFile::read_fully(int fd, void* data, size_t bytes, uint64_t offset) const {
  if (!encrypted()) return read_some(fd, data, bytes, offset, path_) == bytes;
  size_t got = 0;
  const auto fetch = [&](uint64_t place, size_t size, uint8_t* to) { return read_some(fd, to, size, place, path_); };
  return sealed_->read(offset, bytes, data, fetch, got) && got == bytes;
}

const uint8_t* SegmentFile::row(uint32_t row, std::vector<uint8_t>& room) const {
  if (!encrypted()) return this->row(row);
  if (room.size() < row_bytes()) room.resize(row_bytes());
  if (!read_fully(fd_, room.data(), row_bytes(), header_.sections[kRows].offset + row * row_bytes())) {
    throw Error(ErrorKind::kDataLoss, "vector row " + std::to_string(row) + " of " + path_ + " cannot be read");
  }
  return room.data();
}

bool SegmentFile::verify_block(uint32_t block) const {
  const uint32_t first = block * kRowsPerCheck;
  const uint32_t count = std::min(kRowsPerCheck, header_.rows - first);
  if (encrypted()) {
    std::vector<uint8_t> rows(count * row_bytes());
    return read_fully(fd_, rows.data(), rows.size(), header_.sections[kRows].offset + first * row_bytes()) &&
           lane_crc32c(rows.data(), rows.size()) == row_checks_[block];
  }
  bool sound = false;
  return mapped_read([&] {
           sound = lane_crc32c(row(first), count * row_bytes()) == row_checks_[block];
         }) &&
         sound;
}

void SegmentFile::expect_all_rows() const {
  if (encrypted()) return;
  ::madvise(const_cast<uint8_t*>(base_ + header_.sections[kRows].offset), header_.sections[kRows].bytes, MADV_WILLNEED);
}

}  // namespace sealpoint
