#include "memory_index.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "../vector/vector_index.h"

namespace sealpoint {

namespace {
constexpr size_t kIndexesMax = 64;
constexpr size_t kChunkRows = 4096;
constexpr uint32_t kDimMax = 65'536;
}  // namespace

struct MemoryIndexes::Index {
  Index(MemoryBudget& budget, uint32_t dimensions) : dim(dimensions), booking(budget) {}
  ~Index() {
    for (auto& chunk : chunks) {
      // Volatile, so that the wipe is not optimised away.
      volatile float* values = chunk.get();
      for (size_t i = 0; i < kChunkRows * dim; ++i) values[i] = 0;
    }
  }
  const uint32_t dim;
  FairSharedMutex mutex;
  std::vector<std::unique_ptr<float[]>> chunks;
  size_t rows = 0;
  Booking booking;
};

std::shared_ptr<MemoryIndexes::Index> MemoryIndexes::find(uint64_t index) const {
  std::shared_lock lock(mutex_);
  const auto found = indexes_.find(index);
  if (found == indexes_.end()) throw Error(ErrorKind::kNotFound, "Not found: the session index is closed", "session_id");
  return found->second;
}

uint64_t MemoryIndexes::create(uint32_t dim) {
  if (dim == 0 || dim > kDimMax) throw Error(ErrorKind::kBadInput, "Wrong input: dimensions must be 1 to 65536", "dimensions");
  std::unique_lock lock(mutex_);
  if (indexes_.size() >= kIndexesMax) throw Error(ErrorKind::kExhausted, "too many session indexes are open");
  indexes_.emplace(next_, std::make_shared<Index>(budget_, dim));
  return next_++;
}

uint64_t MemoryIndexes::add(ByteReader& in) {
  const auto index = find(in.u64());
  const uint32_t count = in.u32();
  in.u32();
  const char* bytes = in.span(size_t{count} * index->dim * 4);
  std::unique_lock lock(index->mutex);
  const size_t chunks = (index->rows + count + kChunkRows - 1) / kChunkRows;
  if (chunks > index->chunks.size()) index->booking.grow((chunks - index->chunks.size()) * kChunkRows * index->dim * 4, "the session index");
  for (uint32_t i = 0; i < count; ++i) {
    const size_t at = index->rows % kChunkRows;
    if (at == 0) index->chunks.push_back(std::make_unique<float[]>(kChunkRows * index->dim));
    float* row = index->chunks.back().get() + at * index->dim;
    std::memcpy(row, bytes + size_t{i} * index->dim * 4, size_t{index->dim} * 4);
    normalize(row, index->dim);
    ++index->rows;
  }
  return index->rows;
}

std::string MemoryIndexes::search(ByteReader& in) const {
  const auto index = find(in.u64());
  const uint32_t k = in.u32();
  const bool has_threshold = in.u8() != 0;
  const float threshold = in.f32();
  const uint32_t dim = in.u32();
  if (dim != index->dim) {
    throw Error(ErrorKind::kBadInput,
                "Wrong input: Vector dimension error: expected dim: " + std::to_string(index->dim) + ", got " + std::to_string(dim), "vector");
  }
  std::vector<float> query(dim);
  std::memcpy(query.data(), in.span(size_t{dim} * 4), size_t{dim} * 4);
  for (const float value : query) {
    if (!std::isfinite(value)) throw Error(ErrorKind::kBadInput, "Wrong input: the query vector holds a value that is not finite", "vector");
  }
  normalize(query.data(), dim);
  struct Hit {
    float score;
    uint32_t row;
  };
  const auto better = [](const Hit& a, const Hit& b) { return a.score != b.score ? a.score > b.score : a.row < b.row; };
  std::vector<Hit> heap;
  {
    std::shared_lock lock(index->mutex);
    for (size_t row = 0; row < index->rows && k > 0; ++row) {
      const float* values = index->chunks[row / kChunkRows].get() + row % kChunkRows * dim;
      const Hit hit{exact_score(Distance::kCosine, query.data(), values, dim), static_cast<uint32_t>(row)};
      if (has_threshold && hit.score < threshold) continue;
      if (heap.size() < k) {
        heap.push_back(hit);
        std::push_heap(heap.begin(), heap.end(), better);
      } else if (better(hit, heap.front())) {
        std::pop_heap(heap.begin(), heap.end(), better);
        heap.back() = hit;
        std::push_heap(heap.begin(), heap.end(), better);
      }
    }
  }
  std::sort(heap.begin(), heap.end(), better);
  ByteWriter out;
  out.u32(static_cast<uint32_t>(heap.size()));
  for (const Hit& hit : heap) {
    out.u32(hit.row);
    out.f32(hit.score);
  }
  return std::move(out.bytes());
}

bool MemoryIndexes::close(uint64_t index) {
  std::unique_lock lock(mutex_);
  return indexes_.erase(index) > 0;
}

size_t MemoryIndexes::bytes() const {
  std::shared_lock lock(mutex_);
  size_t total = 0;
  for (const auto& [number, index] : indexes_) {
    std::shared_lock rows(index->mutex);
    total += index->chunks.size() * kChunkRows * index->dim * 4;
  }
  return total;
}

}  // namespace sealpoint
