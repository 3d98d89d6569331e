#include "log_check.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "../core/status.h"

namespace sealpoint {

namespace {

// RocksDB's log format: blocks of 32 KiB; a record is cut into fragments of u32 masked crc32c of type and bytes, u16 size, u8 type, bytes.
constexpr size_t kBlock = 32 * 1024;
constexpr size_t kHeader = 7;
constexpr size_t kSector = 512;
constexpr const char* kTables = "tables ";
constexpr uint8_t kFull = 1, kFirst = 2, kMiddle = 3, kLast = 4, kCompressionType = 9;

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

uint32_t crc32c_soft(const uint8_t* at, size_t size) {
  uint32_t crc = ~0u;
  for (; size > 0; --size) crc = crc >> 8 ^ kTable[(crc ^ *at++) & 0xff];
  return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t crc32c_sse(const uint8_t* at, size_t size) {
  uint64_t crc = ~0u;
  for (; size >= 8; size -= 8, at += 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    crc = __builtin_ia32_crc32di(crc, word);
  }
  for (; size > 0; --size) crc = __builtin_ia32_crc32qi(static_cast<uint32_t>(crc), *at++);
  return ~static_cast<uint32_t>(crc);
}
#endif

uint32_t crc32c(const uint8_t* at, size_t size) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return crc32c_sse(at, size);
#endif
  return crc32c_soft(at, size);
}

uint32_t stored_crc(const uint8_t* at) {
  uint32_t masked;
  std::memcpy(&masked, at, 4);
  const uint32_t rotated = masked - 0xa282ead8u;
  return rotated >> 17 | rotated << 15;
}

struct Log {
  const uint8_t* bytes;
  size_t size;

  // A whole fragment whose checksum is right begins here.
  bool sound(size_t at) const {
    if (at + kHeader > size) return false;
    const size_t length = bytes[at + 4] | static_cast<size_t>(bytes[at + 5]) << 8;
    const uint8_t type = bytes[at + 6];
    const size_t block_end = at / kBlock * kBlock + kBlock;
    if (type == 0 || (type > kLast && type != kCompressionType) || at + kHeader + length > std::min(size, block_end)) return false;
    return stored_crc(bytes + at) == crc32c(bytes + at + 6, length + 1);
  }
  size_t length(size_t at) const { return bytes[at + 4] | static_cast<size_t>(bytes[at + 5]) << 8; }

  bool has_zero_sector(size_t from, size_t to) const {
    for (size_t at = (from + kSector - 1) / kSector * kSector; at + kSector <= to; at += kSector) {
      if (std::all_of(bytes + at, bytes + at + kSector, [](uint8_t byte) { return byte == 0; })) return true;
    }
    return false;
  }

  // A sound fragment at or behind `at`, at any offset. Only damaged logs are searched so.
  bool sound_behind(size_t at) const {
    for (; at + kHeader < size; ++at) {
      // The size of a data fragment is never 0, and chance meets type and checksum once in billions of places.
      if (bytes[at + 6] >= kFull && bytes[at + 6] <= kLast && length(at) > 0 && sound(at)) return true;
    }
    return false;
  }
};

// Where the sound part ends; `last` grows to the last sequence in it.
size_t sound_part(const Log& log, uint64_t& last) {
  size_t at = 0;
  for (;;) {
    const size_t left = kBlock - at % kBlock;
    if (left < kHeader) {
      at += left;
      continue;
    }
    if (at >= log.size || !log.sound(at)) return std::min(at, log.size);
    const uint8_t type = log.bytes[at + 6];
    const size_t length = log.length(at);
    if ((type == kFull || type == kFirst) && length >= 12) {
      // A write batch begins with its first sequence and the count of its entries.
      uint64_t sequence;
      uint32_t count;
      std::memcpy(&sequence, log.bytes + at + kHeader, 8);
      std::memcpy(&count, log.bytes + at + kHeader + 8, 4);
      if (count > 0) last = std::max(last, sequence + count - 1);
    }
    at += kHeader + length;
  }
}

std::string scan(const Log& log, uint64_t& last) {
  const size_t at = sound_part(log, last);
  if (at >= log.size) return {};
  const std::string place = " is damaged at byte " + std::to_string(at) + " of " + std::to_string(log.size);
  // A sector of zeros was never written: what lies behind it was not synced either.
  const size_t block_end = std::min(log.size, at / kBlock * kBlock + kBlock);
  const bool whole_header = at + kHeader <= log.size;
  const size_t claimed = whole_header ? at + kHeader + log.length(at) : log.size;
  if (log.has_zero_sector(at, std::min(log.size, std::max(claimed, at + 2 * kSector)))) return {};
  if (log.sound_behind(at + 1)) return place + ", and sound records lie behind it";
  if (!whole_header) return {};
  // The whole of the last record is there, but it is not what was written.
  if (claimed <= block_end) return place + ": its last record fails its checksum";
  // Its size alone may be what is damaged.
  if (stored_crc(log.bytes + at) == crc32c(log.bytes + at + 6, block_end - at - 6)) return place + ": the size of its last record is wrong";
  return {};
}

}  // namespace

LogScan scan_logs(const std::string& folder) {
  LogScan found;
  std::error_code failure;
  std::vector<std::filesystem::path> logs;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failure)) {
    if (entry.path().extension() == ".log") logs.push_back(entry.path());
  }
  std::sort(logs.begin(), logs.end());
  for (const auto& path : logs) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw Error(ErrorKind::kUnavailable, "cannot read " + path.string());
    // A log may be a hundred megabytes long.
    std::string content(std::filesystem::file_size(path), '\0');
    if (!file.read(content.data(), static_cast<std::streamsize>(content.size()))) throw Error(ErrorKind::kUnavailable, "cannot read " + path.string());
    const std::string why = scan({reinterpret_cast<const uint8_t*>(content.data()), content.size()}, found.last_sequence);
    if (!why.empty()) found.damage.push_back("the log " + path.filename().string() + why);
  }
  return found;
}

SyncMark read_mark(const std::string& path, std::string& why) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return {};
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  unsigned long long sequence = 0;
  unsigned check = 0;
  const size_t line = text.find("check ");
  if (line != std::string::npos && std::sscanf(text.c_str(), "synced %llu\n", &sequence) == 1 &&
      std::sscanf(text.c_str() + line, "check %x\n", &check) == 1 && check == crc32c(reinterpret_cast<const uint8_t*>(text.data()), line)) {
    const size_t tables = text.find(kTables);
    if (tables == std::string::npos) return {sequence, ""};
    const size_t from = tables + std::strlen(kTables);
    return {sequence, text.substr(from, text.find('\n', from) - from)};
  }
  why = "the file `synced` fails its checksum";
  return {};
}

std::string mark_text(const SyncMark& mark) {
  std::string text = "synced " + std::to_string(mark.sequence) + "\n";
  if (!mark.tables.empty()) text += kTables + mark.tables + "\n";
  char line[24];
  std::snprintf(line, sizeof(line), "check %08x\n", crc32c(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
  return text + line;
}

// The manifest grows with every table that comes or goes, and a new one has another name.
std::string tables_state(const std::string& folder) {
  std::ifstream current(folder + "/CURRENT");
  std::string manifest;
  std::error_code failure;
  if (!std::getline(current, manifest) || !manifest.starts_with("MANIFEST-")) return {};
  const auto size = std::filesystem::file_size(folder + "/" + manifest, failure);
  return failure ? std::string() : manifest + " " + std::to_string(size);
}

}  // namespace sealpoint
