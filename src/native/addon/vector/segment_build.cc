#include "segment_build.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "../core/status.h"
#include "checksum.h"
#include "code_kinds.h"
#include "graph_build.h"
#include "planes.h"
#include "walk_order.h"

namespace sealpoint {

namespace {

// One wild vector must not squeeze all others into a few codes, as it would if the greatest value set the scale.
constexpr double kScaleQuantile = 0.9999;

}  // namespace

struct SegmentBuild::Codes {
  HotMemory bytes;
  size_t row_bytes = 0;
  float scale = 1;
  std::vector<int32_t> biases;
  std::vector<int32_t> norms;
  std::vector<float> book;      // not of the scalar kind
  std::vector<uint32_t> order;  // by place in the segment: the row as it was built
};

void BuildSource::copy_row(uint32_t row, uint32_t dim, float* out) const {
  if (tail) {
    std::memcpy(out, tail->row(row), dim * sizeof(float));
  } else {
    segment->copy_row(row, out);
  }
}

uint64_t BuildSource::version(uint32_t row) const {
  if (tail) return tail->version(row);
  uint64_t version = 0;
  segment->read_mapped([&] { version = segment->file->version(row); });
  return version;
}

void SegmentBuild::copy_rows(size_t first, size_t count, float* out) const {
  for (size_t i = 0; i < count; ++i) {
    const SourceRow& row = rows_[first + i];
    sources_[row.source].copy_row(row.row, config_.dim, out + i * config_.dim);
  }
}

void SegmentBuild::copy_coded(size_t first, size_t count, float* out) const {
  copy_rows(first, count, out);
  if (config_.distance != Distance::kCosine || normalized(config_.distance, config_.datatype)) return;
  for (size_t i = 0; i < count; ++i) normalize(out + i * config_.dim, config_.dim);
}

SegmentBuild::~SegmentBuild() {
  // Written, but never taken into the index.
  if (written_ && file_) ::unlink(path_.c_str());
}

float SegmentBuild::choose_scale() const {
  const CodeConfig& chosen = config_.codes;
  const double share = chosen.kind == CodeKind::kScalar && chosen.quantile > 0 ? chosen.quantile : kScaleQuantile;
  // The range that all but a few values keep to; the few are clamped, and the exact rescoring sees them as they are.
  const size_t dim = config_.dim;
  const size_t step = std::max<size_t>(1, rows_.size() * dim / 2000000);
  std::vector<float> sizes;
  sizes.reserve((rows_.size() / step + 1) * dim);
  std::vector<float> values(dim);
  for (size_t i = 0; i < rows_.size(); i += step) {
    copy_coded(i, 1, values.data());
    for (size_t j = 0; j < dim; ++j) {
      const float size = std::fabs(values[j]);
      if (std::isfinite(size)) sizes.push_back(size);
    }
  }
  if (sizes.empty()) return 1;
  const double quantile = static_cast<double>(sizes.size()) * share;
  const size_t at = std::min(sizes.size() - 1, static_cast<size_t>(quantile));
  std::nth_element(sizes.begin(), sizes.begin() + static_cast<ptrdiff_t>(at), sizes.end());
  const float largest = sizes[at] > 0 ? sizes[at] : *std::max_element(sizes.begin(), sizes.end());
  return std::min(std::max(largest, 1e-30f), 3e38f) / 127;
}

bool SegmentBuild::encode(const std::atomic<bool>& cancel, Codes& codes) const {
  const size_t dim = config_.dim;
  codes.row_bytes = code_bytes_of(CodeConfig{}, config_.dim);
  codes.scale = choose_scale();
  codes.bytes = HotMemory(rows_.size() * codes.row_bytes);
  const bool manhattan = config_.distance == Distance::kManhattan;
  if (!manhattan) codes.biases.resize(rows_.size());
  if (config_.distance == Distance::kEuclid) codes.norms.resize(rows_.size());
  std::vector<float> block(kRowsPerCheck * dim);
  const float inverse = 1 / codes.scale;
  for (size_t first = 0; first < rows_.size(); first += kRowsPerCheck) {
    if (cancel.load(std::memory_order_relaxed)) return false;
    const size_t count = std::min<size_t>(kRowsPerCheck, rows_.size() - first);
    copy_coded(first, count, block.data());
    for (size_t i = 0; i < count; ++i) {
      const float* values = block.data() + i * dim;
      uint8_t* code = codes.bytes.data() + (first + i) * codes.row_bytes;
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
  }
  return true;
}

// The graph is built over scalar codes, which are the most exact ones; these take their place in the segment.
bool SegmentBuild::encode_chosen(const std::atomic<bool>& cancel, Codes& codes) const {
  const CodeConfig& chosen = config_.codes;
  if (chosen.kind == CodeKind::kScalar) return true;
  const size_t dim = config_.dim;
  const size_t step = std::max<size_t>(1, rows_.size() / CodeBook::sample_rows(chosen));
  CodeBook book;
  {
    std::vector<float> sample;
    for (size_t row = 0; row < rows_.size(); row += step) {
      sample.resize(sample.size() + dim);
      copy_coded(row, 1, sample.data() + sample.size() - dim);
    }
    if (!book.train(chosen, config_.dim, sample, cancel)) return false;
  }
  codes.row_bytes = code_bytes_of(chosen, config_.dim);
  codes.norms.clear();
  std::vector<float> block(kRowsPerCheck * dim);
  for (size_t first = 0; first < rows_.size(); first += kRowsPerCheck) {
    if (cancel.load(std::memory_order_relaxed)) return false;
    const size_t count = std::min<size_t>(kRowsPerCheck, rows_.size() - first);
    copy_coded(first, count, block.data());
    // In the memory of the scalar codes, of which none is needed any more and none is smaller.
    for (size_t i = 0; i < count; ++i) book.encode(block.data() + i * dim, codes.bytes.data() + (first + i) * codes.row_bytes);
  }
  codes.book = book.values();
  return true;
}

// Rows take the order in which a walk would meet them.
void SegmentBuild::reorder(const Graph& graph, Codes& codes) {
  if (graph_) {
    codes.order = walk_order(graph, static_cast<uint32_t>(rows_.size()), config_.m);
  } else {
    codes.order.resize(rows_.size());
    std::iota(codes.order.begin(), codes.order.end(), 0u);
  }
  if (std::any_of(rows_.begin(), rows_.end(), [](const SourceRow& row) { return row.group != 0; })) {
    // A group lies together, whatever the graph says.
    std::stable_sort(codes.order.begin(), codes.order.end(), [&](uint32_t a, uint32_t b) { return rows_[a].group < rows_[b].group; });
  }
  std::vector<SourceRow> rows(rows_.size());
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = rows_[codes.order[i]];
  rows_.swap(rows);
}

bool SegmentBuild::write(const std::atomic<bool>& cancel, Codes& codes, const Graph& graph) const {
  const size_t dim = config_.dim;
  const size_t count = rows_.size();
  const uint32_t m = graph_ ? config_.m : 0;
  const size_t links = size_t{2} * m;
  std::vector<uint32_t> place(count);  // where a row of the graph is now
  for (size_t i = 0; i < count; ++i) place[codes.order[i]] = static_cast<uint32_t>(i);
  auto placed = [&](uint32_t row) { return row == kNoRow ? kNoRow : place[row]; };
  SegmentHeader header{};
  header.dim = config_.dim;
  header.distance = static_cast<uint32_t>(config_.distance);
  header.rows = static_cast<uint32_t>(count);
  header.m = m;
  header.ef_construct = config_.ef_construct;
  header.code_bytes = static_cast<uint32_t>(codes.row_bytes);
  header.entry = graph_ ? place[graph.entry] : 0;
  header.max_level = graph.max_level;
  header.scale = codes.scale;
  header.datatype = static_cast<uint32_t>(config_.datatype);
  header.code_kind = static_cast<uint32_t>(config_.codes.kind);
  header.quantile = config_.codes.quantile;
  header.group = config_.codes.group;
  SegmentWriter writer(path_, config_.cipher);
  // The rows of a section from the places where they were built, a piece at a time.
  constexpr size_t kPieceRows = 1024;
  auto write_rows_of = [&](Section section, size_t row_bytes, auto fill) {
    std::vector<uint8_t> piece(kPieceRows * row_bytes);
    writer.begin_section(section, count * row_bytes);
    for (size_t first = 0; first < count; first += kPieceRows) {
      const size_t n = std::min(kPieceRows, count - first);
      for (size_t i = 0; i < n; ++i) fill(first + i, piece.data() + i * row_bytes);
      writer.write_piece(piece.data(), n * row_bytes);
    }
    writer.end_section();
  };
  write_rows_of(kSlots, 4, [&](size_t i, uint8_t* out) { std::memcpy(out, &rows_[i].slot, 4); });
  write_rows_of(kVersions, 8, [&](size_t i, uint8_t* out) {
    const uint64_t version = sources_[rows_[i].source].version(rows_[i].row);
    std::memcpy(out, &version, 8);
  });
  // Rows were built in the order of their slots.
  writer.write_section(kOrder, place.data(), count * 4);
  auto code_of = [&](size_t i) { return codes.bytes.data() + codes.order[i] * codes.row_bytes; };
  if (codes_in_planes(header)) {
    std::vector<uint8_t> piece(kPieceRows * codes.row_bytes / 2);
    std::vector<uint8_t> other(codes.row_bytes / 2);
    writer.begin_section(kCodes, count * codes.row_bytes);
    for (const bool is_lower : {false, true}) {
      for (size_t first = 0; first < count; first += kPieceRows) {
        const size_t n = std::min(kPieceRows, count - first);
        for (size_t i = 0; i < n; ++i) {
          uint8_t* const out = piece.data() + i * other.size();
          split_planes(code_of(first + i), codes.row_bytes, is_lower ? other.data() : out, is_lower ? out : other.data());
        }
        writer.write_piece(piece.data(), n * other.size());
      }
    }
    writer.end_section();
  } else {
    write_rows_of(kCodes, codes.row_bytes, [&](size_t i, uint8_t* out) { std::memcpy(out, code_of(i), codes.row_bytes); });
  }
  if (!codes.norms.empty()) {
    write_rows_of(kNorms, 4, [&](size_t i, uint8_t* out) { std::memcpy(out, &codes.norms[codes.order[i]], 4); });
  } else {
    writer.write_section(kNorms, nullptr, 0);
  }
  if (!graph_) writer.write_section(kLinks, nullptr, 0);
  if (graph_) write_rows_of(kLinks, links * 4, [&](size_t i, uint8_t* out) {
    const uint32_t* from = graph.links.data() + codes.order[i] * links;
    for (size_t j = 0; j < links; ++j) {
      const uint32_t to = placed(from[j]);
      std::memcpy(out + j * 4, &to, 4);
    }
  });
  std::vector<UpperNode> nodes = graph.upper_nodes;
  for (UpperNode& node : nodes) node.row = place[node.row];
  std::sort(nodes.begin(), nodes.end(), [](const UpperNode& a, const UpperNode& b) { return a.row < b.row; });
  std::vector<uint32_t> upper(graph.upper_links.size());
  std::transform(graph.upper_links.begin(), graph.upper_links.end(), upper.begin(), placed);
  writer.write_section(kUpperNodes, nodes.data(), nodes.size() * sizeof(UpperNode));
  writer.write_section(kUpperLinks, upper.data(), upper.size() * 4);
  writer.write_section(kBook, codes.book.data(), codes.book.size() * 4);
  const size_t row_bytes = dim * value_bytes(config_.datatype);
  std::vector<uint32_t> checks;
  std::vector<float> block(kRowsPerCheck * dim);
  std::vector<uint8_t> stored(kRowsPerCheck * row_bytes);
  writer.begin_section(kRows, count * row_bytes);
  for (size_t first = 0; first < count; first += kRowsPerCheck) {
    if (cancel.load(std::memory_order_relaxed)) return false;
    const size_t n = std::min<size_t>(kRowsPerCheck, count - first);
    copy_rows(first, n, block.data());
    store_values(config_.datatype, block.data(), n * dim, stored.data());
    checks.push_back(lane_crc32c(stored.data(), n * row_bytes));
    writer.write_piece(stored.data(), n * row_bytes);
  }
  writer.end_section();
  writer.write_section(kRowChecks, checks.data(), checks.size() * 4);
  if (makes_blocks_) {
    std::vector<BuiltBlock> blocks = built_blocks_;
    for (BuiltBlock& block : blocks) {
      for (uint32_t& row : block.rows) row = place[row];
    }
    writer.write_blocks(config_.block_fields, config_.payload_m, blocks);
  }
  writer.commit(header);
  return true;
}

uint64_t SegmentBuild::memory_bytes() const {
  // Codes and links, once for the build and once for the segment; FAISS's links; levels, locks, biases, slots and versions. Last the sample of
  // choose_scale.
  const uint64_t row = 2 * code_bytes_of(CodeConfig{}, config_.dim) + (graph_ ? 28 * uint64_t{config_.m} : 0) +
                       (makes_blocks_ ? 24 * uint64_t{config_.payload_m} : 0) + 64;
  return rows_.size() * row + (uint64_t{8} << 20);
}

uint32_t SegmentBuild::block_rows_min() const {
  if (!makes_blocks_) return 0;
  // Fewer are scanned in the time of a walk, and each block costs a bit per slot.
  constexpr uint64_t kBlockRowsMin = 256, kBlocksMax = 256;
  const uint64_t scanned = config_.full_scan_threshold_kb * 1024 / (config_.dim * sizeof(float));
  return static_cast<uint32_t>(std::min<uint64_t>(std::max({kBlockRowsMin, scanned, rows_.size() / kBlocksMax}), 0xffffffffu));
}

// Over the scalar codes, with the rows in the order of their slots.
bool SegmentBuild::build_blocks(const std::atomic<bool>& cancel, unsigned threads, const Codes& codes) {
  const uint32_t least = block_rows_min();
  if (least == 0) return true;
  for (const std::vector<uint32_t>& slots : blocks_) {
    BuiltBlock block;
    size_t at = 0;
    for (const uint32_t slot : slots) {
      while (at < rows_.size() && rows_[at].slot < slot) ++at;
      if (at < rows_.size() && rows_[at].slot == slot) block.rows.push_back(static_cast<uint32_t>(at));
    }
    if (block.rows.size() < least) continue;
    HotMemory bytes(block.rows.size() * codes.row_bytes);
    std::vector<int32_t> biases(codes.biases.empty() ? 0 : block.rows.size()), norms(codes.norms.empty() ? 0 : block.rows.size());
    for (size_t i = 0; i < block.rows.size(); ++i) {
      std::memcpy(bytes.data() + i * codes.row_bytes, codes.bytes.data() + block.rows[i] * codes.row_bytes, codes.row_bytes);
      if (!biases.empty()) biases[i] = codes.biases[block.rows[i]];
      if (!norms.empty()) norms[i] = codes.norms[block.rows[i]];
    }
    GraphInput input;
    input.codes = bytes.data();
    input.code_bytes = codes.row_bytes;
    input.rows = static_cast<uint32_t>(block.rows.size());
    input.distance = config_.distance;
    input.biases = biases.data();
    input.norms = norms.data();
    input.m = config_.payload_m;
    input.ef_construct = config_.ef_construct;
    if (!build_graph(input, threads, cancel, block.graph)) return false;
    built_blocks_.push_back(std::move(block));
  }
  return true;
}

bool SegmentBuild::run(const std::atomic<bool>& cancel, unsigned threads) {
  if (rows_.empty()) {
    done_ = true;
    return true;
  }
  // The order of their slots, which the file's finds rely on.
  std::sort(rows_.begin(), rows_.end(), [](const SourceRow& a, const SourceRow& b) { return a.slot < b.slot; });
  // Damage must not be copied under a fresh checksum: after this, taking a damaged row throws. Damaged rows that are
  // dead by now do no harm.
  for (const BuildSource& source : sources_) {
    if (source.segment) (void)source.segment->verify();
  }
  {
    Codes codes;
    if (!encode(cancel, codes)) return false;
    GraphInput input;
    input.codes = codes.bytes.data();
    input.code_bytes = codes.row_bytes;
    input.rows = static_cast<uint32_t>(rows_.size());
    input.distance = config_.distance;
    input.biases = codes.biases.data();
    input.norms = codes.norms.data();
    input.m = config_.m;
    input.ef_construct = config_.ef_construct;
    Graph graph;
    if (config_.optimizer.indexing_threads != 0) threads = std::min(threads, config_.optimizer.indexing_threads);
    if (graph_ && !build_graph(input, threads, cancel, graph)) return false;
    if (!build_blocks(cancel, threads, codes)) return false;
    if (!encode_chosen(cancel, codes)) return false;
    reorder(graph, codes);
    if (!write(cancel, codes, graph)) return false;
    // What was built goes before what was written is read, so that it is in memory once.
  }
  written_ = true;
  std::string why;
  file_ = SegmentFile::open(path_, config_, why);
  if (!file_) {
    ::unlink(path_.c_str());
    throw Error(ErrorKind::kDataLoss, "the segment just written to " + path_ + " cannot be read: " + why);
  }
  done_ = true;
  return true;
}

}  // namespace sealpoint
