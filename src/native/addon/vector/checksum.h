// The checksum of the segment files: CRC32C over four interleaved lanes of 64-bit words (word i goes to lane i mod 4,
// the rest of fewer than 32 bytes to lane 0), then CRC32C over the four lane values and the length. Four lanes because
// one dependent chain of crc32 instructions is three times slower than memory. A disk format: it may never change.
#pragma once
#include <cstddef>
#include <cstdint>

namespace sealpoint {

uint32_t lane_crc32c(const void* data, size_t size);

// The plain CRC-32C (RFC 3720, appendix B.4) of what `crc` stands for (0: nothing) followed by `size` bytes.
uint32_t extend_crc32c(uint32_t crc, const void* data, size_t size);

// The same over pieces. Every piece but the last is a multiple of kStep long.
class LaneChecksum {
 public:
  static constexpr size_t kStep = 32;
  void add(const void* data, size_t size);
  uint32_t value() const;

 private:
  uint32_t lanes_[4] = {~0u, ~0u, ~0u, ~0u};
  uint64_t size_ = 0;
};

}  // namespace sealpoint
