// The graphs over blocks within a segment's file.
#include <cstddef>
#include <cstring>

#include "segment_file.h"

namespace sealpoint {
namespace {

constexpr char kMagic[8] = {'S', 'P', 'B', 'L', 'O', 'C', 'K', 'S'};

uint32_t check_of(const BlockHeader& header) { return lane_crc32c(&header, offsetof(BlockHeader, check)); }

}  // namespace

void SegmentWriter::write_blocks(uint64_t fields, uint32_t m, const std::vector<BuiltBlock>& blocks) {
  const std::vector<uint8_t> bytes = encode_blocks(blocks, m);
  BlockHeader header{};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.fields = fields;
  header.m = m;
  header.blocks = static_cast<uint32_t>(blocks.size());
  header.data = write_extent(bytes.data(), bytes.size());
  header.check = check_of(header);
  std::memcpy(first_page_.data() + kBlockHeaderAt, &header, sizeof(header));
}

bool SegmentFile::load_blocks(int fd, std::string& why) {
  BlockHeader header;
  if (!read_fully(fd, &header, sizeof(header), kBlockHeaderAt)) {
    why = "the file is cut short";
    return false;
  }
  // A segment without blocks has nothing there.
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0) return true;
  why = "the graphs of its blocks are damaged";
  if (header.check != check_of(header) || header.m == 0 || header.data.offset > bytes_ || header.data.bytes > bytes_ - header.data.offset) return false;
  std::vector<uint8_t> bytes(header.data.bytes);
  if (!read_fully(fd, bytes.data(), bytes.size(), header.data.offset) || lane_crc32c(bytes.data(), bytes.size()) != header.data.check) return false;
  block_header_ = header;
  if (header.blocks > 0) {
    blocks_ = BlockGraphs::decode(std::move(bytes), header.blocks, header.m, slots_, header_.rows);
    if (blocks_ == nullptr) return false;
  }
  why.clear();
  return true;
}

}  // namespace sealpoint
