// Which block's graph answers a search with a mask.
#include <algorithm>

#include "index_impl.h"

namespace sealpoint {

// The smallest block that holds all of the segment's rows that may be found, but for a few, whose rows go to `outside`: their payloads changed since it
// was built. nullptr: there is none.
const BlockGraph* VectorIndexImpl::find_block(const Segment& segment, const VectorSearch& request, std::vector<uint32_t>& outside) const {
  // Matches, from all over, that are looked up among the blocks; some may lie outside.
  constexpr size_t kSamples = 8;
  constexpr size_t kOutsideMax = 64;
  const BlockGraphs* blocks = segment.file->blocks();
  if (blocks == nullptr || request.allowed == nullptr) return nullptr;
  const std::vector<uint64_t>& allowed = request.allowed->words();
  const std::vector<uint64_t>& here = blocks->segment_slots().words();
  const size_t words = std::min(allowed.size(), here.size());
  const auto row_of = [&](uint32_t slot) { return slot < locations_.size() && locations_[slot].part == segment.number ? locations_[slot].row : kNoRow; };
  uint32_t samples[kSamples];
  size_t sampled = 0;
  for (size_t sample = 0; sample < kSamples; ++sample) {
    const size_t end = words * (sample + 1) / kSamples;
    const size_t before = sampled;
    for (size_t i = words * sample / kSamples; i < end && sampled == before; ++i) {
      for (uint64_t word = allowed[i] & here[i]; word != 0 && sampled == before; word &= word - 1) {
        const auto slot = static_cast<uint32_t>(i * 64 + static_cast<size_t>(__builtin_ctzll(word)));
        if (row_of(slot) != kNoRow) samples[sampled++] = slot;
      }
    }
  }
  const BlockGraph* best = nullptr;
  std::vector<uint32_t> rows;
  for (const BlockGraph& block : blocks->all()) {
    if (best != nullptr && best->count <= block.count) continue;
    if (std::none_of(samples, samples + sampled, [&](uint32_t slot) { return block.slots.test(slot); })) continue;
    const std::vector<uint64_t>& mine = block.slots.words();
    rows.clear();
    for (size_t i = 0; i < words && rows.size() <= kOutsideMax; ++i) {
      for (uint64_t word = allowed[i] & here[i] & ~(i < mine.size() ? mine[i] : 0); word != 0 && rows.size() <= kOutsideMax; word &= word - 1) {
        const uint32_t row = row_of(static_cast<uint32_t>(i * 64 + static_cast<size_t>(__builtin_ctzll(word))));
        if (row != kNoRow) rows.push_back(row);
      }
    }
    if (rows.size() > kOutsideMax) continue;
    best = &block;
    outside = rows;
  }
  return best;
}

}  // namespace sealpoint
