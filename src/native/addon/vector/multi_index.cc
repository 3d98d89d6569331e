#include "multi_index.h"

#include <algorithm>

namespace sealpoint {

namespace {

// What an allocation costs beside its bytes.
constexpr size_t kAllocationBytes = 32;
// Rows that are collected under one lock: well below a millisecond.
constexpr uint32_t kRowsAtOnce = 4096;
// An addition to a graph begins by reading all of it, so under a load it waits for this part of it.
constexpr uint64_t kTailShare = 20;
// In a quiet moment it is worth it from this part of the indexing threshold on.
constexpr uint64_t kIdleShare = 8;
// Of a file's rows, that may be no slot's own any more: their places in the graph are bridged, which is worse than one that is made anew.
constexpr double kLostMax = 0.2;
// A build inserts at least so many rows, or this part of the graph that it adds to, and what takes so long on one core otherwise.
constexpr size_t kBuildRowsMin = 500;
constexpr size_t kGrowth = 4;
constexpr double kBuildSeconds = 40;
// Measured at ef_construct 100 (check/multi_graph_check.cc, "time").
constexpr double kComparisonsPerRow = 7000, kProductsPerSecond = 3e10;

}  // namespace

void MultiIndex::configure(const VectorIndexConfig& config) {
  config_ = config;
  // FAISS draws levels with 1 / ln(m), which needs two.
  if (config_.m != 0) config_.m = std::clamp(config_.m, 2u, 1024u);
  config_.ef_construct = std::clamp(config_.ef_construct, 4u, 1u << 20);
  if (config_.m > 0) return;
  abandon_build();
  graph_.reset();
  since_graph_ = {};
}

void MultiIndex::keep_in_memory(bool kept) {
  kept_ = kept;
  if (kept) return;
  complete_ = false;
  abandon_build();
  graph_.reset();
  since_graph_ = {};
  std::vector<Slot>().swap(slots_);
  bytes_ = values_ = count_ = 0;
}

void MultiIndex::abandon_build() {
  if (build_ != nullptr) build_->abandon();
  build_.reset();
  since_build_ = {};
}

void MultiIndex::note_removed(Since& since, uint32_t slot, const Slot& row) {
  if (since.slots.test(slot)) {
    --since.rows;
    since.values -= row.size - 4;
  } else {
    since.slots.set(slot);
  }
}

void MultiIndex::upsert(uint32_t slot, std::string_view row) {
  remove(slot);
  if (!kept_) return;
  if (slot >= slots_.size()) slots_.resize(std::max(slot + size_t{1}, slots_.size() + slots_.size() / 8));
  auto bytes = std::make_shared_for_overwrite<char[]>(row.size());
  std::memcpy(bytes.get(), row.data(), row.size());
  slots_[slot] = {std::move(bytes), row.size()};
  bytes_ += row.size() + kAllocationBytes;
  values_ += row.size() - 4;
  ++count_;
  const auto note = [&](Since& since) {
    since.slots.set(slot);
    ++since.rows;
    since.values += row.size() - 4;
  };
  if (graph_ != nullptr) note(since_graph_);
  if (build_ != nullptr) note(since_build_);
}

void MultiIndex::remove(uint32_t slot) {
  if (slot >= slots_.size() || slots_[slot].bytes == nullptr) return;
  if (graph_ != nullptr) note_removed(since_graph_, slot, slots_[slot]);
  if (build_ != nullptr) note_removed(since_build_, slot, slots_[slot]);
  bytes_ -= slots_[slot].size + kAllocationBytes;
  values_ -= slots_[slot].size - 4;
  --count_;
  slots_[slot] = {};
}

size_t MultiIndex::graph_bytes() const {
  if (graph_ == nullptr) return 0;
  const size_t own = values_ - since_graph_.values + graph_count() * 4;
  const size_t dead = graph_->rows.size() - graph_count();
  return graph_->memory_bytes() + graph_->row_bytes - std::min(graph_->row_bytes, own) + dead * kAllocationBytes + since_graph_.slots.words().capacity() * 8;
}

// Made under other settings, or with too many rows that are no slot's own any more: adding to it would not do.
bool MultiIndex::rebuilds() const {
  if (graph_ == nullptr || graph_->m != config_.m || graph_->ef_construct != config_.ef_construct || graph_count() == 0) return true;
  const size_t rows = graph_->rows.size(), dead = rows - graph_count();
  return rows >= config_.optimizer.vacuum_min_rows && static_cast<double>(dead) > static_cast<double>(config_.optimizer.deleted_threshold) * static_cast<double>(rows);
}

bool MultiIndex::stale(bool idle) const {
  if (!indexes()) return false;
  if (graph_ != nullptr && rebuilds()) return true;
  const uint64_t tail = tail_kilobytes();
  if (tail > config_.indexing_threshold_kb && (idle || tail > (kilobytes() - std::min(kilobytes(), tail)) / kTailShare)) return true;
  return idle && graph_ != nullptr && tail * kIdleShare > config_.indexing_threshold_kb;
}

uint64_t MultiIndex::build_room() const {
  if (!wants_build()) return 0;
  // The values as floats, twice, and the links.
  return 2 * values_ / value_bytes(config_.datatype) * sizeof(float) + count_ * (24 * uint64_t{config_.m} + 256);
}

std::shared_ptr<MultiGraphBuild> MultiIndex::start_build() {
  if (!wants_build_when_idle()) return nullptr;
  build_ = std::make_shared<MultiGraphBuild>(MultiField{config_.distance, config_.datatype, config_.dim}, config_.m, config_.ef_construct);
  if (!rebuilds()) build_->extend(graph_, since_graph_.slots);
  if (graph_ == nullptr || build_->extends()) {
    build_->rows_max = std::max({kBuildRowsMin, build_->extends() ? graph_->rows.size() / kGrowth : 0, affordable_rows()});
  } else {
    // What takes the place of a graph is to be no smaller.
    build_->rows_max = ~size_t{0};
  }
  since_build_ = {};
  return build_;
}

// That about kBuildSeconds of one core insert.
size_t MultiIndex::affordable_rows() const {
  const size_t vector_bytes = config_.dim * value_bytes(config_.datatype);
  const double vectors = static_cast<double>(std::min(values_ / std::max<size_t>(1, count_ * vector_bytes) + 1, MultiGraphBuild::stand_ins_max(config_.dim)));
  const double products = vectors * vectors * static_cast<double>(config_.dim) * kComparisonsPerRow;
  return static_cast<size_t>(kBuildSeconds * kProductsPerSecond / products);
}

bool MultiIndex::collect_rows(MultiGraphBuild& build, const std::vector<uint64_t>& versions) const {
  // Dropped meanwhile.
  if (!awaits(build)) return false;
  uint32_t& next = build.next;
  const auto end = static_cast<uint32_t>(std::min(slots_.size(), next + size_t{kRowsAtOnce}));
  for (; next < end && build.added() < build.rows_max; ++next) {
    // What was written since the build began is not the graph's to find.
    if (slots_[next].bytes == nullptr || since_build_.slots.test(next)) continue;
    if (build.extends() && !build.written().test(next)) continue;
    build.add(next, versions[next], slots_[next].bytes);
  }
  return next < slots_.size() && build.added() < build.rows_max;
}

void MultiIndex::finish_build(const MultiGraphBuild& build, std::shared_ptr<const MultiGraph>& graph) {
  if (!awaits(build)) return;
  build_.reset();
  if (graph != nullptr) {
    graph_.swap(graph);
    since_graph_ = std::move(since_build_);
    for (size_t slot = build.next; slot < slots_.size(); ++slot) {
      const auto left = static_cast<uint32_t>(slot);
      if (slots_[slot].bytes == nullptr || since_graph_.slots.test(left) || (build.extends() && !build.written().test(left))) continue;
      since_graph_.slots.set(left);
      ++since_graph_.rows;
      since_graph_.values += slots_[slot].size - 4;
    }
    // All rows went while they were collected.
    if (graph_->rows.empty()) {
      graph_.reset();
      since_graph_ = {};
    }
  }
  since_build_ = {};
}

bool MultiIndex::adopt_graph(MultiGraphFile file, const std::vector<uint64_t>& versions) {
  if (!indexes() || graph_ != nullptr || build_ != nullptr) return false;
  auto graph = std::make_shared<MultiGraph>();
  graph->field = {config_.distance, config_.datatype, config_.dim};
  graph->m = file.m;
  graph->ef_construct = file.ef_construct;
  Bitset taken, lost;
  for (uint32_t row = 0; row < file.slots.size(); ++row) {
    const uint32_t slot = file.slots[row];
    const bool own = slot < slots_.size() && slots_[slot].bytes != nullptr && slot < versions.size() && versions[slot] == file.versions[row] && !taken.test(slot);
    if (!own) {
      lost.set(row);
      continue;
    }
    taken.set(slot);
    graph->slots.push_back(slot);
    graph->versions.push_back(file.versions[row]);
    graph->rows.push_back(slots_[slot].bytes);
    graph->row_bytes += slots_[slot].size;
  }
  const size_t gone = file.slots.size() - graph->slots.size();
  if (graph->slots.empty() || static_cast<double>(gone) > kLostMax * static_cast<double>(file.slots.size())) return false;
  graph->graph = gone == 0 ? std::move(file.graph) : without_rows(file.graph, file.m, static_cast<uint32_t>(file.slots.size()), lost);
  for (uint32_t slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot].bytes == nullptr || taken.test(slot)) continue;
    since_graph_.slots.set(slot);
    ++since_graph_.rows;
    since_graph_.values += slots_[slot].size - 4;
  }
  graph_ = std::move(graph);
  return true;
}

}  // namespace sealpoint
