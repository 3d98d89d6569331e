// What an index tells of its values: in order, and counted.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "../core/bitset.h"

namespace sealpoint {

// A value that points are ordered by. Dates are integers: microseconds since 1970.
struct OrderValue {
  bool is_integer = true;
  int64_t integer = 0;
  double number = 0;
  bool operator==(const OrderValue& other) const {
    return is_integer == other.is_integer && (is_integer ? integer == other.integer : number == other.number);
  }
};

struct OrderWalk {
  bool descending = false;
  std::optional<OrderValue> start;  // the first value that counts, in either form; not NaN
};

// False ends the walk.
using OrderVisit = std::function<bool(const OrderValue& value, uint32_t slot)>;

struct FacetValue {
  // The numbers are the fields of qdrant.FacetValue.
  enum class Kind : uint8_t { kText = 1, kInteger = 2, kBool = 3 };
  Kind kind = Kind::kText;
  std::string_view text;
  int64_t integer = 0;  // of a bool: 0 or 1
};

using FacetVisit = std::function<void(const FacetValue& value, uint64_t points)>;

}  // namespace sealpoint
