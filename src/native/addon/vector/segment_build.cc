#include "segment_build.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "../core/status.h"
#include "checksum.h"
#include "graph_build.h"

namespace sealpoint {

namespace {

// One wild vector must not squeeze all others into a few codes, as it would if the greatest value set the scale.
constexpr double kScaleQuantile = 0.9999;

}  // namespace

struct SegmentBuild::Codes {
  struct Free {
    void operator()(uint8_t* at) const { std::free(at); }
  };
  std::unique_ptr<uint8_t, Free> bytes;
  size_t row_bytes = 0;
  float scale = 1;
  std::vector<int32_t> biases;
  std::vector<int32_t> norms;
  std::vector<uint32_t> checks;
};

SegmentBuild::~SegmentBuild() {
  // Written, but never taken into the index.
  if (written_ && file_) ::unlink(path_.c_str());
}

float SegmentBuild::choose_scale() const {
  // The range that all but a few values keep to; the few are clamped, and the exact rescoring sees them as they are.
  const size_t dim = config_.dim;
  const size_t step = std::max<size_t>(1, rows_.size() * dim / 2000000);
  std::vector<float> sizes;
  sizes.reserve((rows_.size() / step + 1) * dim);
  for (size_t i = 0; i < rows_.size(); i += step) {
    const float* values = vector(rows_[i]);
    for (size_t j = 0; j < dim; ++j) {
      const float size = std::fabs(values[j]);
      if (std::isfinite(size)) sizes.push_back(size);
    }
  }
  if (sizes.empty()) return 1;
  const double quantile = static_cast<double>(sizes.size()) * kScaleQuantile;
  const size_t at = std::min(sizes.size() - 1, static_cast<size_t>(quantile));
  std::nth_element(sizes.begin(), sizes.begin() + static_cast<ptrdiff_t>(at), sizes.end());
  const float largest = sizes[at] > 0 ? sizes[at] : *std::max_element(sizes.begin(), sizes.end());
  return std::min(std::max(largest, 1e-30f), 3e38f) / 127;
}

bool SegmentBuild::encode(const std::atomic<bool>& cancel, Codes& codes) const {
  const size_t dim = config_.dim;
  codes.row_bytes = code_bytes_of(config_.dim);
  codes.scale = choose_scale();
  const size_t huge = size_t{2} << 20;
  const size_t total = (rows_.size() * codes.row_bytes + huge - 1) / huge * huge;
  codes.bytes.reset(static_cast<uint8_t*>(std::aligned_alloc(huge, total)));
  if (!codes.bytes) throw Error(ErrorKind::kExhausted, "no memory for building a segment");
  ::madvise(codes.bytes.get(), total, MADV_HUGEPAGE);
  const bool manhattan = config_.distance == Distance::kManhattan;
  if (!manhattan) codes.biases.resize(rows_.size());
  if (config_.distance == Distance::kEuclid) codes.norms.resize(rows_.size());
  std::vector<float> block(kRowsPerCheck * dim);
  const float inverse = 1 / codes.scale;
  for (size_t first = 0; first < rows_.size(); first += kRowsPerCheck) {
    if (cancel.load(std::memory_order_relaxed)) return false;
    const size_t count = std::min<size_t>(kRowsPerCheck, rows_.size() - first);
    for (size_t i = 0; i < count; ++i) {
      const float* values = vector(rows_[first + i]);
      std::memcpy(block.data() + i * dim, values, dim * sizeof(float));
      uint8_t* code = codes.bytes.get() + (first + i) * codes.row_bytes;
      int32_t sum = 0;
      int32_t norm = 0;
      for (size_t j = 0; j < dim; ++j) {
        const int value = quantize(values[j], inverse);
        code[j] = static_cast<uint8_t>(value + 128);
        sum += value;
        norm += value * value;
      }
      std::memset(code + dim, 128, codes.row_bytes - dim);
      if (!manhattan) codes.biases[first + i] = 128 * sum;
      if (!codes.norms.empty()) codes.norms[first + i] = norm;
    }
    codes.checks.push_back(lane_crc32c(block.data(), count * dim * sizeof(float)));
  }
  return true;
}

bool SegmentBuild::write(const std::atomic<bool>& cancel, const Codes& codes, const Graph& graph) const {
  const size_t dim = config_.dim;
  SegmentWriter writer(path_);
  {
    std::vector<uint32_t> slots(rows_.size());
    std::vector<uint64_t> versions(rows_.size());
    for (size_t i = 0; i < rows_.size(); ++i) {
      slots[i] = rows_[i].slot;
      versions[i] = sources_[rows_[i].source].version(rows_[i].row);
    }
    writer.write_section(kSlots, slots.data(), slots.size() * 4);
    writer.write_section(kVersions, versions.data(), versions.size() * 8);
  }
  writer.write_section(kCodes, codes.bytes.get(), rows_.size() * codes.row_bytes);
  writer.write_section(kNorms, codes.norms.data(), codes.norms.size() * 4);
  writer.write_section(kLinks, graph.links.data(), graph.links.size() * 4);
  writer.write_section(kUpperNodes, graph.upper_nodes.data(), graph.upper_nodes.size() * sizeof(UpperNode));
  writer.write_section(kUpperLinks, graph.upper_links.data(), graph.upper_links.size() * 4);
  writer.write_section(kRowChecks, codes.checks.data(), codes.checks.size() * 4);
  writer.begin_rows(rows_.size() * dim * sizeof(float));
  std::vector<float> block(kRowsPerCheck * dim);
  for (size_t first = 0; first < rows_.size(); first += kRowsPerCheck) {
    if (cancel.load(std::memory_order_relaxed)) return false;
    const size_t count = std::min<size_t>(kRowsPerCheck, rows_.size() - first);
    for (size_t i = 0; i < count; ++i) {
      std::memcpy(block.data() + i * dim, vector(rows_[first + i]), dim * sizeof(float));
    }
    writer.write_rows(block.data(), count * dim * sizeof(float));
  }
  SegmentHeader header{};
  header.dim = config_.dim;
  header.distance = static_cast<uint32_t>(config_.distance);
  header.rows = static_cast<uint32_t>(rows_.size());
  header.m = config_.m;
  header.ef_construct = config_.ef_construct;
  header.code_bytes = static_cast<uint32_t>(codes.row_bytes);
  header.entry = graph.entry;
  header.max_level = graph.max_level;
  header.scale = codes.scale;
  writer.commit(header);
  return true;
}

bool SegmentBuild::run(const std::atomic<bool>& cancel, unsigned threads) {
  if (rows_.empty()) {
    done_ = true;
    return true;
  }
  // Damage must not be copied under a fresh checksum: after this, taking a damaged row throws. Damaged rows that are
  // dead by now do no harm.
  for (const BuildSource& source : sources_) {
    if (source.segment) (void)source.segment->verify();
  }
  Codes codes;
  if (!encode(cancel, codes)) return false;
  GraphInput input;
  input.codes = codes.bytes.get();
  input.code_bytes = codes.row_bytes;
  input.rows = static_cast<uint32_t>(rows_.size());
  input.distance = config_.distance;
  input.biases = codes.biases.data();
  input.norms = codes.norms.data();
  input.m = config_.m;
  input.ef_construct = config_.ef_construct;
  Graph graph;
  if (!build_graph(input, threads, cancel, graph)) return false;
  if (!write(cancel, codes, graph)) return false;
  written_ = true;
  std::string why;
  file_ = SegmentFile::open(path_, config_.dim, config_.distance, why);
  if (!file_) {
    ::unlink(path_.c_str());
    throw Error(ErrorKind::kDataLoss, "the segment just written to " + path_ + " cannot be read: " + why);
  }
  done_ = true;
  return true;
}

}  // namespace sealpoint
