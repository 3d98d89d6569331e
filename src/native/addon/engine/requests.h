// What reads ask for, as src/native/requests.ts writes it.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "../core/bytes.h"
#include "../filter/filter.h"

namespace sealpoint {

struct PayloadSelector {
  enum class Kind : uint8_t { kNone = 0, kAll = 1, kInclude = 2, kExclude = 3 };
  Kind kind = Kind::kNone;
  std::vector<std::string> keys;
  // u8 kind, then for include and exclude u32 count and the keys.
  static PayloadSelector read(ByteReader& in);
  bool wanted() const { return kind != Kind::kNone; }
  // False: `payload` is the answer as it is; true: `out` is.
  bool apply(std::string_view payload, std::string& out) const;
};

struct VectorsSelector {
  enum class Kind : uint8_t { kNone = 0, kAll = 1, kNames = 2 };
  Kind kind = Kind::kNone;
  std::vector<std::string> names;
  // u8 kind, then for names u32 count and the names.
  static VectorsSelector read(ByteReader& in);
  bool wanted() const { return kind != Kind::kNone; }
};

// A filter as it comes with a request. plain_only: sealed points never match.
struct FilterRequest {
  std::unique_ptr<Filter> filter;  // nullptr: none
  std::string program;             // what it was read from
  bool plain_only = false;
  // u8 plain only, text program (empty: none).
  static FilterRequest read(ByteReader& in);
  bool present() const { return filter != nullptr || plain_only; }
};

struct SearchRequest {
  std::string_view using_vector;
  const char* query = nullptr;  // f32 values, unaligned; nullptr: by id
  uint32_t dim = 0;
  PointId by_id;
  uint32_t limit = 10;
  uint32_t offset = 0;
  bool exact = false;
  bool indexed_only = false;
  bool has_threshold = false;
  float threshold = 0;
  uint32_t ef = 0;
  bool originals = false;
  bool rescore = true;
  float oversampling = 0;  // 0: the default
  PayloadSelector payload;
  VectorsSelector vectors;
  FilterRequest filter;
  // text using, u8 by id, (id | u32 dim, f32s), u32 limit, u32 offset, u8 flags (1 exact, 2 indexed only, 4 threshold,
  // 8 originals, 16 not rescored), f32 threshold, u32 ef, f32 oversampling, payload selector, vectors selector, filter.
  static SearchRequest read(ByteReader& in);
};

struct ScrollRequest {
  FilterRequest filter;
  bool has_offset = false;
  bool exclusive = false;  // start after the offset
  PointId offset;
  uint32_t limit = 0;
  PayloadSelector payload;
  VectorsSelector vectors;
  // filter, u8 offset (0 none, 1 from, 2 after), id, u32 limit, payload selector, vectors selector.
  static ScrollRequest read(ByteReader& in);
};

std::vector<std::string> read_texts(ByteReader& in);

}  // namespace sealpoint
