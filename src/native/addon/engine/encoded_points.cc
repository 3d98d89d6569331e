#include "encoded_points.h"

#include "../payload/wire.h"

namespace sealpoint {

namespace {

using payload::WireReader;

// Tags: field << 3 | wire type.
constexpr uint8_t kPointId = 0x0a, kPointPayload = 0x1a, kPointVectors = 0x22;
constexpr uint8_t kIdNumber = 0x08, kIdUuid = 0x12;
constexpr uint8_t kVectorsOne = 0x0a, kVectorsNamed = 0x12;
constexpr uint8_t kNamedEntry = 0x0a, kEntryKey = 0x0a, kEntryValue = 0x12;
constexpr uint8_t kFlatData = 0x0a, kDenseData = 0x0a, kMultiRow = 0x0a, kFlatCount = 0x18;
constexpr std::string_view kDense("\xaa\x06", 2);  // field 101
constexpr std::string_view kMulti("\xba\x06", 2);  // field 103
// Values of a multivector, as limits.ts has it: from this on it is refused.
constexpr size_t kMultiValuesEnd = size_t{1} << 20;
constexpr char kStoredEntry = 0x12;

// A length-delimited field behind its tag; false when it runs over the end.
bool take(std::string_view& in, std::string_view& body) {
  WireReader reader(in);
  if (!reader.bytes(body)) return false;
  in.remove_prefix(static_cast<size_t>(reader.at() - in.data()));
  return true;
}

// The same for one whose tag is `tag`.
bool take(std::string_view& in, uint8_t tag, std::string_view& body) {
  if (in.empty() || static_cast<uint8_t>(in[0]) != tag) return false;
  in.remove_prefix(1);
  return take(in, body);
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The hyphenated form; the others are rare.
bool read_uuid(std::string_view text, PointId& id) {
  if (text.size() != 36) return false;
  uint8_t bytes[16];
  size_t at = 0;
  for (size_t i = 0; i < 16; ++i) {
    if (at == 8 || at == 13 || at == 18 || at == 23) {
      if (text[at++] != '-') return false;
    }
    const int high = hex_digit(text[at]), low = hex_digit(text[at + 1]);
    if (high < 0 || low < 0) return false;
    bytes[i] = static_cast<uint8_t>(high << 4 | low);
    at += 2;
  }
  id = PointId::from_uuid(bytes);
  return true;
}

bool read_id(std::string_view in, PointId& id) {
  if (in.empty()) return false;
  const auto tag = static_cast<uint8_t>(in[0]);
  in.remove_prefix(1);
  if (tag == kIdNumber) {
    WireReader reader(in);
    uint64_t number;
    if (!reader.varint(number) || !reader.done()) return false;
    id = PointId::number(number);
    return true;
  }
  std::string_view text;
  return tag == kIdUuid && take(in, text) && in.empty() && read_uuid(text, id);
}

bool is_values(std::string_view bytes) { return !bytes.empty() && bytes.size() % 4 == 0; }

// MultiDenseVector { vectors = 1: DenseVector { data = 1 } }, each vector one packed list.
bool read_multi(std::string_view in, EncodedVector& vector) {
  size_t values = 0;
  while (!in.empty()) {
    std::string_view dense, bytes;
    if (!take(in, kMultiRow, dense) || !take(dense, kDenseData, bytes) || !dense.empty() || !is_values(bytes)) return false;
    if (vector.rows.empty()) vector.bytes = bytes;
    values += bytes.size() / 4;
    if (bytes.size() != vector.bytes.size() || values >= kMultiValuesEnd) return false;
    vector.rows.push_back(bytes.data());
  }
  return !vector.rows.empty();
}

// The old flat form: vectors_count = 3 behind one packed list.
bool read_flat(std::string_view in, EncodedVector& vector) {
  if (!take(in, kFlatData, vector.bytes) || !is_values(vector.bytes)) return false;
  if (in.empty()) return true;
  if (static_cast<uint8_t>(in[0]) != kFlatCount) return false;
  WireReader reader(in.substr(1));
  uint64_t count;
  const size_t values = vector.bytes.size() / 4;
  if (!reader.varint(count) || !reader.done() || count == 0 || count > values || values % count != 0 || values >= kMultiValuesEnd) return false;
  const size_t bytes = vector.bytes.size() / count;
  for (size_t row = 0; row < count; ++row) vector.rows.push_back(vector.bytes.data() + row * bytes);
  vector.bytes = vector.bytes.substr(0, bytes);
  return true;
}

// qdrant.Vector: one `dense` with one packed list, one `multi_dense` of such, or the old flat form.
bool read_vector(std::string_view in, EncodedVector& vector) {
  std::string_view body;
  if (in.starts_with(kDense)) {
    in.remove_prefix(kDense.size());
    return take(in, body) && in.empty() && take(body, kDenseData, vector.bytes) && body.empty() && is_values(vector.bytes);
  }
  if (in.starts_with(kMulti)) {
    in.remove_prefix(kMulti.size());
    return take(in, body) && in.empty() && read_multi(body, vector);
  }
  return read_flat(in, vector);
}

bool read_named(std::string_view in, std::vector<EncodedVector>& vectors) {
  while (!in.empty()) {
    std::string_view entry, value;
    EncodedVector vector;
    if (!take(in, kNamedEntry, entry) || !take(entry, kEntryKey, vector.name) || !take(entry, kEntryValue, value)) return false;
    if (!entry.empty() || !read_vector(value, vector)) return false;
    for (const auto& other : vectors) {
      if (other.name == vector.name) return false;
    }
    vectors.push_back(std::move(vector));
  }
  return true;
}

bool read_vectors(std::string_view in, std::vector<EncodedVector>& vectors) {
  std::string_view body;
  if (in.empty()) return false;
  if (static_cast<uint8_t>(in[0]) == kVectorsNamed) return take(in, kVectorsNamed, body) && in.empty() && read_named(body, vectors);
  EncodedVector vector;
  if (!take(in, kVectorsOne, body) || !in.empty() || !read_vector(body, vector)) return false;
  vectors.push_back(std::move(vector));
  return true;
}

bool read_point(std::string_view in, EncodedPoint& point) {
  point.payload.clear();
  point.vectors.clear();
  bool has_id = false;
  bool has_vectors = false;
  while (!in.empty()) {
    const auto tag = static_cast<uint8_t>(in[0]);
    const char* const from = in.data() + 1;
    std::string_view body;
    in.remove_prefix(1);
    // All known fields but the point's key are length-delimited, and a key's tag is none of these.
    if (tag != kPointId && tag != kPointPayload && tag != kPointVectors) return false;
    if (!take(in, body)) return false;
    if (tag == kPointPayload) {
      point.payload.push_back(kStoredEntry);
      point.payload.append(from, static_cast<size_t>(in.data() - from));
    } else if (tag == kPointId) {
      if (has_id || !read_id(body, point.id)) return false;
      has_id = true;
    } else {
      if (has_vectors || !read_vectors(body, point.vectors)) return false;
      has_vectors = true;
    }
  }
  return has_id && point.payload.find(payload::kSealedKey) == WipedText::npos;
}

}  // namespace

EncodedPoints::Next EncodedPoints::next(EncodedPoint& point) {
  WireReader reader(rest_);
  uint32_t field, type;
  while (!reader.done()) {
    if (!reader.tag(field, type)) return Next::kUnusual;
    if (field != field_) {
      if (!reader.skip(type)) return Next::kUnusual;
      continue;
    }
    std::string_view body;
    if (type != 2 || !reader.bytes(body)) return Next::kUnusual;
    rest_.remove_prefix(static_cast<size_t>(reader.at() - rest_.data()));
    return read_point(body, point) ? Next::kPoint : Next::kUnusual;
  }
  rest_ = {};
  return Next::kEnd;
}

}  // namespace sealpoint
