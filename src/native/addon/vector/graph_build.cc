#include "graph_build.h"

#include <faiss/impl/AuxIndexStructures.h>
#include <faiss/impl/DistanceComputer.h>
#include <faiss/impl/HNSW.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <limits>
#include <mutex>
#include <random>
#include <string>
#include <system_error>
#include <thread>

#include "../core/status.h"
#include "kernels.h"

// FAISS's object files are not split into sections, so its flat search comes along with the graph and asks for BLAS.
// Nothing here reaches it; this stands in for a library of several megabytes.
extern "C" __attribute__((visibility("hidden"))) int sgemm_() { std::abort(); }

// FAISS's archive was compiled against libgomp: another OpenMP's larger lock would shear the array that both sides use.
static_assert(sizeof(omp_lock_t) == 4);

namespace sealpoint {
namespace {

class CodeDistance final : public faiss::DistanceComputer {
 public:
  explicit CodeDistance(const GraphInput& input) : input_(input), kernels_(kernels()), query_(input.code_bytes) {}

  void set_row(uint32_t row) {
    row_ = row;
    const uint8_t* code = at(row);
    for (size_t i = 0; i < query_.size(); ++i) query_[i] = static_cast<int8_t>(code[i] ^ 0x80);
  }
  void set_query(const float*) override {}

  float operator()(idx_t i) override {
    if (input_.distance == Distance::kManhattan) {
      return static_cast<float>(kernels_.sad(at(i), at(row_), input_.code_bytes));
    }
    return finish(i, row_, kernels_.dot(at(i), query_.data(), input_.biases[row_], input_.code_bytes));
  }
  float symmetric_dis(idx_t i, idx_t j) override {
    if (input_.distance == Distance::kManhattan) {
      return static_cast<float>(kernels_.sad(at(i), at(j), input_.code_bytes));
    }
    return finish(i, j, kernels_.dot_codes(at(i), at(j), input_.biases[j], input_.code_bytes));
  }

 private:
  const uint8_t* at(idx_t row) const { return input_.codes + static_cast<size_t>(row) * input_.code_bytes; }
  float finish(idx_t i, idx_t j, int32_t dot) const {
    if (input_.distance != Distance::kEuclid) return -static_cast<float>(dot);
    return static_cast<float>(static_cast<int64_t>(input_.norms[i]) + input_.norms[j] - 2 * static_cast<int64_t>(dot));
  }

  const GraphInput& input_;
  const Kernels& kernels_;
  std::vector<int8_t> query_;
  uint32_t row_ = 0;
};

// OpenMP's lock type without an OpenMP team: threads are our own.
class Locks {
 public:
  explicit Locks(size_t count) : locks_(count) {
    for (auto& lock : locks_) omp_init_lock(&lock);
  }
  ~Locks() {
    for (auto& lock : locks_) omp_destroy_lock(&lock);
  }
  std::vector<omp_lock_t>& all() { return locks_; }

 private:
  std::vector<omp_lock_t> locks_;
};

void export_graph(const faiss::HNSW& hnsw, uint32_t rows, uint32_t m, Graph& graph) {
  graph.entry = static_cast<uint32_t>(hnsw.entry_point);
  graph.max_level = static_cast<uint32_t>(hnsw.max_level);
  graph.links.resize(static_cast<size_t>(rows) * 2 * m);
  for (uint32_t row = 0; row < rows; ++row) {
    const auto* from = hnsw.neighbors.data() + hnsw.offsets[row];
    std::copy(from, from + 2 * m, graph.links.begin() + static_cast<ptrdiff_t>(row) * 2 * m);  // -1 becomes kNoRow
    const uint32_t level = static_cast<uint32_t>(hnsw.levels[row] - 1);
    if (level == 0) continue;
    graph.upper_nodes.push_back({row, level, graph.upper_links.size()});
    graph.upper_links.insert(graph.upper_links.end(), from + 2 * m, from + 2 * m + static_cast<ptrdiff_t>(level) * m);
  }
}

// What export_graph made, before others are added to it. The levels of all rows are known.
}  // namespace

uint32_t graph_levels_max(uint32_t m) {
  // FAISS has a chance for the lowest level and for each above it.
  return m < 2 ? 0 : static_cast<uint32_t>(faiss::HNSW(static_cast<int>(m)).assign_probas.size()) - 1;
}

namespace {

void import_graph(const Graph& graph, uint32_t rows, uint32_t m, faiss::HNSW& hnsw) {
  for (uint32_t row = 0; row < rows; ++row) {
    const auto* from = graph.links.data() + static_cast<size_t>(row) * 2 * m;
    std::copy(from, from + 2 * m, hnsw.neighbors.begin() + static_cast<ptrdiff_t>(hnsw.offsets[row]));  // kNoRow becomes -1
  }
  for (const UpperNode& node : graph.upper_nodes) {
    const auto* from = graph.upper_links.data() + node.first;
    std::copy(from, from + static_cast<size_t>(node.level) * m, hnsw.neighbors.begin() + static_cast<ptrdiff_t>(hnsw.offsets[node.row] + 2 * m));
  }
  hnsw.entry_point = static_cast<int>(graph.entry);
  hnsw.max_level = static_cast<int>(graph.max_level);
}

class RowDistanceComputer final : public faiss::DistanceComputer {
 public:
  explicit RowDistanceComputer(std::unique_ptr<RowDistance> distance) : distance_(std::move(distance)) {}
  void set_row(uint32_t row) { distance_->set_row(row); }
  void set_query(const float*) override {}
  float operator()(idx_t i) override { return distance_->to(static_cast<uint32_t>(i)); }
  float symmetric_dis(idx_t i, idx_t j) override { return distance_->between(static_cast<uint32_t>(i), static_cast<uint32_t>(j)); }

 private:
  std::unique_ptr<RowDistance> distance_;
};

template <typename MakeDistance, typename Cancelled>
bool build(const GraphPlan& plan, unsigned threads, const Cancelled& cancelled, const MakeDistance& make_distance, Graph& graph) {
  if (plan.rows == 0 || plan.rows > static_cast<uint32_t>(std::numeric_limits<int32_t>::max()) || plan.base_rows > plan.rows) {
    throw Error(ErrorKind::kInternal, "a graph of " + std::to_string(plan.rows) + " rows cannot be built");
  }
  faiss::HNSW hnsw(static_cast<int>(plan.m));
  hnsw.efConstruction = static_cast<int>(plan.ef_construct);
  const uint32_t first = plan.base == nullptr ? 0 : plan.base_rows;
  if (first > 0) {
    hnsw.levels.assign(first, 1);
    for (const UpperNode& node : plan.base->upper_nodes) hnsw.levels[node.row] = static_cast<int>(node.level) + 1;
    hnsw.prepare_level_tab(first, true);
    import_graph(*plan.base, first, plan.m, hnsw);
    // Or each addition would draw the levels that the first rows have.
    hnsw.rng = faiss::RandomGenerator(first);
  }
  if (first == plan.rows) {
    export_graph(hnsw, plan.rows, plan.m, graph);
    return true;
  }
  hnsw.prepare_level_tab(plan.rows - first);

  // The highest first, so that the entry point never changes, and shuffled, so that neighbours in the data are not
  // inserted at once. Slots come in order of time, which clusters by topic more often than not.
  std::vector<uint32_t> order(plan.rows - first);
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = first + i;
  std::mt19937 random(plan.rows);
  std::shuffle(order.begin(), order.end(), random);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return hnsw.levels[a] > hnsw.levels[b]; });

  Locks locks(plan.rows);
  std::atomic<size_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr failure;
  std::mutex failure_mutex;
  auto work = [&](size_t limit) {
    try {
      auto distance = make_distance();
      faiss::VisitedTable visited(static_cast<int>(plan.rows));
      for (;;) {
        const size_t i = next.fetch_add(1, std::memory_order_relaxed);
        if (i >= limit || failed.load(std::memory_order_relaxed) || cancelled()) return;
        const uint32_t row = order[i];
        distance.set_row(row);
        hnsw.add_with_locks(distance, hnsw.levels[row] - 1, static_cast<int>(row), locks.all(), visited);
      }
    } catch (...) {
      std::lock_guard guard(failure_mutex);
      if (!failure) failure = std::current_exception();
      failed.store(true);
    }
  };

  work(1);  // the entry point stands before there is anybody to race with
  next.store(1);
  std::vector<std::thread> others;
  others.reserve(threads);
  try {
    for (unsigned i = 1; i < threads; ++i) others.emplace_back(work, order.size());
  } catch (const std::system_error&) {
    // Fewer threads than wished for: those that started, and this one, do it all.
  }
  work(order.size());
  for (auto& thread : others) thread.join();
  if (failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const std::bad_alloc&) {
      throw Error(ErrorKind::kExhausted, "no memory for building a graph");
    } catch (const std::exception& error) {
      throw Error(ErrorKind::kInternal, std::string("building a graph failed: ") + error.what());
    }
  }
  if (cancelled()) return false;
  export_graph(hnsw, plan.rows, plan.m, graph);
  return true;
}

}  // namespace

bool build_graph(const GraphInput& input, unsigned threads, const std::atomic<bool>& cancel, Graph& graph) {
  const GraphPlan plan{input.rows, input.m, input.ef_construct, nullptr, 0};
  return build(plan, threads, [&] { return cancel.load(std::memory_order_relaxed); }, [&] { return CodeDistance(input); }, graph);
}

bool build_graph(const GraphPlan& plan, unsigned threads, const std::function<bool()>& cancelled,
                 const std::function<std::unique_ptr<RowDistance>()>& distance_of_thread, Graph& graph) {
  return build(plan, threads, cancelled, [&] { return RowDistanceComputer(distance_of_thread()); }, graph);
}

}  // namespace sealpoint
