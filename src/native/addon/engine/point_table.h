// The layout of an answer, read by src/native/point-table.ts. All little endian, offsets from the start of the table.
//   header  u32 rows, u32 flags (1: payloads, 2: vectors, 4 or 8: order values, from bit 8: the WireForm), u32 offset and u32 size of the wire form
//   rows    48 bytes each: u8 id tag, 3 bytes 0, f32 score, u64 number or UUID bytes 0-7, u64 0 or UUID bytes 8-15, u64 version,
//           u32 payload offset, u32 payload size, u32 vectors offset, u32 vectors size
//   orders  with flag 4 (integers) or 8 (doubles): 8 bytes each row, the value that the answer is ordered by
//   heap    payload bytes (padded to 4); vectors: u32 count, then each u32 name size, u32 dimensions, name padded to 4, f32 values; of a
//           sparse vector u32 words + 2^31, and as values the stored row; of a multivector u32 words + 2^30, and as values u32 rows and they
// An answer that needs no change on its way out, without vectors and sealed payloads, has its rows in wire form as the heap: the messages of
// WireForm one after the other, into which the payloads' offsets then point. TypeScript copies them as they are.
#pragma once
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/point_id.h"
#include "../core/status.h"
#include "../filter/values.h"
#include "../payload/payload.h"

namespace sealpoint {

// The protobuf messages that an answer's rows become; src/engine/engine.ts has the same numbers.
enum class WireForm : uint8_t {
  kNone = 0,
  kScored = 1,     // qdrant.ScoredPoint under field 1
  kRetrieved = 2,  // qdrant.RetrievedPoint under field 1
  kScrolled = 3,   // qdrant.RetrievedPoint under field 2
};

class PointTableWriter {
 public:
  static constexpr uint32_t kPayloads = 1;
  static constexpr uint32_t kVectors = 2;
  static constexpr uint32_t kIntegerOrders = 4;
  static constexpr uint32_t kDoubleOrders = 8;
  static constexpr size_t kHeapBytesMax = size_t{512} << 20;

  PointTableWriter(size_t rows, uint32_t flags, WireForm form) : flags_(flags), form_((flags & kVectors) != 0 ? WireForm::kNone : form) {
    rows_.reserve(rows);
  }

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
  // Of the row that was added last; all rows have one, of one kind, or none has.
  void set_order(const OrderValue& value) {
    flags_ |= value.is_integer ? kIntegerOrders : kDoubleOrders;
    int64_t bits = value.integer;
    if (!value.is_integer) std::memcpy(&bits, &value.number, 8);
    orders_.push_back(bits);
  }
  void set_payload(size_t row, std::string_view bytes) {
    make_room(bytes.size());
    rows_[row].payload_offset = static_cast<uint32_t>(heap_.size());
    rows_[row].payload_size = static_cast<uint32_t>(bytes.size());
    heap_.append(bytes);
    pad();
    // Envelopes leave the store in another form.
    if (form_ != WireForm::kNone && payload::begins_sealed(bytes)) form_ = WireForm::kNone;
  }
  // After set_payload of the same row: vectors of a row stand together.
  enum class VectorForm : uint32_t { kDense = 0, kMulti = uint32_t{1} << 30, kSparse = uint32_t{1} << 31 };
  void add_vector(size_t row, std::string_view name, const char* values, uint32_t dim, VectorForm form) {
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
    put(dim | static_cast<uint32_t>(form));
    heap_.append(name);
    pad();
    heap_.append(values, size_t{dim} * 4);
    at.vectors_size = static_cast<uint32_t>(heap_.size() - at.vectors_offset);
  }
  size_t rows() const { return rows_.size(); }
  uint64_t version(size_t row) const { return rows_[row].version; }

  void clear_versions() {
    for (Row& row : rows_) row.version = 0;
  }

  std::string finish() {
    const size_t orders_at = 16 + rows_.size() * sizeof(Row);
    const auto head = static_cast<uint32_t>(orders_at + orders_.size() * sizeof(int64_t));
    std::string out;
    size_t wire = 0;
    if (form_ == WireForm::kNone) {
      for (Row& row : rows_) {
        row.payload_offset += head;
        row.vectors_offset += head;
      }
      out.reserve(head + heap_.size());
    } else {
      for (size_t i = 0; i < rows_.size(); ++i) wire += message_size(body_size(i));
      out.reserve(head + wire);
    }
    const uint32_t header[4] = {static_cast<uint32_t>(rows_.size()), flags_ | static_cast<uint32_t>(form_) << 8, head, static_cast<uint32_t>(wire)};
    out.append(reinterpret_cast<const char*>(header), 16);
    if (form_ == WireForm::kNone) {
      out.append(reinterpret_cast<const char*>(rows_.data()), rows_.size() * sizeof(Row));
      out.append(reinterpret_cast<const char*>(orders_.data()), orders_.size() * sizeof(int64_t));
      out.append(heap_);
      return out;
    }
    out.resize(head);
    for (size_t i = 0; i < rows_.size(); ++i) write_message(out, i);
    if (!rows_.empty()) std::memcpy(out.data() + 16, rows_.data(), rows_.size() * sizeof(Row));
    if (!orders_.empty()) std::memcpy(out.data() + orders_at, orders_.data(), orders_.size() * sizeof(int64_t));
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

  static size_t varint_size(uint64_t value) {
    size_t size = 1;
    for (; value >= 0x80; value >>= 7) ++size;
    return size;
  }
  static void varint(std::string& out, uint64_t value) {
    for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
    out.push_back(static_cast<char>(value));
  }

  static constexpr size_t kUuidTextSize = 36;
  static PointId id_of(const Row& row) {
    if (row.tag != 0) return PointId::from_uuid(row.id);
    PointId id;
    std::memcpy(&id.num, row.id, 8);
    return id;
  }
  // Of PointId { num = 1 | uuid = 2 }.
  static size_t id_size(const PointId& id) { return id.is_uuid ? 2 + kUuidTextSize : 1 + varint_size(id.num); }
  // proto3 leaves zeros out, but not a negative one; a list without scores has NaN.
  bool has_score(const Row& row) const {
    uint32_t bits;
    std::memcpy(&bits, &row.score, 4);
    return form_ == WireForm::kScored && bits != 0 && row.score == row.score;
  }
  bool has_version(const Row& row) const { return form_ == WireForm::kScored && row.version != 0; }

  // Of OrderValue { int = 1 | float = 2 }; the oneof is written whatever the value.
  size_t order_size(size_t i) const {
    if (orders_.empty()) return 0;
    return (flags_ & kIntegerOrders) != 0 ? 1 + varint_size(static_cast<uint64_t>(orders_[i])) : 9;
  }

  // Of ScoredPoint { id = 1, payload = 2, score = 3, version = 5, order_value = 8 } or RetrievedPoint { id = 1, payload = 2, order_value = 6 }. A
  // stored payload's entries already stand under field 2.
  size_t body_size(size_t i) const {
    const Row& row = rows_[i];
    return 2 + (orders_.empty() ? 0 : 2 + order_size(i)) + id_size(id_of(row)) + row.payload_size + (has_score(row) ? 5 : 0) + (has_version(row) ? 1 + varint_size(row.version) : 0);
  }
  static size_t message_size(size_t body) { return 1 + varint_size(body) + body; }

  void write_message(std::string& out, size_t i) {
    Row& row = rows_[i];
    out.push_back(form_ == WireForm::kScrolled ? 0x12 : 0x0a);
    varint(out, body_size(i));
    const PointId id = id_of(row);
    out.push_back(0x0a);
    out.push_back(static_cast<char>(id_size(id)));
    if (id.is_uuid) {
      out.push_back(0x12);
      out.push_back(kUuidTextSize);
      out.append(id_text(id));
    } else {
      out.push_back(0x08);
      varint(out, id.num);
    }
    const uint32_t from = row.payload_offset;
    row.payload_offset = static_cast<uint32_t>(out.size());
    out.append(heap_, from, row.payload_size);
    if (has_score(row)) {
      out.push_back(0x1d);
      out.append(reinterpret_cast<const char*>(&row.score), 4);
    }
    if (has_version(row)) {
      out.push_back(0x28);
      varint(out, row.version);
    }
    if (orders_.empty()) return;
    out.push_back(form_ == WireForm::kScored ? 0x42 : 0x32);
    out.push_back(static_cast<char>(order_size(i)));
    if ((flags_ & kIntegerOrders) != 0) {
      out.push_back(0x08);
      varint(out, static_cast<uint64_t>(orders_[i]));
    } else {
      out.push_back(0x11);
      out.append(reinterpret_cast<const char*>(&orders_[i]), 8);
    }
  }

  void put(uint32_t value) { heap_.append(reinterpret_cast<const char*>(&value), 4); }
  void pad() { heap_.append((4 - heap_.size() % 4) % 4, '\0'); }

  uint32_t flags_;
  WireForm form_;
  std::vector<Row> rows_;
  std::vector<int64_t> orders_;  // a double's bits
  std::string heap_;
};

}  // namespace sealpoint
