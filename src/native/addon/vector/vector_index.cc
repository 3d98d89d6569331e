#include "vector_index.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "../core/status.h"
#include "index_impl.h"
#include "manifest.h"

namespace sealpoint {
namespace {

constexpr const char* kSegmentEnding = ".segment";

bool is_segment_name(const std::string& name) {
  const size_t ending = std::strlen(kSegmentEnding);
  return name.size() == 16 + ending && name.compare(16, ending, kSegmentEnding) == 0 &&
         name.find_first_not_of("0123456789abcdef") == 16;
}

std::vector<std::string> list_files(const std::string& dir) {
  std::vector<std::string> names;
  DIR* folder = ::opendir(dir.c_str());
  if (folder == nullptr) throw Error(ErrorKind::kUnavailable, "cannot open " + dir + ": " + std::strerror(errno));
  while (const dirent* entry = ::readdir(folder)) {
    struct stat info;
    if (::lstat((dir + "/" + entry->d_name).c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    names.push_back(entry->d_name);
  }
  ::closedir(folder);
  std::sort(names.begin(), names.end());
  return names;
}

VectorIndexConfig checked(VectorIndexConfig config) {
  if (config.dim == 0 || config.dim > 65536) throw Error(ErrorKind::kBadInput, "dim must be 1 to 65536", "dim");
  if (config.distance < Distance::kCosine || config.distance > Distance::kManhattan) {
    throw Error(ErrorKind::kBadInput, "unknown distance", "distance");
  }
  if (config.datatype < Datatype::kFloat32 || config.datatype > Datatype::kFloat16) {
    throw Error(ErrorKind::kBadInput, "unknown datatype", "datatype");
  }
  const CodeConfig& codes = config.codes;
  if (codes.kind > CodeKind::kProduct || codes.group == 0 || codes.group > kCodeGroupMax ||
      (codes.query_bits != 1 && codes.query_bits != 4 && codes.query_bits != 8) || !(codes.quantile >= 0 && codes.quantile <= 1)) {
    throw Error(ErrorKind::kBadInput, "unknown quantization", "quantization_config");
  }
  // FAISS draws levels with 1 / ln(m), which needs two.
  if (config.m != 0) config.m = std::min(std::max(config.m, 2u), 1024u);
  if (config.payload_m != 0) config.payload_m = std::min(std::max(config.payload_m, 2u), 1024u);
  config.ef_construct = std::min(std::max(config.ef_construct, 4u), 1u << 20);
  return config;
}

}  // namespace

std::unique_ptr<VectorIndex> VectorIndex::open(const VectorIndexConfig& config) {
  auto index = std::make_unique<VectorIndexImpl>(config);
  index->load();
  return index;
}

VectorIndexImpl::VectorIndexImpl(const VectorIndexConfig& config) : config_(checked(config)) { add_tail(); }

uint32_t VectorIndexImpl::free_number() {
  for (uint32_t i = 0; i < parts_.size(); ++i) {
    if (!parts_[i].tail && !parts_[i].segment) return i;
  }
  parts_.emplace_back();
  return static_cast<uint32_t>(parts_.size() - 1);
}

void VectorIndexImpl::add_tail() {
  const uint32_t number = free_number();
  auto tail = std::make_shared<Tail>(number, config_.dim);
  parts_[number].tail = tail;
  tails_.push_back(std::move(tail));
}

void VectorIndexImpl::drop_tail(size_t index) {
  parts_[tails_[index]->number] = {};
  tails_.erase(tails_.begin() + static_cast<ptrdiff_t>(index));
}

void VectorIndexImpl::load() {
  std::vector<std::string> names;
  const std::vector<std::string> files = list_files(config_.dir);
  const ManifestState state = read_manifest(config_.dir, names);
  const bool unlisted = state == ManifestState::kMissing && std::any_of(files.begin(), files.end(), is_segment_name);
  if (state == ManifestState::kDamaged || unlisted) {
    // Rows prove by slot and version what they are, so any sound file is as good as a listed one.
    damaged_.push_back(std::string(kManifestName) + (unlisted ? ": is missing" : ": fails its checksum"));
    names.clear();
    std::copy_if(files.begin(), files.end(), std::back_inserter(names), is_segment_name);
  }
  if (state == ManifestState::kMissing && !unlisted && config_.has_manifest) damaged_.push_back(std::string(kManifestName) + kAllMissing);
  for (const std::string& name : names) {
    if (is_segment_name(name)) {
      load_segment(name);
    } else {
      damaged_.push_back(name + ": not a segment's name");
    }
  }
  for (const std::string& file : files) {
    if (!is_segment_name(file)) continue;
    next_file_ = std::max<uint64_t>(next_file_, std::stoull(file.substr(0, 16), nullptr, 16) + 1);
  }
  // First the manifest, then the files: a crash in between leaves leftovers, not holes.
  const std::vector<std::string> kept = segment_names();
  if (!damaged_.empty()) write_manifest(config_.dir, kept);
  published_ = kept;
  const std::set<std::string> known(kept.begin(), kept.end());
  for (const std::string& file : files) {
    if (file != kManifestName && file != kMultiGraphName && known.count(file) == 0) ::unlink((config_.dir + "/" + file).c_str());
  }
}

void VectorIndexImpl::load_segment(const std::string& name) {
  std::string why;
  auto file = SegmentFile::open(config_.dir + "/" + name, config_, why);
  if (!file) {
    damaged_.push_back(name + ": " + why);
    return;
  }
  const uint32_t number = free_number();
  auto segment = std::make_shared<Segment>(number, std::move(file));
  parts_[number].segment = segment;
  segments_.push_back(std::move(segment));
}

std::vector<std::string> VectorIndexImpl::segment_names() const {
  std::vector<std::string> names;
  for (const auto& segment : segments_) names.push_back(segment->name());
  return names;
}

// The row that a slot has, if any, is dead from now on.
void VectorIndexImpl::forget(uint32_t slot) {
  if (slot >= locations_.size() || locations_[slot].part == kNoPart) return;
  const Location location = locations_[slot];
  locations_[slot] = {};
  --live_;
  Part& part = parts_[location.part];
  if (part.segment) {
    --part.segment->live;
    return;
  }
  Tail& tail = *part.tail;
  --tail.live;
  if (part.tail != tails_.back()) return;
  // Rows that died while a build read this tail lie about still.
  while (tail.rows() > 0 && !in_place(tail, tail.rows() - 1)) tail.pop();
  if (location.row >= tail.rows()) return;
  const uint32_t moved = tail.slot(tail.rows() - 1);
  tail.move_last(location.row);
  locations_[moved].row = location.row;
}

bool VectorIndexImpl::in_place(const Tail& tail, uint32_t row) const {
  const uint32_t slot = tail.slot(row);
  return slot < locations_.size() && locations_[slot] == Location{tail.number, row};
}

void VectorIndexImpl::place(uint32_t slot, Location location) {
  if (slot >= locations_.size()) locations_.resize(static_cast<size_t>(slot) + 1);
  locations_[slot] = location;
  ++live_;
  Part& part = parts_[location.part];
  ++(part.segment ? part.segment->live : part.tail->live);
}

bool VectorIndexImpl::adopt(uint32_t slot, uint64_t version) {
  for (const auto& segment : segments_) {
    const uint32_t row = segment->file->find_slot(slot, segment->hint);
    if (row == kNoRow) continue;
    if (segment->file->version(row) != version) continue;
    forget(slot);
    place(slot, {segment->number, row});
    return true;
  }
  return false;
}

void VectorIndexImpl::adopt_all(const std::vector<uint64_t>& versions) {
  constexpr uint32_t kRowsAtOnce = 2048;
  std::vector<uint64_t> stored(kRowsAtOnce);
  locations_.reserve(versions.size());
  for (const auto& segment : segments_) {
    const SegmentFile& file = *segment->file;
    for (uint32_t first = 0; first < file.rows(); first += kRowsAtOnce) {
      const uint32_t count = std::min(kRowsAtOnce, file.rows() - first);
      // A file that is cut short has no rows any more.
      if (!mapped_read([&] { std::memcpy(stored.data(), file.versions() + first, count * sizeof(uint64_t)); })) break;
      for (uint32_t i = 0; i < count; ++i) {
        const uint32_t slot = file.slot(first + i);
        if (slot >= versions.size() || stored[i] == 0 || versions[slot] != stored[i] || contains(slot)) continue;
        place(slot, {segment->number, first + i});
      }
    }
  }
}

void VectorIndexImpl::upsert(uint32_t slot, uint64_t version, const float* vector) {
  if (slot == 0xffffffffu) throw Error(ErrorKind::kInternal, "slot out of range");
  if (slot < locations_.size() && locations_[slot].part == current_tail().number) {
    current_tail().replace(locations_[slot].row, version, vector);
    return;
  }
  // What one build takes must fit into one segment.
  if (current_tail().rows() >= rows_max()) add_tail();
  Tail& tail = current_tail();
  // What can fail for want of memory comes first.
  if (slot >= locations_.size()) locations_.resize(static_cast<size_t>(slot) + 1);
  const uint32_t row = tail.append(slot, version, vector);
  forget(slot);
  place(slot, {tail.number, row});
}

void VectorIndexImpl::remove(uint32_t slot) {
  forget(slot);
  if (live_ == 0 && !building_[0] && !building_[1]) std::vector<Location>().swap(locations_);
}

bool VectorIndexImpl::contains(uint32_t slot) const {
  return slot < locations_.size() && locations_[slot].part != kNoPart;
}

bool VectorIndexImpl::get(uint32_t slot, float* out) const {
  if (!contains(slot)) return false;
  const Location location = locations_[slot];
  const Part& part = parts_[location.part];
  if (part.segment) {
    part.segment->copy_row(location.row, out);
  } else {
    std::memcpy(out, part.tail->row(location.row), config_.dim * sizeof(float));
  }
  return true;
}

uint64_t VectorIndexImpl::tail_live() const {
  uint64_t live = 0;
  for (const auto& tail : tails_) live += tail->live;
  return live;
}

VectorIndexStats VectorIndexImpl::stats() const {
  VectorIndexStats stats;
  stats.live = live_;
  stats.segments = segments_.size();
  stats.anonymous = sizeof(*this) + locations_.capacity() * sizeof(Location) + parts_.capacity() * sizeof(Part);
  for (const auto& tail : tails_) stats.tail += tail->bytes();
  for (const auto& segment : segments_) {
    stats.in_segments += segment->live;
    if (segment->file->has_graph()) {
      stats.indexed += segment->live;
    } else if (segment->file->blocks() != nullptr) {
      stats.indexed += std::min<uint64_t>(segment->live, segment->file->blocks()->rows());
    }
    if (!segment->file->encrypted()) stats.mapped += segment->file->bytes();
    stats.graph += segment->file->hot_bytes();
  }
  stats.anonymous += stats.tail + stats.graph;
  // Rows that a cut holds are out of a build's reach, but not done.
  const bool cut = building_[static_cast<size_t>(BuildKind::kCut)] && indexes() && config_.indexing_threshold_kb > 0;
  stats.waits = build_pending() || (cut && kilobytes(live_ - std::min(live_, stats.indexed)) > config_.indexing_threshold_kb);
  stats.may_build = config_.optimizer.threads != 0;
  return stats;
}

std::function<uint64_t()> VectorIndexImpl::resident_bytes() const {
  return [segments = segments_] {
    uint64_t resident = 0;
    for (const auto& segment : segments) resident += segment->file->resident_bytes();
    return resident;
  };
}

void VectorIndexImpl::reconfigure(const VectorIndexConfig& config) {
  const VectorIndexConfig next = checked(config);
  if (next.dim != config_.dim) throw Error(ErrorKind::kBadInput, "dim cannot change", "dim");
  if (next.distance != config_.distance) throw Error(ErrorKind::kBadInput, "distance cannot change", "distance");
  if (next.datatype != config_.datatype) throw Error(ErrorKind::kBadInput, "datatype cannot change", "datatype");
  config_.codes = next.codes;
  config_.placement = next.placement;
  config_.m = next.m;
  config_.payload_m = next.payload_m;
  config_.block_fields = next.block_fields;
  config_.ef_construct = next.ef_construct;
  config_.full_scan_threshold_kb = next.full_scan_threshold_kb;
  config_.indexing_threshold_kb = next.indexing_threshold_kb;
  config_.optimizer = next.optimizer;
}

bool VectorIndexImpl::verify_rows(std::string& why) const {
  why.clear();
  for (const auto& segment : segments_) {
    if (segment->verify()) continue;
    if (!why.empty()) why += "; ";
    why += "vector rows of " + segment->file->path() + " fail their checksum";
  }
  return why.empty();
}

bool VectorIndexImpl::damaged_rows() const {
  return std::any_of(segments_.begin(), segments_.end(),
                     [](const auto& segment) { return segment->any_bad() && segment->live > 0; });
}

std::vector<uint32_t> VectorIndexImpl::damaged_slots() const {
  std::vector<uint32_t> slots;
  for (const auto& segment : segments_) {
    if (!segment->any_bad()) continue;
    const RowFilter filter = filter_of(*segment, nullptr);
    for (uint32_t row = 0; row < segment->file->rows(); ++row) {
      if (segment->known_bad(row) && filter.alive(row)) slots.push_back(segment->file->slot(row));
    }
  }
  std::sort(slots.begin(), slots.end());
  return slots;
}

}  // namespace sealpoint
