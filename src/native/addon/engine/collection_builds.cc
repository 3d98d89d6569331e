// How a collection's segments are built: in steps that hold its lock for less than a millisecond each, and sync nothing under it.
#include <chrono>

#include "collection.h"
#include "tail_cutter.h"

namespace sealpoint {

namespace {

// After a cut that failed, on a full disk for instance.
constexpr int64_t kCutDelayMs = 10'000;

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

bool Collection::wants_build(bool idle) const {
  std::shared_lock lock(state_mutex_);
  for (const auto& vectors : vectors_) {
    if (vectors->wants_build() || (idle && vectors->wants_build_when_idle())) return true;
  }
  return std::any_of(multi_.begin(), multi_.end(), [&](const MultiIndex& multi) { return idle ? multi.wants_build_when_idle() : multi.wants_build(); });
}

// True when something was built; otherwise there was nothing to do, or `error` tells why it failed.
bool Collection::build(size_t vector, const std::shared_ptr<VectorIndex>& vectors, VectorIndex::BuildKind kind, unsigned threads,
                       std::string& error) {
  std::unique_ptr<VectorIndex::Build> build;
  // The name may be deleted meanwhile, and its folder with it.
  const auto gone = [&] { return dropped_ || vectors_[vector] != vectors; };
  {
    std::unique_lock lock(state_mutex_);
    if (!gone()) build = vectors->start_build(kind);
  }
  if (build == nullptr) return false;
  bool succeeded = false;
  try {
    // A tenant's rows lie together, so that an exact scan of them reads on and on.
    const VectorIndex::GroupOf group_of = [this](uint32_t slot) { return indexes_->group_of(slot); };
    for (bool more = true; more;) {
      std::shared_lock lock(state_mutex_);
      more = vectors->collect_rows(*build, indexes_->has_groups() ? &group_of : nullptr);
    }
    if (const uint32_t min = build->block_rows_min(); min > 0) {
      std::vector<std::vector<uint32_t>> blocks;
      for (size_t field = 0, more = 1; more != 0; ++field) {
        std::shared_lock lock(state_mutex_);
        more = indexes_->blocks(record_.vectors[vector].all_blocks, field, min, [&](std::vector<uint32_t> slots) { blocks.push_back(std::move(slots)); }) ? 1 : 0;
      }
      build->set_blocks(std::move(blocks));
    }
    Booking room(budget_);
    room.grow(build->memory_bytes(), "the index build is postponed: it");
    // A segment must hold nothing that a power cut could undo: the operation's number would be given again, and the row be taken for its vector.
    store_.sync();
    store_.require_room(build->memory_bytes());
    succeeded = build->run(stop_builds_, threads);
    if (succeeded) {
      // Whoever deletes the name empties the folder, and waits here.
      std::lock_guard files(files_mutex_);
      {
        std::shared_lock lock(state_mutex_);
        succeeded = !gone();
      }
      if (succeeded) vectors->publish(*build);
    }
  } catch (const std::exception& failure) {
    succeeded = false;
    error = failure.what();
  }
  for (bool more = true; more;) {
    std::unique_lock lock(state_mutex_);
    more = vectors->swap_rows(*build, succeeded);
  }
  // Here, without the lock, what was replaced is unmapped and freed.
  build.reset();
  if (succeeded) {
    std::lock_guard writer(write_mutex_);
    std::shared_lock lock(state_mutex_);
    note_segments();
  }
  book_memory();
  return succeeded;
}

bool Collection::optimize(unsigned threads, bool idle) {
  bool built = false;
  for (size_t vector = 0;; ++vector) {
    std::shared_ptr<VectorIndex> vectors;
    {
      std::shared_lock lock(state_mutex_);
      if (vector >= vectors_.size()) break;
      // Blocks are known once the indexes are.
      if (restoring_ && record_.vectors[vector].payload_m > 0) continue;
      if (dropped_ || !(vectors_[vector]->wants_build() || (idle && vectors_[vector]->wants_build_when_idle()))) continue;
      vectors = vectors_[vector];
    }
    building_ = true;
    std::string error;
    built = build(vector, vectors, VectorIndex::BuildKind::kFull, threads, error) || built;
    building_ = false;
    std::lock_guard lock(error_mutex_);
    optimizer_error_ = error;
  }
  return optimize_multi(threads, idle) || built;
}

// Which fields make blocks of this vector's rows.
uint64_t Collection::block_fields(size_t vector) const {
  const VectorField& field = record_.vectors[vector];
  if (field.payload_m == 0 || field.sparse || field.multi || field.removed) return 0;
  return restoring_ ? VectorIndexConfig::kUnknownFields : indexes_->block_fields(field.all_blocks);
}

// [exclusive lock held] After every change of the payload indexes.
void Collection::configure_blocks() {
  for (size_t vector = 0; vector < vectors_.size(); ++vector) {
    if (record_.vectors[vector].payload_m > 0) vectors_[vector]->reconfigure(index_config(vector));
  }
}

void Collection::set_cutter(TailCutter* cutter) {
  cutter_ = cutter;
  if (tails_want_cut()) request_cut();
}

// [shared lock held]
bool Collection::tails_want_cut() const {
  return std::any_of(vectors_.begin(), vectors_.end(), [](const auto& vectors) { return vectors->wants_cut(); });
}

void Collection::request_cut() {
  if (cutter_ == nullptr || now_ms() < cut_after_ms_ || cut_requested_.exchange(true)) return;
  cutter_->post(weak_from_this());
}

void Collection::cut_tails() {
  cut_requested_ = false;
  for (size_t vector = 0;; ++vector) {
    std::shared_ptr<VectorIndex> vectors;
    {
      std::shared_lock lock(state_mutex_);
      if (vector >= vectors_.size()) break;
      if (dropped_ || !vectors_[vector]->wants_cut()) continue;
      vectors = vectors_[vector];
    }
    std::string error;
    if (!build(vector, vectors, VectorIndex::BuildKind::kCut, 1, error)) cut_after_ms_ = now_ms() + kCutDelayMs;
    ++changes_;
  }
}

}  // namespace sealpoint
