// When segments are made, of what, and how they take the place of their sources.
#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "../core/status.h"
#include "index_impl.h"
#include "manifest.h"

namespace sealpoint {
namespace {

constexpr size_t kSegmentsMax = 8;
// Rows that are collected or swapped under one lock: well below a millisecond.
constexpr uint32_t kRowsAtOnce = 8192;
// A graph is worth its build from this part of the indexing threshold on.
constexpr uint64_t kGraphShare = 8;

std::string segment_name(uint64_t number) {
  char name[17];
  std::snprintf(name, sizeof(name), "%016" PRIx64, number);
  return std::string(name) + ".segment";
}

}  // namespace

// What a build reads.
struct VectorIndexImpl::Choice {
  std::vector<std::shared_ptr<Tail>> tails;
  std::vector<std::shared_ptr<Segment>> segments;
  uint64_t rows = 0;
  bool graph = false;
  bool empty() const { return tails.empty() && segments.empty(); }
};

std::unique_ptr<VectorIndex::Build> VectorIndex::begin_build(BuildKind kind, const GroupOf* group_of) {
  auto build = start_build(kind);
  if (build != nullptr) {
    while (collect_rows(*build, group_of)) {
    }
  }
  return build;
}

void VectorIndex::finish_build(Build& build, bool succeeded) {
  try {
    if (succeeded) publish(build);
  } catch (...) {
    (void)swap_rows(build, false);
    throw;
  }
  while (swap_rows(build, succeeded)) {
  }
}

uint64_t VectorIndexImpl::rows_max() const {
  const uint64_t kilobytes = config_.optimizer.segment_kb_max;
  constexpr uint64_t kRowsMax = 0x7fffffff;
  if (kilobytes == 0 || kilobytes > (uint64_t{1} << 50)) return kRowsMax;
  return std::min(kRowsMax, std::max<uint64_t>(1, kilobytes * 1024 / (config_.dim * sizeof(float))));
}

size_t VectorIndexImpl::segments_max() const {
  const size_t wanted = config_.optimizer.segments_max;
  return wanted == 0 ? kSegmentsMax : std::min(wanted, kSegmentsMax);
}

// Made under other settings, or with too many dead rows.
bool VectorIndexImpl::stale(const Segment& segment) const {
  const SegmentHeader& header = segment.file->header();
  if (segment.live == 0) return true;
  const double dead = static_cast<double>(header.rows - segment.live);
  if (header.rows >= config_.optimizer.vacuum_min_rows && dead > static_cast<double>(config_.optimizer.deleted_threshold) * header.rows) return true;
  if (segment.file->is_indexed()) {
    if (header.m != config_.m || header.ef_construct != config_.ef_construct) return true;
    const uint64_t fields = wanted_fields();
    if (fields != VectorIndexConfig::kUnknownFields && fields != segment.file->block_fields()) return true;
    if (segment.file->block_fields() != 0 && segment.file->block_m() != config_.payload_m) return true;
  }
  return !segment.file->codes().same_codes(config_.codes) || !segment.file->placement().same_segments(config_.placement);
}

// Waits for a graph, as the tail does.
bool VectorIndexImpl::unindexed(const Segment& segment) const { return indexes() && !segment.file->is_indexed(); }

uint64_t VectorIndexImpl::waiting_rows() const {
  uint64_t rows = 0;
  for (const auto& tail : tails_) rows += busy(tail->number) ? 0 : tail->live;
  for (const auto& segment : segments_) rows += !busy(segment->number) && unindexed(*segment) ? segment->live : 0;
  return rows;
}

bool VectorIndexImpl::too_many_segments() const {
  if (segments_.size() <= segments_max()) return false;
  std::vector<uint64_t> free;
  for (const auto& segment : segments_) {
    if (!busy(segment->number)) free.push_back(segment->live);
  }
  std::sort(free.begin(), free.end());
  return free.size() >= 2 && free[0] + free[1] <= rows_max();
}

bool VectorIndexImpl::build_pending() const {
  if (building_[static_cast<size_t>(BuildKind::kFull)]) return false;
  // As in Qdrant, a threshold of zero switches indexing off.
  if (config_.indexing_threshold_kb > 0 && kilobytes(waiting_rows()) > config_.indexing_threshold_kb) return true;
  return too_many_segments() ||
         std::any_of(segments_.begin(), segments_.end(), [&](const auto& segment) { return !busy(segment->number) && stale(*segment); });
}

bool VectorIndexImpl::wants_build() const { return config_.optimizer.threads != 0 && build_pending(); }

bool VectorIndexImpl::wants_build_when_idle() const {
  if (wants_build()) return true;
  if (config_.optimizer.threads == 0 || building_[static_cast<size_t>(BuildKind::kFull)] || config_.indexing_threshold_kb == 0) return false;
  return !segments_.empty() && kilobytes(waiting_rows()) * kGraphShare > config_.indexing_threshold_kb;
}

bool VectorIndexImpl::wants_cut() const {
  if (building_[static_cast<size_t>(BuildKind::kCut)]) return false;
  uint64_t rows = 0;
  for (const auto& tail : tails_) rows += busy(tail->number) ? 0 : tail->rows();
  return rows * config_.dim * sizeof(float) > config_.optimizer.tail_bytes_max;
}

VectorIndexImpl::Choice VectorIndexImpl::choose(BuildKind kind) const {
  Choice choice;
  const bool cut = kind == BuildKind::kCut;
  const bool indexing = config_.indexing_threshold_kb > 0;
  const uint64_t most = rows_max();
  uint64_t waiting = 0;
  auto fits = [&](uint64_t rows) { return choice.empty() || choice.rows + rows <= most; };
  auto take = [&](const std::shared_ptr<Segment>& segment) {
    if (!fits(segment->live)) return false;
    choice.segments.push_back(segment);
    choice.rows += segment->live;
    return true;
  };
  if (cut || indexing) {
    for (const auto& tail : tails_) {
      // Always the oldest ones, so that the order of the rest is that of time.
      if (busy(tail->number)) continue;
      if (!fits(tail->live)) break;
      choice.tails.push_back(tail);
      choice.rows += tail->live;
      waiting += tail->live;
    }
  }
  std::vector<std::shared_ptr<Segment>> rest;
  bool changes = waiting > 0;
  for (const auto& segment : segments_) {
    if (busy(segment->number)) continue;
    if (cut) {
      if (!segment->file->is_indexed()) rest.push_back(segment);
    } else if (stale(*segment) || (indexing && unindexed(*segment))) {
      changes = take(segment) || changes;
    } else if (indexing || segment->file->is_indexed() || !indexes() || too_many_segments()) {
      rest.push_back(segment);
    }
  }
  // Geometric: whatever is not much larger than what is merged anyway, so that a vector is rewritten only a logarithmic
  // number of times.
  std::sort(rest.begin(), rest.end(), [](const auto& a, const auto& b) { return a->live < b->live; });
  const size_t at_least = segments_.size() + (waiting > 0 ? 1 : 0) > segments_max() ? 2 : 0;
  for (const auto& segment : rest) {
    if (segment->live > 2 * choice.rows && choice.segments.size() >= at_least) break;
    if (!take(segment)) break;
  }
  // A lone sound segment, or nothing at all: nothing would change.
  if (!changes && choice.segments.size() < 2) return {};
  const bool had_graph = std::any_of(choice.segments.begin(), choice.segments.end(), [](const auto& segment) { return segment->file->is_indexed(); });
  choice.graph = !cut && indexes() && (had_graph || (indexing && kilobytes(choice.rows) * kGraphShare > config_.indexing_threshold_kb));
  return choice;
}

std::unique_ptr<VectorIndex::Build> VectorIndexImpl::start_build(BuildKind kind) {
  if (building_[static_cast<size_t>(kind)]) return nullptr;
  const Choice choice = choose(kind);
  if (choice.empty()) return nullptr;
  std::vector<BuildSource> sources;
  for (const auto& tail : choice.tails) sources.push_back({tail, nullptr, tail->number});
  for (const auto& segment : choice.segments) sources.push_back({nullptr, segment, segment->number});
  auto build = std::make_unique<SegmentBuild>(config_, kind, choice.graph, config_.dir + "/" + segment_name(next_file_), std::move(sources), choice.rows);
  ++next_file_;
  if (!choice.tails.empty() && choice.tails.back() == tails_.back()) add_tail();
  for (const BuildSource& source : build->sources()) parts_[source.number].busy = true;
  building_[static_cast<size_t>(kind)] = true;
  return build;
}

bool VectorIndexImpl::collect_rows(Build& generic, const GroupOf* group_of) const {
  auto& build = static_cast<SegmentBuild&>(generic);
  uint32_t left = kRowsAtOnce;
  while (build.source < build.sources().size() && left > 0) {
    const BuildSource& source = build.sources()[build.source];
    const uint32_t rows = source.tail ? source.tail->rows() : source.segment->file->rows();
    for (; build.next < rows && left > 0; ++build.next, --left) {
      const uint32_t slot = source.tail ? source.tail->slot(build.next) : source.segment->file->slot(build.next);
      if (slot >= locations_.size() || locations_[slot] != Location{source.number, build.next}) continue;
      build.add_row({slot, static_cast<uint32_t>(build.source), build.next, group_of == nullptr ? 0 : (*group_of)(slot)});
    }
    if (build.next < rows) break;
    ++build.source;
    build.next = 0;
  }
  return build.source < build.sources().size();
}

void VectorIndexImpl::publish(Build& generic) {
  auto& build = static_cast<SegmentBuild&>(generic);
  if (!build.done()) return;
  std::lock_guard lock(published_mutex_);
  std::vector<std::string> names = published_;
  for (const BuildSource& source : build.sources()) {
    if (source.segment) std::erase(names, source.segment->name());
  }
  if (build.has_file()) names.push_back(build.path().substr(build.path().rfind('/') + 1));
  write_manifest(config_.dir, names);
  published_ = std::move(names);
}

// The tails stay as they are, to be built another time; an empty new one is not worth keeping.
void VectorIndexImpl::put_back(const SegmentBuild& build) {
  for (const BuildSource& source : build.sources()) parts_[source.number].busy = false;
  if (tails_.size() > 1 && tails_.back()->live == 0 && !busy(tails_[tails_.size() - 2]->number)) drop_tail(tails_.size() - 1);
  building_[static_cast<size_t>(build.kind)] = false;
}

bool VectorIndexImpl::swap_rows(Build& generic, bool succeeded) {
  auto& build = static_cast<SegmentBuild&>(generic);
  if (!building_[static_cast<size_t>(build.kind)]) throw Error(ErrorKind::kInternal, "no build to finish");
  if (!succeeded || !build.done()) {
    put_back(build);
    return false;
  }
  if (!build.swapping) {
    build.swapping = true;
    build.next = 0;
    segments_.reserve(segments_.size() + 1);
    if (build.has_file()) {
      const uint32_t number = free_number();
      build.segment = std::make_shared<Segment>(number, build.take_file());
      parts_[number] = {nullptr, build.segment, true};
      segments_.push_back(build.segment);
    }
  }
  if (build.segment) {
    // Searches in between find each vector where its location says, in one of the two.
    const auto rows = static_cast<uint32_t>(build.rows().size());
    const uint32_t end = rows - build.next > kRowsAtOnce ? build.next + kRowsAtOnce : rows;
    for (; build.next < end; ++build.next) {
      const SourceRow& from = build.rows()[build.next];
      // Overwritten or removed meanwhile: dead from the start.
      const uint32_t source = build.sources()[from.source].number;
      if (from.slot >= locations_.size() || locations_[from.slot] != Location{source, from.row}) continue;
      Part& part = parts_[source];
      --(part.segment ? part.segment->live : part.tail->live);
      locations_[from.slot] = {build.segment->number, build.next};
      ++build.segment->live;
    }
    if (build.next < rows) return true;
    parts_[build.segment->number].busy = false;
  }
  for (const BuildSource& source : build.sources()) {
    if (source.segment) {
      // Unlinked when the last user is gone.
      const_cast<Segment&>(*source.segment).retired.store(true);
      std::erase_if(segments_, [&](const auto& segment) { return segment == source.segment; });
      parts_[source.number] = {};
    } else {
      for (size_t i = tails_.size(); i-- > 0;) {
        if (tails_[i] == source.tail) drop_tail(i);
      }
    }
  }
  building_[static_cast<size_t>(build.kind)] = false;
  return false;
}

}  // namespace sealpoint
