// What stands in RocksDB for a collection and for a point. Disk formats: a field is only ever added at the end of the collection
// record, under a higher version byte; the point record never changes.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "../core/bytes.h"
#include "../filter/filter.h"
#include "../vector/vector_index.h"

namespace sealpoint {

// One named vector of a collection. Its place in the list is its number in keys, so entries are never moved.
struct VectorField {
  std::string name;
  uint32_t dim = 0;
  Distance distance = Distance::kCosine;
  uint32_t m = 16;
  uint32_t ef_construct = 128;
  uint64_t full_scan_threshold_kb = 10000;
  uint64_t indexing_threshold_kb = 10000;

  void write(ByteWriter& out) const {
    out.text(name);
    out.u32(dim);
    out.u8(static_cast<uint8_t>(distance));
    out.u32(m);
    out.u32(ef_construct);
    out.u64(full_scan_threshold_kb);
    out.u64(indexing_threshold_kb);
  }
  static VectorField read(ByteReader& in) {
    VectorField field;
    field.name = in.text();
    field.dim = in.u32();
    field.distance = static_cast<Distance>(in.u8());
    field.m = in.u32();
    field.ef_construct = in.u32();
    field.full_scan_threshold_kb = in.u64();
    field.indexing_threshold_kb = in.u64();
    return field;
  }
};

struct IndexedField {
  std::string key;
  FieldType type = FieldType::kKeyword;
  std::string params;
};

struct CollectionRecord {
  uint32_t cid = 0;
  std::string name;
  std::string config;   // JSON of the TypeScript side, opaque here
  std::string sealing;  // JSON of the policy, opaque here
  std::string sealing_id;                     // 16 bytes
  std::vector<std::string> accepted_ids;      // 16 bytes each, the own one first
  uint64_t epoch = 1;
  std::vector<VectorField> vectors;
  std::vector<IndexedField> indexes;

  std::string encode() const {
    ByteWriter out;
    out.u8(1);
    out.u32(cid);
    out.text(name);
    out.text(config);
    out.text(sealing);
    out.text(sealing_id);
    out.u32(static_cast<uint32_t>(accepted_ids.size()));
    for (const auto& id : accepted_ids) out.text(id);
    out.u64(epoch);
    out.u32(static_cast<uint32_t>(vectors.size()));
    for (const auto& field : vectors) field.write(out);
    out.u32(static_cast<uint32_t>(indexes.size()));
    for (const auto& index : indexes) {
      out.text(index.key);
      out.u8(static_cast<uint8_t>(index.type));
      out.text(index.params);
    }
    return std::move(out.bytes());
  }

  static CollectionRecord decode(std::string_view bytes) {
    ByteReader in(bytes);
    if (in.u8() != 1) throw Error(ErrorKind::kDataLoss, "a collection record has a version that this server does not know");
    CollectionRecord record;
    record.cid = in.u32();
    record.name = in.text();
    record.config = in.text();
    record.sealing = in.text();
    record.sealing_id = in.text();
    for (uint32_t n = in.u32(); n > 0; --n) record.accepted_ids.emplace_back(in.text());
    record.epoch = in.u64();
    for (uint32_t n = in.u32(); n > 0; --n) record.vectors.push_back(VectorField::read(in));
    for (uint32_t n = in.u32(); n > 0; --n) {
      IndexedField index;
      index.key = in.text();
      index.type = static_cast<FieldType>(in.u8());
      index.params = in.text();
      record.indexes.push_back(std::move(index));
    }
    return record;
  }
};

struct PointRecord {
  uint32_t slot = 0;
  uint64_t version = 0;  // operation that changed the point last
  bool sealed = false;
  // Vector number and the operation that wrote it.
  std::vector<std::pair<uint16_t, uint64_t>> vectors;

  std::string encode() const {
    ByteWriter out;
    out.u32(slot);
    out.u64(version);
    out.u8(sealed ? 1 : 0);
    out.u8(static_cast<uint8_t>(vectors.size()));
    for (const auto& [vector, at] : vectors) {
      out.put<uint16_t>(vector);
      out.u64(at);
    }
    return std::move(out.bytes());
  }

  static PointRecord decode(std::string_view bytes) {
    ByteReader in(bytes);
    PointRecord record;
    record.slot = in.u32();
    record.version = in.u64();
    record.sealed = (in.u8() & 1) != 0;
    for (uint8_t n = in.u8(); n > 0; --n) {
      const uint16_t vector = in.u16();
      record.vectors.emplace_back(vector, in.u64());
    }
    return record;
  }
};

}  // namespace sealpoint
