// The file of one immutable segment. A disk format: changing it needs a new kSegmentFormat.
//
// One page of header, then sections, each starting on a page: slots u32[rows], versions u64[rows], order u32[rows] (the
// row numbers by ascending slot), codes (rows of code_bytes; where codes_in_planes, the upper planes of all rows and then the lower ones, planes.h), norms i32[rows] (euclid only), links u32[rows][2 m], upper nodes {u32
// row, u32 level, u64 first} by ascending row, upper links u32[], row checks u32[] (one per kRowsPerCheck rows), the codes' book
// f32[] (code_kinds.h), rows of the datatype [rows][dim]. Little-endian. Every section but the rows has a checksum in the header, and the header one of itself. Rows
// that are near in the graph are near in the file, which is what makes a walk fast. Under a cipher these
// are the texts of a file of sealed blocks (core/file_cipher.h).
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "block_graphs.h"
#include "checksum.h"
#include "graph_build.h"
#include "hot_memory.h"
#include "vector_index.h"

namespace sealpoint {

// A file of another format is rebuilt from the store, as a damaged one is.
constexpr uint32_t kSegmentFormat = 4;
constexpr uint32_t kRowsPerCheck = 64;
constexpr size_t kPage = 4096;

enum Section : uint32_t {
  kSlots,
  kVersions,
  kOrder,
  kCodes,
  kNorms,
  kLinks,
  kUpperNodes,
  kUpperLinks,
  kRowChecks,
  kBook,
  kRows,
  kSectionCount,
};

struct SectionEntry {
  uint64_t offset;
  uint64_t bytes;
  uint32_t check;
  uint32_t unused;
};

struct SegmentHeader {
  char magic[8];
  uint32_t format;
  uint32_t dim;
  uint32_t distance;
  uint32_t rows;
  uint32_t m;
  uint32_t ef_construct;
  uint32_t code_bytes;
  uint32_t entry;
  uint32_t max_level;
  float scale;  // scalar codes: a plain code times this is about the value
  uint32_t datatype;
  uint32_t code_kind;
  float quantile;
  uint32_t group;
  SectionEntry sections[kSectionCount];
  uint32_t unused;
  uint32_t check;  // of all above
};
static_assert(sizeof(SegmentHeader) <= kPage);

// Whether the codes of such a segment lie in planes.
bool codes_in_planes(const SegmentHeader& header);

// Graphs over blocks of rows (block_graphs.h), after all sections; its header stands in the first page. `fields` as in VectorIndexConfig.
constexpr uint64_t kBlockHeaderAt = 1024;
struct BlockHeader {
  char magic[8];
  uint64_t fields;
  uint32_t m;
  uint32_t blocks;
  SectionEntry data;
  uint32_t unused;
  uint32_t check;  // of all above
};
static_assert(sizeof(SegmentHeader) <= kBlockHeaderAt);

// Writes sections in any order to `path`.tmp; commit() makes it `path`, durably. Without commit the file goes away.
class SegmentWriter {
 public:
  explicit SegmentWriter(const std::string& path, std::shared_ptr<const FileCipher> cipher = nullptr);
  ~SegmentWriter();
  SegmentWriter(const SegmentWriter&) = delete;
  SegmentWriter& operator=(const SegmentWriter&) = delete;

  void write_section(Section section, const void* data, size_t bytes);
  // The same in pieces, `bytes` together; all but the last are multiples of LaneChecksum::kStep.
  void begin_section(Section section, size_t bytes);
  void write_piece(const void* data, size_t bytes);
  void end_section();
  void write_blocks(uint64_t fields, uint32_t m, const std::vector<BuiltBlock>& blocks);
  void commit(SegmentHeader header);

 private:
  // Seals whole blocks of what is pending and writes them to `at_`.
  void seal_pending();
  void end_piece();
  // What is no section: behind all others so far, with its checksum.
  SectionEntry write_extent(const void* data, size_t bytes);

  std::string path_;
  std::string temporary_;
  const std::unique_ptr<SealedFile> sealed_;
  std::vector<uint8_t> pending_;
  std::vector<uint8_t> blocks_;  // ciphertext
  std::vector<uint8_t> first_page_ = std::vector<uint8_t>(kPage);
  int fd_ = -1;
  uint64_t end_ = kPage;
  uint64_t at_ = 0;
  Section section_ = kSectionCount;
  LaneChecksum checksum_;
  SectionEntry sections_[kSectionCount] = {};
  bool committed_ = false;
};

// A segment file: mapped, and with copies in memory of all that a walk reads but what the placement leaves on disk; rows, lower planes of codes, versions and
// order are only mapped: what ranks the end of a search. open() checks the header, the bounds of everything and all checksums but those of the rows; it
// gives nullptr with the reason in `why` for a damaged or missing file, and throws for what may pass (no memory, no
// descriptors). What reads mapped parts goes through mapped_read, since a file may be cut short under us.
class SegmentFile {
 public:
  static std::unique_ptr<SegmentFile> open(const std::string& path, const VectorIndexConfig& config, std::string& why);
  ~SegmentFile();
  SegmentFile(const SegmentFile&) = delete;
  SegmentFile& operator=(const SegmentFile&) = delete;

  const SegmentHeader& header() const { return header_; }
  const std::string& path() const { return path_; }
  size_t bytes() const { return bytes_; }
  // Of the mapping, that the kernel has in memory now. 0 of an encrypted file, which is not mapped.
  size_t resident_bytes() const;
  size_t hot_bytes() const { return hot_.bytes() + (blocks_ == nullptr ? 0 : blocks_->bytes()); }
  // Whether a walk reads no mapped memory.
  bool in_memory() const { return encrypted() || (!placement_.codes_on_disk && !placement_.graph_on_disk); }
  const Placement& placement() const { return placement_; }
  uint32_t rows() const { return header_.rows; }
  bool has_graph() const { return header_.m > 0; }
  // Made to be walked: with a graph over all rows, or over blocks.
  bool is_indexed() const { return has_graph() || block_fields() != 0; }
  uint64_t block_fields() const { return block_header_.fields; }
  uint32_t block_m() const { return block_header_.m; }
  const BlockGraphs* blocks() const { return blocks_.get(); }  // nullptr: none

  uint32_t slot(uint32_t row) const { return slots_[row]; }
  const uint32_t* slots() const { return slots_; }
  uint64_t version(uint32_t row) const { return versions_[row]; }
  const uint64_t* versions() const { return versions_; }
  // Codes lie in planes (planes.h) when they are long and compared by dot products, else whole.
  bool in_planes() const { return lower_ != nullptr; }
  // Whether what reads whole codes reads mapped memory, though walks may not.
  bool lower_mapped() const { return lower_mapped_; }
  // What a walk reads of a row: its upper plane or its whole code.
  const uint8_t* walk_code(uint32_t row) const { return codes_ + static_cast<size_t>(row) * walk_bytes_; }
  size_t walk_bytes() const { return walk_bytes_; }
  const uint8_t* lower(uint32_t row) const { return lower_ + static_cast<size_t>(row) * (header_.code_bytes / 2); }
  const uint8_t* code(uint32_t row) const { return codes_ + static_cast<size_t>(row) * header_.code_bytes; }
  int32_t norm(uint32_t row) const { return norms_[row]; }
  const uint32_t* links(uint32_t row) const { return links_ + static_cast<size_t>(row) * 2 * header_.m; }
  // Links of a row on a level from 1 up; nullptr when it is not there.
  const uint32_t* upper_links(uint32_t row, uint32_t level) const;
  // Rows are read from the file one by one, into memory that is the caller's.
  bool encrypted() const { return sealed_ != nullptr; }
  // As it is stored; not of an encrypted file.
  const uint8_t* row(uint32_t row) const { return rows_ + row * row_bytes(); }
  // The same of any file: mapped, or read into `room`. Throws kDataLoss when an encrypted file is cut short or was changed.
  const uint8_t* row(uint32_t row, std::vector<uint8_t>& room) const;
  size_t row_bytes() const { return header_.dim * value_bytes(datatype()); }
  Datatype datatype() const { return static_cast<Datatype>(header_.datatype); }
  // How its codes were made.
  CodeConfig codes() const;
  const float* book() const { return book_; }
  // Row number of a slot, or kNoRow. `hint` is where to look first, and becomes the place after it: slots are mostly asked for in ascending order.
  uint32_t find_slot(uint32_t slot, uint32_t& hint) const;

  // Reads a block of rows against its checksum.
  uint32_t check_blocks() const { return (header_.rows + kRowsPerCheck - 1) / kRowsPerCheck; }
  bool verify_block(uint32_t block) const;
  // Tells the kernel that all rows will be read soon.
  void expect_all_rows() const;

 private:
  SegmentFile() = default;
  bool read_fully(int fd, void* data, size_t bytes, uint64_t offset) const;
  bool check_header(const VectorIndexConfig& config, std::string& why) const;
  bool load_sections(int fd, const Placement& placement, std::string& why);
  bool load_section(int fd, Section which, uint8_t* to) const;
  bool load_planes(int fd, uint8_t* upper, uint8_t* lower) const;
  bool links_sound() const;
  bool load_blocks(int fd, std::string& why);
  template <typename T>
  const T* section(Section which) const {
    return reinterpret_cast<const T*>(at_[which]);
  }

  std::string path_;
  std::unique_ptr<SealedFile> sealed_;
  int fd_ = -1;  // of an encrypted file
  SegmentHeader header_{};
  const uint8_t* base_ = nullptr;
  size_t bytes_ = 0;
  HotMemory hot_;
  Placement placement_;
  const uint8_t* at_[kSectionCount] = {};
  const uint32_t* slots_ = nullptr;
  const uint64_t* versions_ = nullptr;
  const uint32_t* order_ = nullptr;
  const uint8_t* codes_ = nullptr;  // whole, or the upper plane
  const uint8_t* lower_ = nullptr;
  bool lower_mapped_ = false;
  size_t walk_bytes_ = 0;
  const int32_t* norms_ = nullptr;
  const uint32_t* links_ = nullptr;
  const UpperNode* upper_nodes_ = nullptr;
  const uint32_t* upper_links_ = nullptr;
  const uint32_t* row_checks_ = nullptr;
  const float* book_ = nullptr;
  const uint8_t* rows_ = nullptr;
  size_t upper_count_ = 0;
  BlockHeader block_header_{};
  std::unique_ptr<BlockGraphs> blocks_;
};

// Durable files of any kind.
void sync_folder(const std::string& folder);
void write_file_durably(const std::string& path, const std::string& content);
// nullopt when it cannot be opened. As much as can be read: what is cut short fails its checksum.
std::optional<std::string> read_whole_file(const std::string& path);

}  // namespace sealpoint
