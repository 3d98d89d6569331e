// The checksum of the segment files: CRC32C over four interleaved lanes of 64-bit words (word i goes to lane i mod 4,
// the rest of fewer than 32 bytes to lane 0), then CRC32C over the four lane values and the length. Four lanes because
// one dependent chain of crc32 instructions is three times slower than memory. A disk format: it may never change.
#pragma once
#include <cstddef>
#include <cstdint>

namespace sealpoint {

uint32_t lane_crc32c(const void* data, size_t size);

}  // namespace sealpoint
