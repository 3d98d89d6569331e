// Reciprocal rank fusion (Cormack, Clarke, Büttcher, SIGIR 2009) and distribution-based score fusion, as Qdrant computes them.
#pragma once
#include <vector>

#include "scored.h"

namespace sealpoint {

// score = sum of 1 / ((rank + 1) / weight + k - 1), ranks from 0; a weight of 0 adds nothing. `weights` is empty or as long as `lists`.
std::vector<Scored> fuse_ranks(const std::vector<std::vector<Scored>>& lists, uint32_t k, const std::vector<float>& weights);

// Each list is scaled so that mean - 3 sigma is 0 and mean + 3 sigma is 1; a point's scores are added up.
std::vector<Scored> fuse_distributions(const std::vector<std::vector<Scored>>& lists);

}  // namespace sealpoint
