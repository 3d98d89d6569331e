// What the stages of a query hand to each other, and the vectors that they compare with.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "../core/bytes.h"
#include "../core/point_id.h"

namespace sealpoint {

struct Scored {
  uint32_t slot;
  float score;
};

// A vector of any kind. Sparse: `indices` ascending with as many `values`; multi: `rows` vectors, one after the other in `values`.
struct AnyVector {
  enum class Kind : uint8_t { kDense = 1, kSparse = 2, kMulti = 3 };
  Kind kind = Kind::kDense;
  uint32_t rows = 1;
  std::vector<uint32_t> indices;
  std::vector<float> values;
};

// A vector, or a stored point's.
struct QueryInput {
  bool by_id = false;
  PointId id;
  AnyVector vector;

  // u8 form (0 id, else AnyVector::Kind); id | u32 rows (multi only), u32 count, u32 indices (sparse only), f32 values.
  static QueryInput read(ByteReader& in);
};

// a > b in Qdrant's order of results, and equal scores by ascending slot so that answers repeat.
inline bool better(const Scored& a, const Scored& b) { return a.score != b.score ? a.score > b.score : a.slot < b.slot; }

}  // namespace sealpoint
