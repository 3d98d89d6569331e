// Late interaction (ColBERT): a point has several vectors, its rows, and its similarity with a query of several rows is MaxSim, for each
// row of the query the greatest similarity with any of the point's, added up. Computed exactly.
#pragma once
#include <cstddef>
#include <vector>

#include "vector_index.h"

namespace sealpoint {

class MaxSimQuery {
 public:
  // `count` rows of `dim` floats, prepared as the field's rows are (normalised for cosine, rounded to the datatype); copied.
  MaxSimQuery(Distance distance, Datatype datatype, size_t dim, const float* rows, size_t count);

  // With `count` rows as load_max_sim_rows gives them, any alignment. The raw similarities are dot, minus the squared distance (euclid) or
  // minus the distance (manhattan): greater is nearer. A value that is not finite makes the sum the least there is.
  float similarity(const float* rows, size_t count) { return similarity(rows, count, best_); }
  // The same for several threads at once, each with a buffer of its own.
  float similarity(const float* rows, size_t count, std::vector<float>& best) const;
  size_t count() const { return count_; }
  size_t memory_bytes() const { return (rows_.capacity() + best_.capacity()) * sizeof(float); }

  // What an answer shows of a similarity, as Qdrant does.
  static float score(Distance distance, float similarity);

 private:
  const Distance distance_;
  const size_t dim_;
  const size_t count_;
  // Few rows lie one after the other; more in blocks of kMaxSimLanes, in each dimension after dimension, the last one filled up with zeros.
  std::vector<float> rows_;
  bool in_lanes_ = false;
  std::vector<float> best_;
};

// Stored rows as floats that MaxSimQuery compares with. Bytes under cosine are stored as they came, so they are normalised here.
void load_max_sim_rows(Distance distance, Datatype datatype, size_t dim, const void* stored, size_t count, float* out);

}  // namespace sealpoint
