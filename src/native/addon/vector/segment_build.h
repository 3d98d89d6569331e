// A build in the background: frozen tails and segments in, one segment file out.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "parts.h"
#include "vector_index.h"

namespace sealpoint {

struct BuildSource {
  std::shared_ptr<const Tail> tail;  // one of the two
  std::shared_ptr<const Segment> segment;
  uint32_t number;

  // Copies a row; throws kDataLoss when it cannot be read.
  void copy_row(uint32_t row, uint32_t dim, float* out) const;
  uint64_t version(uint32_t row) const;
};

struct SourceRow {
  uint32_t slot;
  uint32_t source;  // index into the sources
  uint32_t row;
  uint32_t group;   // rows of one group lie together
};

class SegmentBuild final : public VectorIndex::Build {
 public:
  SegmentBuild(const VectorIndexConfig& config, VectorIndex::BuildKind kind, bool graph, std::string path, std::vector<BuildSource> sources, size_t rows)
      : kind(kind),
        config_(config),
        graph_(graph && config.m > 0),
        makes_blocks_(graph && config.payload_m > 0 && config.block_fields != 0 && config.block_fields != VectorIndexConfig::kUnknownFields),
        path_(std::move(path)), sources_(std::move(sources)) {
    rows_.reserve(rows);
  }
  ~SegmentBuild() override;

  bool run(const std::atomic<bool>& cancel, unsigned threads) override;
  uint64_t memory_bytes() const override;
  void set_blocks(std::vector<std::vector<uint32_t>> blocks) override { blocks_ = std::move(blocks); }
  uint32_t block_rows_min() const override;

  const VectorIndex::BuildKind kind;
  // Where collecting rows and swapping them has come to.
  size_t source = 0;
  uint32_t next = 0;
  bool swapping = false;
  std::shared_ptr<Segment> segment;  // once it is in the index

  void add_row(const SourceRow& row) { rows_.push_back(row); }
  const std::string& path() const { return path_; }
  const std::vector<BuildSource>& sources() const { return sources_; }
  const std::vector<SourceRow>& rows() const { return rows_; }
  bool done() const { return done_; }
  // False when there were no rows left.
  bool has_file() const { return file_ != nullptr; }
  std::unique_ptr<SegmentFile> take_file() { return std::move(file_); }

 private:
  struct Codes;
  bool encode(const std::atomic<bool>& cancel, Codes& codes) const;
  bool encode_chosen(const std::atomic<bool>& cancel, Codes& codes) const;
  bool write(const std::atomic<bool>& cancel, Codes& codes, const Graph& graph) const;
  bool build_blocks(const std::atomic<bool>& cancel, unsigned threads, const Codes& codes);
  float choose_scale() const;
  // Copies `count` rows from the given one on: their values, or what their codes are made of.
  void copy_rows(size_t first, size_t count, float* out) const;
  void copy_coded(size_t first, size_t count, float* out) const;
  void reorder(const Graph& graph, Codes& codes);

  const VectorIndexConfig config_;
  const bool graph_;         // over all rows
  const bool makes_blocks_;  // over those that share a payload value
  const std::string path_;
  const std::vector<BuildSource> sources_;
  std::vector<SourceRow> rows_;  // by slot at first, in the segment's order in the end
  std::vector<std::vector<uint32_t>> blocks_;  // slots, ascending
  std::vector<BuiltBlock> built_blocks_;       // rows as they were built
  std::unique_ptr<SegmentFile> file_;
  bool done_ = false;
  bool written_ = false;
};

}  // namespace sealpoint
