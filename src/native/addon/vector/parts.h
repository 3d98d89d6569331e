// The parts that an index is made of: tails of f32 rows in memory, and segments.
#pragma once
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "mapped_read.h"
#include "segment_file.h"
#include "walk.h"

namespace sealpoint {

// Rows in chunks, so that growing copies no vector. Written under the exclusive lock until frozen, then never again.
class Tail {
 public:
  Tail(uint32_t number, uint32_t dim) : number(number), dim_(dim) {
    // About a quarter of a megabyte a chunk, which malloc maps: untouched rows cost nothing.
    while (shift_ > 4 && (sizeof(float) * dim << shift_) > (256u << 10)) --shift_;
  }

  const uint32_t number;  // as a part
  uint64_t live = 0;      // kept by the index under the exclusive lock

  uint32_t rows() const { return static_cast<uint32_t>(slots_.size()); }
  uint32_t slot(uint32_t row) const { return slots_[row]; }
  uint64_t version(uint32_t row) const { return versions_[row]; }
  const float* row(uint32_t row) const {
    return chunks_[row >> shift_].get() + static_cast<size_t>(row & mask()) * dim_;
  }
  uint32_t append(uint32_t slot, uint64_t version, const float* vector) {
    const uint32_t row = rows();
    if ((row & mask()) == 0) chunks_.emplace_back(new float[dim_ << shift_]);
    slots_.push_back(slot);
    versions_.push_back(version);
    write(row, vector);
    return row;
  }
  void replace(uint32_t row, uint64_t version, const float* vector) {
    versions_[row] = version;
    write(row, vector);
  }
  // Both only while no build reads this tail.
  void pop() {
    slots_.pop_back();
    versions_.pop_back();
    if ((rows() & mask()) == 0) chunks_.pop_back();
    if (slots_.capacity() > 4 * slots_.size() + 1024) {
      slots_.shrink_to_fit();
      versions_.shrink_to_fit();
    }
  }
  // The last row takes the place of `row`, so that what is deleted gives its memory back.
  void move_last(uint32_t row) {
    const uint32_t last = rows() - 1;
    slots_[row] = slots_[last];
    versions_[row] = versions_[last];
    write(row, this->row(last));
    pop();
  }
  uint64_t bytes() const {
    return static_cast<uint64_t>(rows()) * dim_ * sizeof(float) + slots_.capacity() * 4 + versions_.capacity() * 8;
  }

 private:
  uint32_t mask() const { return (1u << shift_) - 1; }
  void write(uint32_t row, const float* vector) {
    std::memcpy(chunks_[row >> shift_].get() + static_cast<size_t>(row & mask()) * dim_, vector, dim_ * sizeof(float));
  }

  const size_t dim_;
  uint32_t shift_ = 10;
  std::vector<std::unique_ptr<float[]>> chunks_;
  std::vector<uint32_t> slots_;
  std::vector<uint64_t> versions_;
};

class Segment {
 public:
  Segment(uint32_t number, std::unique_ptr<SegmentFile> mapped)
      : number(number), file(std::move(mapped)), bad_(new std::atomic<bool>[file->check_blocks()]) {
    for (uint32_t i = 0; i < file->check_blocks(); ++i) bad_[i].store(false, std::memory_order_relaxed);
  }
  ~Segment();

  uint32_t number;  // as a part; set once the segment is in the index
  const std::unique_ptr<SegmentFile> file;
  uint64_t live = 0;             // kept by the index under the exclusive lock
  uint32_t hint = 0;             // where adopt() looks first
  std::atomic<bool> retired{false};  // unlink the file when the last user is gone

  // Of its file.
  std::string name() const { return file->path().substr(file->path().rfind('/') + 1); }
  bool known_bad(uint32_t row) const {
    return any_bad_.load(std::memory_order_relaxed) && bad_[row / kRowsPerCheck].load(std::memory_order_relaxed);
  }
  bool any_bad() const { return any_bad_.load(std::memory_order_relaxed); }
  // Reads all rows; false when a block is damaged, which is remembered.
  bool verify() const;
  // Calls read(row) for each of the rows, whose numbers come as an array. Throws kDataLoss when one is known bad or the file is cut short;
  // `read` may then be left anywhere, see mapped_read.
  template <typename Read>
  void read_rows(const uint32_t* rows, size_t count, Read read) const {
    if (any_bad()) {
      for (size_t i = 0; i < count; ++i) {
        if (known_bad(rows[i])) throw_bad(rows[i]);
      }
    }
    if (file->encrypted()) {
      thread_local std::vector<uint8_t> room;
      for (size_t i = 0; i < count; ++i) read(i, file->row(rows[i], room));
      return;
    }
    volatile size_t at = 0;
    const bool there = mapped_read([&] {
      for (size_t i = 0; i < count; ++i) {
        at = i;
        read(i, file->row(rows[i]));
      }
    });
    if (!there) throw_lost(rows[at]);
  }
  // The values of a row.
  void copy_row(uint32_t row, float* out) const {
    read_rows(&row, 1, [&](size_t, const uint8_t* stored) { load_values(file->datatype(), stored, file->header().dim, out); });
  }
  // Any other reading of mapped parts.
  template <typename Read>
  void read_mapped(Read read) const {
    // Nothing is mapped, and what reads the file may throw.
    if (file->encrypted()) return read();
    if (!mapped_read(read)) throw_lost(0);
  }

 private:
  [[noreturn]] void throw_bad(uint32_t row) const;
  [[noreturn]] void throw_lost(uint32_t row) const;

  std::unique_ptr<std::atomic<bool>[]> bad_;
  mutable std::atomic<bool> any_bad_{false};
};

// Whether greater scores are better.
inline bool score_is_similarity(Distance distance) {
  return distance == Distance::kCosine || distance == Distance::kDot;
}

}  // namespace sealpoint
