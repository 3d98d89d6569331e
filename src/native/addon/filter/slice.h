// Slices of the ids: disjoint parts of every collection that nothing but an id decides, so that a scroll can be shared out.
#pragma once
#include <cstdint>

#include "../core/point_id.h"

namespace sealpoint::filter {

// SipHash-2-4 (Aumasson and Bernstein, INDOCRYPT 2012) with the key zero over a number's 8 bytes, little endian, or a UUID's 16: Qdrant's, so that a
// point lies in the same slice there.
uint64_t slice_hash(const PointId& id);

struct IdSlice {
  uint32_t total = 1;  // 1 or more
  uint32_t index = 0;  // below total
  bool contains(const PointId& id) const { return slice_hash(id) % total == index; }
};

}  // namespace sealpoint::filter
