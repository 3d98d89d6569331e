// What stands in RocksDB for a collection and for a point. Disk formats: a field is only ever added at the end of the collection
// record, under a higher version byte; the point record never changes.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/bytes.h"
#include "../filter/filter.h"
#include "../vector/vector_index.h"

namespace sealpoint {

constexpr uint8_t kCollectionRecordVersion = 5;

// One named vector of a collection. Its place in the list is its number in keys, so entries are never moved.
struct VectorField {
  std::string name;
  uint32_t dim = 0;
  Distance distance = Distance::kCosine;
  uint32_t m = 16;
  uint32_t ef_construct = 128;
  uint64_t full_scan_threshold_kb = 10000;
  uint64_t indexing_threshold_kb = 10000;
  Datatype datatype = Datatype::kFloat32;
  CodeConfig codes;
  Placement placement;
  OptimizerConfig optimizer;
  // Links per row of graphs over the rows of one payload value; 0: none. Unless `all_blocks`, only of tenants' values.
  uint32_t payload_m = 0;
  bool all_blocks = false;
  // A sparse field has no dimensions and always the dot product; `idf`: queries are weighted by how rare their dimensions are.
  bool sparse = false;
  bool idf = false;
  // A point has several vectors, compared by MaxSim (vector/max_sim.h, vector/multi_graph.h).
  bool multi = false;
  // The name was deleted with its vectors. The entry stays, since its number is never given again.
  bool removed = false;

  void remove() {
    removed = true;
    // No request can hold it: it is no UTF-8.
    name = "\xff";
  }
  // Whether multivectors are kept in memory or read from the store when they are compared.
  bool multi_in_memory() const { return !placement.codes_on_disk; }
  // Bytes of one vector in the store; of a multivector one of its vectors.
  size_t stored_bytes() const { return dim * value_bytes(datatype); }
  // A prepared vector's bytes in the store: the values' own, or in `buffer`.
  std::string_view stored(const float* values, std::string& buffer) const {
    if (datatype == Datatype::kFloat32) return {reinterpret_cast<const char*>(values), stored_bytes()};
    buffer.resize(stored_bytes());
    store_values(datatype, values, dim, buffer.data());
    return buffer;
  }
  // In place: a vector that was given, or a query, as its values are stored.
  void prepare(float* values) const {
    if (normalized(distance, datatype)) normalize(values, dim);
    round_values(datatype, values, dim);
  }

  void write(ByteWriter& out) const {
    out.text(name);
    out.u32(dim);
    out.u8(static_cast<uint8_t>(distance));
    out.u32(m);
    out.u32(ef_construct);
    out.u64(full_scan_threshold_kb);
    out.u64(indexing_threshold_kb);
    out.u8(static_cast<uint8_t>(datatype));
    out.u8(static_cast<uint8_t>(codes.kind));
    out.u8(codes.chosen ? 1 : 0);
    out.f32(codes.quantile);
    out.u8(codes.query_bits);
    out.u8(codes.group);
    out.u8(static_cast<uint8_t>((placement.codes_on_disk ? 1 : 0) | (placement.graph_on_disk ? 2 : 0) | (placement.rows_cached ? 4 : 0)));
    out.u8(static_cast<uint8_t>((sparse ? 1 : 0) | (idf ? 2 : 0) | (multi ? 4 : 0) | (removed ? 8 : 0)));
    out.f32(optimizer.deleted_threshold);
    out.u64(optimizer.vacuum_min_rows);
    out.u32(optimizer.segments_max);
    out.u64(optimizer.segment_kb_max);
    out.u32(optimizer.threads);
    out.u32(optimizer.indexing_threads);
    out.u8(static_cast<uint8_t>((optimizer.hides_unindexed ? 1 : 0) | (all_blocks ? 2 : 0)));
    out.u32(payload_m);
  }
  // Records of version 1 end with the thresholds, those of version 2 with the placement, those of version 4 with the kind.
  static VectorField read(ByteReader& in, uint8_t version = kCollectionRecordVersion) {
    VectorField field;
    field.name = in.text();
    field.dim = in.u32();
    field.distance = static_cast<Distance>(in.u8());
    field.m = in.u32();
    field.ef_construct = in.u32();
    field.full_scan_threshold_kb = in.u64();
    field.indexing_threshold_kb = in.u64();
    if (version < 2) return field;
    field.datatype = static_cast<Datatype>(in.u8());
    field.codes.kind = static_cast<CodeKind>(in.u8());
    field.codes.chosen = in.u8() != 0;
    field.codes.quantile = in.f32();
    field.codes.query_bits = in.u8();
    field.codes.group = in.u8();
    const uint8_t placement = in.u8();
    field.placement = {(placement & 1) != 0, (placement & 2) != 0, (placement & 4) != 0};
    if (version < 3) return field;
    const uint8_t kind = in.u8();
    field.sparse = (kind & 1) != 0;
    field.idf = (kind & 2) != 0;
    field.multi = (kind & 4) != 0;
    field.removed = (kind & 8) != 0;
    if (version < 5) return field;
    field.optimizer.deleted_threshold = in.f32();
    field.optimizer.vacuum_min_rows = in.u64();
    field.optimizer.segments_max = in.u32();
    field.optimizer.segment_kb_max = in.u64();
    field.optimizer.threads = in.u32();
    field.optimizer.indexing_threads = in.u32();
    const uint8_t flags = in.u8();
    field.optimizer.hides_unindexed = (flags & 1) != 0;
    field.all_blocks = (flags & 2) != 0;
    field.payload_m = in.u32();
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
    out.u8(kCollectionRecordVersion);
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
    const uint8_t version = in.u8();
    if (version == 0 || version > kCollectionRecordVersion) throw Error(ErrorKind::kDataLoss, "a collection record has a version that this server does not know");
    CollectionRecord record;
    record.cid = in.u32();
    record.name = in.text();
    record.config = in.text();
    record.sealing = in.text();
    record.sealing_id = in.text();
    for (uint32_t n = in.u32(); n > 0; --n) record.accepted_ids.emplace_back(in.text());
    record.epoch = in.u64();
    for (uint32_t n = in.u32(); n > 0; --n) record.vectors.push_back(VectorField::read(in, version));
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
