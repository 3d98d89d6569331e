// A graph over multivectors, made by MaxSim between them. What two of them cost grows with the product of their sizes, and each insertion compares
// thousands of pairs; so points with many vectors are stood for by the centres of groups of these while the graph is made. Walks compare with all.
#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include "../core/status.h"
#include "kernels.h"
#include "multi_graph.h"

namespace sealpoint {

namespace {

// Vectors that stand for a point at most, and products of values that two points may cost.
constexpr size_t kStandInsMax = 32;
constexpr size_t kProductsMax = size_t{1} << 18;
constexpr int kGroupingRounds = 3;
// Beside the links: lock, level, offset, order.
constexpr size_t kRowBytes = 64;

float apart(Distance distance, const float* a, const float* b, size_t dim) {
  return distance == Distance::kManhattan ? kernels().l1_f32(a, b, dim) : kernels().l2_f32(a, b, dim);
}

// The centres of `wanted` groups of rows, by Lloyd's method from rows that lie evenly among them.
std::vector<float> centres_of(const MultiField& field, const float* rows, size_t count, size_t wanted) {
  const size_t dim = field.dim;
  std::vector<float> centres(wanted * dim), sums(wanted * dim);
  std::vector<size_t> sizes(wanted);
  for (size_t i = 0; i < wanted; ++i) std::memcpy(centres.data() + i * dim, rows + i * count / wanted * dim, dim * sizeof(float));
  for (int round = 0; round < kGroupingRounds; ++round) {
    std::fill(sums.begin(), sums.end(), 0.0f);
    std::fill(sizes.begin(), sizes.end(), 0);
    for (size_t row = 0; row < count; ++row) {
      const float* const values = rows + row * dim;
      size_t nearest = 0;
      float least = std::numeric_limits<float>::infinity();
      for (size_t i = 0; i < wanted; ++i) {
        const float one = apart(field.distance, values, centres.data() + i * dim, dim);
        if (one < least) least = one, nearest = i;
      }
      ++sizes[nearest];
      for (size_t d = 0; d < dim; ++d) sums[nearest * dim + d] += values[d];
    }
    for (size_t i = 0; i < wanted; ++i) {
      if (sizes[i] == 0) continue;
      for (size_t d = 0; d < dim; ++d) centres[i * dim + d] = sums[i * dim + d] / static_cast<float>(sizes[i]);
      if (field.distance == Distance::kCosine) normalize(centres.data() + i * dim, dim);
    }
  }
  return centres;
}

// A point while the graph is made: as a query, and as what queries are compared with.
struct StandIn {
  std::optional<MaxSimQuery> query;
  std::vector<float> own;
  const float* rows = nullptr;
  size_t count = 0;

  void set(const MultiField& field, const char* row) {
    std::vector<float> room;
    count = multi_row_count(row);
    rows = field.floats(row, room);
    if (const size_t most = MultiGraphBuild::stand_ins_max(field.dim); count > most) {
      own = centres_of(field, rows, count, most);
      count = most;
      rows = own.data();
    } else if (field.datatype != Datatype::kFloat32) {
      own.assign(rows, rows + count * field.dim);
      rows = own.data();
    }
    query.emplace(field.distance, field.datatype, field.dim, rows, count);
  }
};

// As Qdrant does, a point asks as a query would. Its mean over the point's vectors is what is compared, or points with many would be far from all.
class MultiDistance final : public RowDistance {
 public:
  MultiDistance(const std::vector<StandIn>& points, const std::function<bool()>& cancelled) : points_(points), cancelled_(cancelled) {}
  void set_row(uint32_t row) override { row_ = row; }
  float to(uint32_t row) override { return between(row_, row); }
  float between(uint32_t from, uint32_t to) override {
    // What is left of an insertion that nobody wants any more is done without a comparison.
    if (cancelled_()) return std::numeric_limits<float>::max();
    const StandIn& asking = points_[from];
    const float similarity = asking.query->similarity(points_[to].rows, points_[to].count, best_);
    return -similarity / static_cast<float>(asking.count);
  }

 private:
  const std::vector<StandIn>& points_;
  const std::function<bool()>& cancelled_;
  uint32_t row_ = 0;
  std::vector<float> best_;
};

}  // namespace

size_t MultiGraphBuild::stand_ins_max(size_t dim) {
  const auto most = static_cast<size_t>(std::sqrt(static_cast<double>(kProductsMax) / static_cast<double>(dim)));
  return std::clamp(most, size_t{1}, kStandInsMax);
}

size_t MultiGraphBuild::memory_bytes() const {
  size_t rows = 0, bytes = 0;
  const size_t most = stand_ins_max(field_.dim);
  const auto count = [&](const std::vector<MultiBytes>& of) {
    rows += of.size();
    for (const MultiBytes& row : of) {
      const size_t own = multi_row_count(row.get()), kept = std::min(own, most);
      const size_t lanes = (kept + kMaxSimLanes - 1) / kMaxSimLanes * kMaxSimLanes;
      const bool copied = own > most || field_.datatype != Datatype::kFloat32;
      bytes += (lanes + (copied ? kept : 0)) * field_.dim * sizeof(float) + sizeof(StandIn);
    }
  };
  if (base_ != nullptr) count(base_->rows);
  count(rows_);
  // FAISS's links and our own.
  return bytes + rows * (4 * size_t{m_} * sizeof(uint32_t) + sizeof(MultiBytes) + kRowBytes);
}

std::shared_ptr<const MultiGraph> MultiGraphBuild::run(const std::function<bool()>& cancelled, unsigned threads) {
  const std::function<bool()> ends = [&] { return abandoned_.load(std::memory_order_relaxed) || cancelled(); };
  auto made = std::make_shared<MultiGraph>();
  made->field = field_;
  made->m = m_;
  made->ef_construct = ef_construct_;
  if (base_ != nullptr) {
    made->slots = base_->slots;
    made->rows = base_->rows;
    made->versions = base_->versions;
    made->dead = base_->dead;
    for (uint32_t row = 0; row < base_->slots.size(); ++row) {
      if (written_.test(base_->slots[row])) made->dead.set(row);
    }
  }
  made->slots.insert(made->slots.end(), slots_.begin(), slots_.end());
  made->versions.insert(made->versions.end(), versions_.begin(), versions_.end());
  made->rows.insert(made->rows.end(), std::make_move_iterator(rows_.begin()), std::make_move_iterator(rows_.end()));
  rows_.clear();
  if (made->rows.empty()) return made;
  for (const MultiBytes& row : made->rows) made->row_bytes += 4 + multi_row_count(row.get()) * field_.vector_bytes();

  std::vector<StandIn> points(made->rows.size());
  std::atomic<size_t> next{0};
  std::exception_ptr failure;
  std::mutex failure_mutex;
  const auto prepare = [&] {
    try {
      for (;;) {
        const size_t i = next.fetch_add(1, std::memory_order_relaxed);
        if (i >= points.size() || ends()) return;
        points[i].set(field_, made->rows[i].get());
      }
    } catch (...) {
      next.store(points.size());
      std::lock_guard guard(failure_mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  others.reserve(threads);
  try {
    for (unsigned i = 1; i < threads; ++i) others.emplace_back(prepare);
  } catch (const std::system_error&) {
    // Fewer threads than wished for do it all.
  }
  prepare();
  for (auto& thread : others) thread.join();
  if (failure) throw Error(ErrorKind::kExhausted, "no memory for building a graph");
  if (ends()) return nullptr;

  GraphPlan plan{static_cast<uint32_t>(made->rows.size()), m_, ef_construct_, nullptr, 0};
  if (base_ != nullptr && !base_->rows.empty()) {
    plan.base = &base_->graph;
    plan.base_rows = static_cast<uint32_t>(base_->rows.size());
  }
  const auto distance_of_thread = [&] { return std::make_unique<MultiDistance>(points, ends); };
  if (!build_graph(plan, threads, ends, distance_of_thread, made->graph)) return nullptr;
  return made;
}

}  // namespace sealpoint
