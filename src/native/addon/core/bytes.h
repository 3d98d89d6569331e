// Little-endian reader and writer for the messages that cross between TypeScript and the addon (src/native/bytes.ts is
// the other side). The reader throws on anything short, so a message can be read without checks at each step.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "point_id.h"
#include "status.h"

namespace sealpoint {

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  template <typename T>
  T take() {
    T value;
    std::memcpy(&value, span(sizeof(T)), sizeof(T));
    return value;
  }
  uint8_t u8() { return take<uint8_t>(); }
  uint16_t u16() { return take<uint16_t>(); }
  uint32_t u32() { return take<uint32_t>(); }
  uint64_t u64() { return take<uint64_t>(); }
  int64_t i64() { return take<int64_t>(); }
  float f32() { return take<float>(); }
  double f64() { return take<double>(); }
  // u32 length, then the bytes. The view lives as long as the message.
  std::string_view text() {
    const uint32_t size = u32();
    return {span(size), size};
  }
  // u8 tag: 0 and u64 LE, or 1 and 16 bytes.
  PointId id() {
    if (u8() == 0) return PointId::number(u64());
    return PointId::from_uuid(reinterpret_cast<const uint8_t*>(span(16)));
  }
  const char* span(size_t size) {
    if (static_cast<size_t>(end_ - at_) < size) throw Error(ErrorKind::kInternal, "native message is cut short");
    const char* start = at_;
    at_ += size;
    return start;
  }
  bool done() const { return at_ == end_; }
  size_t left() const { return static_cast<size_t>(end_ - at_); }

 private:
  const char* at_;
  const char* end_;
};

class ByteWriter {
 public:
  template <typename T>
  void put(T value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof(T));
  }
  void u8(uint8_t value) { put(value); }
  void u32(uint32_t value) { put(value); }
  void u64(uint64_t value) { put(value); }
  void f32(float value) { put(value); }
  void f64(double value) { put(value); }
  void text(std::string_view value) {
    u32(static_cast<uint32_t>(value.size()));
    out_.append(value);
  }
  void id(const PointId& value) {
    u8(value.is_uuid ? 1 : 0);
    if (value.is_uuid) {
      out_.append(reinterpret_cast<const char*>(value.uuid), 16);
    } else {
      u64(value.num);
    }
  }
  void raw(const void* data, size_t size) { out_.append(static_cast<const char*>(data), size); }
  std::string& bytes() { return out_; }

 private:
  std::string out_;
};

}  // namespace sealpoint
