// Points as they came in a request: the wire form of repeated qdrant.PointStruct. Read here are the forms that clients write; whatever else
// the encoding allows, and whatever is wrong, is "unusual" and left to TypeScript's reader, which says what is wrong and where.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "../core/point_id.h"
#include "../core/wiped.h"

namespace sealpoint {

struct EncodedVector {
  std::string_view name;  // "": the unnamed one
  std::string_view bytes;  // f32 LE values, unaligned; of a multivector its first vector
  std::vector<const char*> rows;  // of a multivector: its vectors, all of one length
};

struct EncodedPoint {
  PointId id;
  WipedText payload;  // entries under the stored form's tag, not yet checked; it may have to be sealed
  std::vector<EncodedVector> vectors;
};

class EncodedPoints {
 public:
  // `message` is well-formed; its field `field` is the repeated PointStruct, other fields are passed over.
  EncodedPoints(std::string_view message, uint32_t field) : rest_(message), field_(field) {}

  enum class Next : uint8_t { kPoint, kEnd, kUnusual };
  // Reads the next point into `point`, whose memory is used again. Unusual is, above all, a point with a key of its own and a payload that may hold
  // the reserved key: who admits such points has to look at them.
  Next next(EncodedPoint& point);

 private:
  std::string_view rest_;
  const uint32_t field_;
};

}  // namespace sealpoint
