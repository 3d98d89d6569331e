// The codes in memory, split in two planes of nibbles: the upper halves of all rows' codes, and the lower ones. A walk or a scan reads the
// upper plane only, which is half the memory traffic, and what it ends with is ranked by both, which is the full code.
//
// Of each block of 64 codes (biased by 128) a plane holds 32 bytes: byte i has code i in its low bits and code 32 + i in its high ones.
#pragma once
#include <cstddef>
#include <cstdint>

namespace sealpoint {

constexpr size_t kPlaneBlock = 64;
// Shorter codes stay whole: fewer values average out less of what the lower nibbles say, and there is little to save.
constexpr size_t kPlanesMin = 256;

// `bytes` of codes, a multiple of kPlaneBlock, into half as many bytes each.
inline void split_planes(const uint8_t* codes, size_t bytes, uint8_t* upper, uint8_t* lower) {
  for (size_t block = 0; block < bytes; block += kPlaneBlock, codes += kPlaneBlock, upper += 32, lower += 32) {
    for (size_t i = 0; i < 32; ++i) {
      const uint8_t a = codes[i], b = codes[32 + i];
      upper[i] = static_cast<uint8_t>(a >> 4 | (b & 0xf0));
      lower[i] = static_cast<uint8_t>((a & 15) | b << 4);
    }
  }
}

}  // namespace sealpoint
