// How many slots a condition may have: what is known before any set is built.
#pragma once
#include <algorithm>
#include <cstdint>

namespace sealpoint {

struct Cardinality {
  uint64_t min = 0;
  uint64_t expected = 0;
  uint64_t max = 0;

  static Cardinality exactly(uint64_t count) { return {count, count, count}; }
  // A condition of which nothing is known: half of all, as at Qdrant.
  static Cardinality unknown(uint64_t points) { return {0, points / 2, points}; }
  Cardinality bounded(uint64_t points) const {
    return {std::min(min, points), std::min(expected, points), std::min(max, points)};
  }
  Cardinality negated(uint64_t points) const {
    const Cardinality part = bounded(points);
    return {points - part.max, points - part.expected, points - part.min};
  }
};

}  // namespace sealpoint
