#include "checksum.h"

#include <array>
#include <cstring>

namespace sealpoint {
namespace {

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0x82f63b78u : 0);
    table[i] = value;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = make_table();

inline uint32_t byte_soft(uint32_t crc, uint8_t byte) { return crc >> 8 ^ kTable[(crc ^ byte) & 0xff]; }
inline uint32_t word_soft(uint32_t crc, uint64_t word) {
  for (int shift = 0; shift < 64; shift += 8) crc = byte_soft(crc, static_cast<uint8_t>(word >> shift));
  return crc;
}

inline uint64_t read_word(const uint8_t* at) {
  uint64_t word;
  std::memcpy(&word, at, 8);
  return word;
}

uint32_t finish(const uint32_t* lanes, uint64_t size) {
  uint32_t crc = ~0u;
  crc = word_soft(crc, static_cast<uint64_t>(lanes[1]) << 32 | lanes[0]);
  crc = word_soft(crc, static_cast<uint64_t>(lanes[3]) << 32 | lanes[2]);
  return ~word_soft(crc, size);
}

void lanes_soft(uint32_t* lanes, const uint8_t* at, size_t size) {
  size_t i = 0;
  for (; i + 32 <= size; i += 32) {
    for (size_t lane = 0; lane < 4; ++lane) lanes[lane] = word_soft(lanes[lane], read_word(at + i + lane * 8));
  }
  for (; i < size; ++i) lanes[0] = byte_soft(lanes[0], at[i]);
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) void lanes_hard(uint32_t* lanes, const uint8_t* at, size_t size) {
  uint64_t a = lanes[0], b = lanes[1], c = lanes[2], d = lanes[3];
  size_t i = 0;
  for (; i + 32 <= size; i += 32) {
    a = __builtin_ia32_crc32di(a, read_word(at + i));
    b = __builtin_ia32_crc32di(b, read_word(at + i + 8));
    c = __builtin_ia32_crc32di(c, read_word(at + i + 16));
    d = __builtin_ia32_crc32di(d, read_word(at + i + 24));
  }
  lanes[0] = static_cast<uint32_t>(a);
  lanes[1] = static_cast<uint32_t>(b);
  lanes[2] = static_cast<uint32_t>(c);
  lanes[3] = static_cast<uint32_t>(d);
  for (; i < size; ++i) lanes[0] = __builtin_ia32_crc32qi(lanes[0], at[i]);
}

__attribute__((target("sse4.2"))) uint32_t extend_hard(uint32_t crc, const uint8_t* at, size_t size) {
  uint64_t value = crc;
  for (; size >= 8; at += 8, size -= 8) value = __builtin_ia32_crc32di(value, read_word(at));
  for (; size > 0; ++at, --size) value = __builtin_ia32_crc32qi(static_cast<uint32_t>(value), *at);
  return static_cast<uint32_t>(value);
}
#endif

uint32_t extend_soft(uint32_t crc, const uint8_t* at, size_t size) {
  for (; size > 0; ++at, --size) crc = byte_soft(crc, *at);
  return crc;
}

bool has_crc_instruction() {
#if defined(__x86_64__)
  static const bool has = __builtin_cpu_supports("sse4.2");
  return has;
#else
  return false;
#endif
}

}  // namespace

uint32_t extend_crc32c(uint32_t crc, const void* data, size_t size) {
  const auto* at = static_cast<const uint8_t*>(data);
#if defined(__x86_64__)
  if (has_crc_instruction()) return ~extend_hard(~crc, at, size);
#endif
  return ~extend_soft(~crc, at, size);
}

void LaneChecksum::add(const void* data, size_t size) {
  const auto* at = static_cast<const uint8_t*>(data);
  size_ += size;
#if defined(__x86_64__)
  if (has_crc_instruction()) return lanes_hard(lanes_, at, size);
#endif
  lanes_soft(lanes_, at, size);
}

uint32_t LaneChecksum::value() const { return finish(lanes_, size_); }

uint32_t lane_crc32c(const void* data, size_t size) {
  LaneChecksum checksum;
  checksum.add(data, size);
  return checksum.value();
}

}  // namespace sealpoint
