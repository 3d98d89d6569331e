// The layout of an answer, read by src/native/point-table.ts. All little endian, offsets from the start of the table.
//   header  u32 rows, u32 flags (1: payloads, 2: vectors), u64 0
//   rows    48 bytes each: u8 id tag, 3 bytes 0, f32 score, u64 number or UUID bytes 0-7, u64 0 or UUID bytes 8-15, u64 version,
//           u32 payload offset, u32 payload size, u32 vectors offset, u32 vectors size
//   heap    payload bytes (padded to 4); vectors: u32 count, then each u32 name size, u32 dimensions, name padded to 4, f32 values
#pragma once
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/point_id.h"
#include "../core/status.h"

namespace sealpoint {

class PointTableWriter {
 public:
  static constexpr uint32_t kPayloads = 1;
  static constexpr uint32_t kVectors = 2;
  static constexpr size_t kHeapBytesMax = size_t{512} << 20;

  PointTableWriter(size_t rows, uint32_t flags) : flags_(flags) { rows_.reserve(rows); }

  size_t add(const PointId& id, float score, uint64_t version) {
    Row row{};
    row.tag = id.is_uuid ? 1 : 0;
    row.score = score;
    if (id.is_uuid) {
      std::memcpy(&row.id, id.uuid, 16);
    } else {
      std::memcpy(&row.id, &id.num, 8);
    }
    row.version = version;
    rows_.push_back(row);
    return rows_.size() - 1;
  }
  void set_payload(size_t row, std::string_view bytes) {
    make_room(bytes.size());
    rows_[row].payload_offset = static_cast<uint32_t>(heap_.size());
    rows_[row].payload_size = static_cast<uint32_t>(bytes.size());
    heap_.append(bytes);
    pad();
  }
  // After set_payload of the same row: vectors of a row stand together.
  void add_vector(size_t row, std::string_view name, const char* values, uint32_t dim) {
    make_room(name.size() + size_t{dim} * 4);
    Row& at = rows_[row];
    if (at.vectors_size == 0) {
      at.vectors_offset = static_cast<uint32_t>(heap_.size());
      put(0);
    }
    uint32_t count;
    std::memcpy(&count, heap_.data() + at.vectors_offset, 4);
    ++count;
    std::memcpy(heap_.data() + at.vectors_offset, &count, 4);
    put(static_cast<uint32_t>(name.size()));
    put(dim);
    heap_.append(name);
    pad();
    heap_.append(values, size_t{dim} * 4);
    at.vectors_size = static_cast<uint32_t>(heap_.size() - at.vectors_offset);
  }
  size_t rows() const { return rows_.size(); }
  size_t bytes() const { return 16 + rows_.size() * sizeof(Row) + heap_.size(); }

  std::string finish() {
    const auto shift = static_cast<uint32_t>(16 + rows_.size() * sizeof(Row));
    for (Row& row : rows_) {
      row.payload_offset += shift;
      row.vectors_offset += shift;
    }
    std::string out;
    out.reserve(bytes());
    const uint32_t header[4] = {static_cast<uint32_t>(rows_.size()), flags_, 0, 0};
    out.append(reinterpret_cast<const char*>(header), 16);
    out.append(reinterpret_cast<const char*>(rows_.data()), rows_.size() * sizeof(Row));
    out.append(heap_);
    return out;
  }

 private:
  struct Row {
    uint8_t tag;
    uint8_t zero[3];
    float score;
    uint8_t id[16];
    uint64_t version;
    uint32_t payload_offset, payload_size, vectors_offset, vectors_size;
  };
  static_assert(sizeof(Row) == 48);

  // Offsets have 32 bits, and an answer lies in memory several times on its way out.
  void make_room(size_t more) const {
    if (heap_.size() + more <= kHeapBytesMax) return;
    throw Error(ErrorKind::kExhausted, "the answer is larger than 512 MiB: ask for fewer points at a time, or for less of each", "limit");
  }

  void put(uint32_t value) { heap_.append(reinterpret_cast<const char*>(&value), 4); }
  void pad() { heap_.append((4 - heap_.size() % 4) % 4, '\0'); }

  uint32_t flags_;
  std::vector<Row> rows_;
  std::string heap_;
};

}  // namespace sealpoint
