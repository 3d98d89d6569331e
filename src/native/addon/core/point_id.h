// A point's id: u64 or UUID. Its key form sorts as Qdrant sorts: numbers first, then UUIDs, each ascending.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace sealpoint {

struct PointId {
  bool is_uuid = false;
  uint64_t num = 0;       // numbers only
  uint8_t uuid[16] = {};  // UUIDs only

  static PointId number(uint64_t value) {
    PointId id;
    id.num = value;
    return id;
  }
  static PointId from_uuid(const uint8_t* bytes) {
    PointId id;
    id.is_uuid = true;
    std::memcpy(id.uuid, bytes, 16);
    return id;
  }
  bool operator==(const PointId& other) const {
    return is_uuid == other.is_uuid && (is_uuid ? std::memcmp(uuid, other.uuid, 16) == 0 : num == other.num);
  }
  bool operator<(const PointId& other) const {
    if (is_uuid != other.is_uuid) return !is_uuid;
    return is_uuid ? std::memcmp(uuid, other.uuid, 16) < 0 : num < other.num;
  }
  // tag 0 + u64 BE, or tag 1 + 16 bytes. A disk format: it may never change.
  void append_key(std::string& out) const {
    if (is_uuid) {
      out.push_back(1);
      out.append(reinterpret_cast<const char*>(uuid), 16);
    } else {
      out.push_back(0);
      for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(num >> shift));
    }
  }
  // Reads what append_key wrote and advances; false when the bytes are not a key.
  static bool parse_key(std::string_view& in, PointId& out) {
    if (in.empty()) return false;
    const bool uuid = in[0] == 1;
    const size_t size = uuid ? 17 : 9;
    if (in.size() < size || (in[0] != 0 && in[0] != 1)) return false;
    if (uuid) {
      out = from_uuid(reinterpret_cast<const uint8_t*>(in.data()) + 1);
    } else {
      uint64_t value = 0;
      for (size_t i = 1; i < 9; ++i) value = value << 8 | static_cast<uint8_t>(in[i]);
      out = number(value);
    }
    in.remove_prefix(size);
    return true;
  }
};

// As Qdrant prints it.
inline std::string id_text(const PointId& id) {
  if (!id.is_uuid) return std::to_string(id.num);
  static const char* digits = "0123456789abcdef";
  std::string text;
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text.push_back('-');
    text.push_back(digits[id.uuid[i] >> 4]);
    text.push_back(digits[id.uuid[i] & 15]);
  }
  return text;
}

struct PointIdHash {
  size_t operator()(const PointId& id) const {
    uint64_t x = id.num;
    if (id.is_uuid) {
      uint64_t low;
      std::memcpy(&x, id.uuid, 8);
      std::memcpy(&low, id.uuid + 8, 8);
      x ^= low * 0x9e3779b97f4a7c15ULL;
    }
    x ^= x >> 33;  // MurmurHash3's finaliser
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ULL;
    return x ^ x >> 33;
  }
};

}  // namespace sealpoint
