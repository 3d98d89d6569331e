// When graphs over multivectors are made, written down and taken into use: in steps that hold the collection's lock for a moment each.
#include <filesystem>

#include "../vector/manifest.h"
#include "../vector/multi_graph_file.h"
#include "../vector/segment_file.h"
#include "collection.h"

namespace sealpoint {

void Collection::configure_multi(size_t number) {
  multi_[number].configure(index_config_of(record_.vectors[number], number));
  multi_[number].keep_in_memory(record_.vectors[number].multi_in_memory());
}

// True when something was built; otherwise there was nothing to do, or `error` tells why it failed.
bool Collection::build_multi(size_t number, bool idle, unsigned threads, std::string& error) {
  std::shared_ptr<MultiGraphBuild> build;
  {
    std::unique_lock lock(state_mutex_);
    MultiIndex& multi = multi_[number];
    if (dropped_ || !(idle ? multi.wants_build_when_idle() : multi.wants_build())) return false;
    if (const uint32_t most = multi.config().optimizer.indexing_threads; most != 0) threads = std::min(threads, most);
    build = multi.start_build();
  }
  std::shared_ptr<const MultiGraph> graph;
  try {
    for (bool more = true; more;) {
      std::shared_lock lock(state_mutex_);
      more = multi_[number].collect_rows(*build, vector_versions_[number]);
    }
    Booking room(budget_);
    room.grow(build->memory_bytes(), "the index build is postponed: it");
    graph = build->run([&] { return stop_builds_.load(std::memory_order_relaxed) || dropped_.load(std::memory_order_relaxed); }, threads);
    if (graph != nullptr && !graph->rows.empty()) write_multi(number, *build, *graph);
  } catch (const std::exception& failure) {
    error = failure.what();
  }
  const bool succeeded = graph != nullptr;
  {
    std::unique_lock lock(state_mutex_);
    multi_[number].finish_build(*build, graph);
  }
  // What was replaced is freed here, without the lock.
  graph.reset();
  build.reset();
  book_memory();
  return succeeded;
}

std::string Collection::multi_graph_path(size_t number) const { return folder_ + "/" + std::to_string(number) + "/" + kMultiGraphName; }

// So that the next start need not make it again. One that cannot be written serves until then.
void Collection::write_multi(size_t number, const MultiGraphBuild& build, const MultiGraph& graph) {
  // Such a copy can be made again, and the file is in the clear.
  if (store_.cipher() != nullptr) return;
  try {
    const std::string bytes = encode_multi_graph(graph);
    // A file must hold nothing that a power cut could undo: the operation's number would be given again.
    store_.sync();
    store_.require_room(bytes.size());
    // Whoever deletes the name empties the folder, and waits here.
    std::lock_guard files(files_mutex_);
    {
      std::shared_lock lock(state_mutex_);
      if (dropped_ || !multi_[number].awaits(build)) return;
    }
    write_file_durably(multi_graph_path(number), bytes);
  } catch (const std::exception&) {
    // What an older file holds is still named by slot and version.
  }
}

// At a start, once all rows are there.
void Collection::load_multi(size_t number) {
  const std::string path = multi_graph_path(number);
  auto bytes = read_whole_file(path);
  if (!bytes) return;
  std::error_code ignored;
  if (!multi_[number].indexes()) {
    std::filesystem::remove(path, ignored);
    return;
  }
  auto file = decode_multi_graph(*bytes);
  bytes.reset();
  if (!file) {
    std::filesystem::remove(path, ignored);
    std::lock_guard lock(error_mutex_);
    lost_states_.push_back(std::to_string(cid_) + "/" + std::to_string(number) + "/" + kMultiGraphName + ": fails its checksum");
    return;
  }
  (void)multi_[number].adopt_graph(std::move(*file), vector_versions_[number]);
}

bool Collection::optimize_multi(unsigned threads, bool idle) {
  bool built = false;
  for (size_t number = 0;; ++number) {
    {
      std::shared_lock lock(state_mutex_);
      if (number >= multi_.size()) break;
      if (dropped_ || !(idle ? multi_[number].wants_build_when_idle() : multi_[number].wants_build())) continue;
    }
    building_ = true;
    std::string error;
    built = build_multi(number, idle, threads, error) || built;
    building_ = false;
    std::lock_guard lock(error_mutex_);
    optimizer_error_ = error;
  }
  return built;
}

}  // namespace sealpoint
