#include "max_sim.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels.h"

namespace sealpoint {

namespace {

// A block costs as much as this many rows compared one by one.
constexpr size_t kSingleRowsMax = 3;

void normalize_rows(Distance distance, Datatype datatype, size_t dim, float* rows, size_t count) {
  if (distance != Distance::kCosine || normalized(distance, datatype)) return;
  for (size_t row = 0; row < count; ++row) normalize(rows + row * dim, dim);
}

}  // namespace

MaxSimQuery::MaxSimQuery(Distance distance, Datatype datatype, size_t dim, const float* rows, size_t count)
    : distance_(distance), dim_(dim), count_(count) {
  std::vector<float> plain(rows, rows + count * dim);
  normalize_rows(distance, datatype, dim, plain.data(), count);
  if (count <= kSingleRowsMax) {
    rows_ = std::move(plain);
    return;
  }
  const size_t blocks = (count + kMaxSimLanes - 1) / kMaxSimLanes;
  in_lanes_ = true;
  rows_.resize(blocks * kMaxSimLanes * dim);
  for (size_t row = 0; row < count; ++row) {
    float* const lane = rows_.data() + row / kMaxSimLanes * kMaxSimLanes * dim + row % kMaxSimLanes;
    for (size_t d = 0; d < dim; ++d) lane[d * kMaxSimLanes] = plain[row * dim + d];
  }
}

float MaxSimQuery::similarity(const float* rows, size_t count, std::vector<float>& best_of_lanes) const {
  constexpr float kLeast = -std::numeric_limits<float>::infinity();
  const Kernels& kernel = kernels();
  float sum = 0;
  if (!in_lanes_) {
    for (size_t q = 0; q < count_; ++q) {
      const float* const query = rows_.data() + q * dim_;
      float best = kLeast;
      for (size_t r = 0; r < count; ++r) {
        const float* const row = rows + r * dim_;
        const float one = distance_ == Distance::kEuclid      ? -kernel.l2_f32(query, row, dim_)
                          : distance_ == Distance::kManhattan ? -kernel.l1_f32(query, row, dim_)
                                                              : kernel.dot_f32(query, row, dim_);
        best = one > best ? one : best;
      }
      sum += best;
    }
  } else {
    const size_t blocks = (count_ + kMaxSimLanes - 1) / kMaxSimLanes;
    best_of_lanes.assign(blocks * kMaxSimLanes, kLeast);
    kernel.best_rows(static_cast<uint32_t>(distance_), rows_.data(), blocks, dim_, rows, count, best_of_lanes.data());
    for (size_t q = 0; q < count_; ++q) sum += best_of_lanes[q];
  }
  // Overflow may end in NaN, which would break every order.
  return std::isnan(sum) ? kLeast : sum;
}

float MaxSimQuery::score(Distance distance, float similarity) {
  if (distance == Distance::kEuclid) return std::sqrt(std::fabs(similarity));
  return distance == Distance::kManhattan ? std::fabs(similarity) : similarity;
}

void load_max_sim_rows(Distance distance, Datatype datatype, size_t dim, const void* stored, size_t count, float* out) {
  load_values(datatype, stored, count * dim, out);
  normalize_rows(distance, datatype, dim, out, count);
}

}  // namespace sealpoint
