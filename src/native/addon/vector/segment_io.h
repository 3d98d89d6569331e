// What the writer and the reader of segment files share.
#pragma once
#include <cstddef>
#include <string>

#include "segment_file.h"

namespace sealpoint {

constexpr char kSegmentMagic[8] = {'S', 'P', 'V', 'E', 'C', 'S', 'E', 'G'};
constexpr size_t kSegmentPiece = 1 << 20;
static_assert(kPage % SealedFile::kBlock == 0 && sizeof(SegmentHeader) <= SealedFile::kBlock);

// By errno: no room is kExhausted, all else kUnavailable.
[[noreturn]] void throw_io(const std::string& what, const std::string& path);
// What a segment's file is sealed as.
std::string sealed_name(const std::string& path);
inline uint32_t header_check(const SegmentHeader& header) { return lane_crc32c(&header, offsetof(SegmentHeader, check)); }

}  // namespace sealpoint
