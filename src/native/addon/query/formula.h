// Formulas over a point's scores and payload (qdrant.Formula). Evaluated in double precision, as Qdrant does.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "../core/bytes.h"
#include "../filter/filter.h"

namespace sealpoint {

// The types of payload indexes by key.
using IndexedTypes = std::map<std::string, FieldType, std::less<>>;

// One point as a formula sees it.
struct FormulaPoint {
  const FilterPoint& point;
  // Score of the point in each prefetch; NaN where the prefetch has not found it.
  const std::vector<float>& scores;
  const FilterContext& context;
  // A field with an index has the values that the index takes, and no others: Qdrant reads them from there.
  const IndexedTypes& indexed;
};

class Formula {
 public:
  virtual ~Formula() = default;
  // Reads what src/engine/embedded/query-messages.ts writes: the expression, then the defaults as payload bytes whose keys are the
  // variables. Throws Error.
  static std::unique_ptr<Formula> read(ByteReader& in);
  // Finite. Throws kBadInput for a missing or wrong value and for a result that is not finite, as Qdrant does.
  virtual float evaluate(const FormulaPoint& point) const = 0;
};

}  // namespace sealpoint
