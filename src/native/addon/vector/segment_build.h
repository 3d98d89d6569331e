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
};

class SegmentBuild final : public VectorIndex::Build {
 public:
  SegmentBuild(const VectorIndexConfig& config, std::string path, std::vector<BuildSource> sources,
               std::vector<SourceRow> rows, std::vector<uint32_t> groups)
      : config_(config),
        path_(std::move(path)),
        sources_(std::move(sources)),
        groups_(std::move(groups)),
        rows_(std::move(rows)) {}
  ~SegmentBuild() override;

  bool run(const std::atomic<bool>& cancel, unsigned threads) override;
  uint64_t memory_bytes() const override;

  const std::string& path() const { return path_; }
  const std::vector<BuildSource>& sources() const { return sources_; }
  const std::vector<SourceRow>& rows() const { return rows_; }
  bool done() const { return done_; }
  // nullptr when there were no rows left.
  std::unique_ptr<SegmentFile> take_file() { return std::move(file_); }

 private:
  struct Codes;
  bool encode(const std::atomic<bool>& cancel, Codes& codes) const;
  bool encode_chosen(const std::atomic<bool>& cancel, Codes& codes) const;
  bool write(const std::atomic<bool>& cancel, Codes& codes, const Graph& graph) const;
  float choose_scale() const;
  // Copies `count` rows from the given one on: their values, or what their codes are made of.
  void copy_rows(size_t first, size_t count, float* out) const;
  void copy_coded(size_t first, size_t count, float* out) const;
  void reorder(const Graph& graph, Codes& codes);

  const VectorIndexConfig config_;
  const std::string path_;
  const std::vector<BuildSource> sources_;
  const std::vector<uint32_t> groups_;  // by slot; rows of one group lie together
  std::vector<SourceRow> rows_;  // by slot at first, in the segment's order in the end
  std::unique_ptr<SegmentFile> file_;
  bool done_ = false;
  bool written_ = false;
};

}  // namespace sealpoint
