#include "inspect.h"

#include <filesystem>

#include "manifest.h"
#include "multi_graph_file.h"
#include "segment_file.h"

namespace sealpoint {

SegmentInspection::SegmentInspection(const std::string& dir, uint32_t dim, Distance distance, Datatype datatype, bool expected) : dir_(dir) {
  VectorIndexConfig config;
  config.dim = dim;
  config.distance = distance;
  config.datatype = datatype;
  config.placement = {true, true, false};
  std::vector<std::string> names;
  const ManifestState state = read_manifest(dir, names);
  if (state != ManifestState::kSound && std::filesystem::is_directory(dir)) {
    // As the index does: rows prove by slot and version what they are, so every sound file counts.
    names.clear();
    for (const auto& entry : std::filesystem::directory_iterator(dir)) {
      if (entry.path().extension() == ".segment") names.push_back(entry.path().filename().string());
    }
    const bool damaged = state == ManifestState::kDamaged;
    if (damaged || !names.empty()) damage_.push_back({kManifestName, damaged ? "fails its checksum" : "is missing"});
  }
  if (expected && state == ManifestState::kMissing && damage_.empty()) damage_.push_back({kManifestName, kAllMissing + 2});
  for (const std::string& name : names) {
    std::string why;
    auto file = SegmentFile::open(dir + "/" + name, config, why);
    if (file == nullptr) {
      damage_.push_back({name, why});
      continue;
    }
    file->expect_all_rows();
    std::vector<bool> bad(file->check_blocks());
    size_t count = 0;
    for (uint32_t block = 0; block < bad.size(); ++block) {
      bad[block] = !file->verify_block(block);
      count += bad[block] ? 1 : 0;
    }
    if (count > 0) damage_.push_back({name, std::to_string(count) + " blocks of vectors fail their checksums"});
    files_.push_back({std::move(file), std::move(bad), 0, false});
  }
  const auto graph = read_whole_file(dir + "/" + kMultiGraphName);
  if (graph && !decode_multi_graph(*graph)) damage_.push_back({kMultiGraphName, "fails its checksum"});
}

void SegmentInspection::drop_damaged() {
  std::vector<std::string> sound;
  for (const File& each : files_) sound.push_back(std::filesystem::path(each.file->path()).filename().string());
  for (const Damage& damage : damage_) std::erase(sound, damage.file);
  std::filesystem::create_directories(dir_);
  write_manifest(dir_, sound);
  for (const Damage& damage : damage_) {
    std::error_code failure;
    if (damage.file != kManifestName) std::filesystem::remove(dir_ + "/" + damage.file, failure);
  }
}

uint64_t SegmentInspection::rows() const {
  uint64_t rows = 0;
  for (const File& each : files_) rows += each.file->rows();
  return rows;
}

const uint8_t* SegmentInspection::find(uint32_t slot, uint64_t version) {
  for (File& each : files_) {
    const uint32_t row = each.file->find_slot(slot, each.hint);
    if (row == kNoRow) continue;
    if (each.file->version(row) == version && !each.bad[row / kRowsPerCheck]) return each.file->row(row);
  }
  return nullptr;
}

void SegmentInspection::blame(uint32_t slot, uint64_t version) {
  for (File& each : files_) {
    const uint32_t row = each.file->find_slot(slot, each.hint);
    if (row == kNoRow || each.file->version(row) != version || each.blamed) continue;
    each.blamed = true;
    damage_.push_back({std::filesystem::path(each.file->path()).filename().string(), "a row is not the vector that the store holds"});
  }
}

}  // namespace sealpoint
