// Points of an answer (qdrant.ScoredPoint, qdrant.RetrievedPoint) as Qdrant's JSON has them, straight from their protobuf bytes: integers stay
// exact, and doubles stay doubles.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sealpoint::payload {

struct PointForm {
  bool scored = false;   // a ScoredPoint
  bool payload = false;  // an empty payload is shown, too
};

// Appends the points that stand under `tag` (as on the wire) in `message` from `at` on, with commas between. Ends before another tag, and once
// more than `most` bytes are written; gives where. Throws Error kDataLoss on bytes that cannot be read.
size_t append_points(std::string& out, std::string_view message, size_t at, uint32_t tag, PointForm form, size_t most);

}  // namespace sealpoint::payload
