// What a collection holds in memory: told, booked and given back.
#include <algorithm>
#include <functional>
#include <shared_mutex>

#include "collection.h"

namespace sealpoint {

// Under the state's lock.
CollectionMemory Collection::memory() const {
  CollectionMemory memory;
  memory.ids = ids_.bytes() + versions_.capacity() * 8 + sealed_.words().capacity() * 8;
  for (const auto& versions : vector_versions_) memory.ids += versions.capacity() * 8;
  for (const auto& vectors : vectors_) {
    const VectorIndexStats index = vectors->stats();
    memory.tail += index.tail;
    memory.graph += index.graph;
    memory.ids += index.anonymous - index.tail - index.graph;
    memory.mapped += index.mapped;
  }
  for (const auto& sparse : sparse_) memory.tail += sparse.memory_bytes();
  for (const auto& multi : multi_) {
    memory.tail += multi.memory_bytes();
    memory.graph += multi.graph_bytes();
  }
  for (const auto& info : indexes_->infos()) memory.payload_indexes += info.bytes;
  for (const auto& info : indexes_->temporaries()) memory.payload_indexes += info.bytes;
  memory.payload_indexes += plans_.bytes();
  return memory;
}

std::vector<VectorMemory> Collection::vector_memory() const {
  std::vector<VectorMemory> told;
  std::vector<std::function<uint64_t()>> resident;
  std::shared_lock lock(state_mutex_);
  for (size_t number = 0; number < record_.vectors.size(); ++number) {
    const VectorField& field = record_.vectors[number];
    if (field.removed) continue;
    const VectorIndexStats index = vectors_[number]->stats();
    VectorMemory memory{field.name, field.sparse, index.tail, index.graph, index.mapped};
    if (number < sparse_.size()) memory.graph += sparse_[number].memory_bytes();
    if (number < multi_.size()) {
      memory.tail += multi_[number].memory_bytes();
      memory.graph += multi_[number].graph_bytes();
    }
    told.push_back(std::move(memory));
    resident.push_back(vectors_[number]->resident_bytes());
  }
  lock.unlock();
  // A great collection has millions of pages: a write that waited for this would keep all reads behind it waiting, too.
  for (size_t i = 0; i < told.size(); ++i) told[i].resident = resident[i]();
  return told;
}

uint64_t Collection::book_memory() {
  std::shared_lock lock(state_mutex_);
  const uint64_t bytes = memory().anonymous();
  booking_.set(bytes);
  return bytes;
}

uint64_t Collection::build_room() const {
  // What a tail is merged with is at most twice as great.
  constexpr uint64_t kMerged = 3;
  std::shared_lock lock(state_mutex_);
  uint64_t room = 0;
  for (size_t vector = 0; vector < vectors_.size(); ++vector) {
    room = std::max(room, multi_[vector].build_room());
    if (!vectors_[vector]->wants_build()) continue;
    const VectorIndexStats index = vectors_[vector]->stats();
    const uint64_t rows = std::min(index.live, (index.live - std::min(index.live, index.indexed)) * kMerged);
    room = std::max(room, rows * (2 * record_.vectors[vector].dim + 28 * uint64_t{record_.vectors[vector].m} + 128));
  }
  return room;
}

// Books what a write may take, which is more than it takes: what is held is counted anew when much was booked so, and before a refusal.
// Under the writers' mutex.
void Collection::take_memory(uint64_t growth) {
  constexpr uint64_t kEstimatedMax = 4 << 20;
  if (growth == 0) return;
  const auto count = [this] {
    book_memory();
    estimated_ = 0;
    uncounted_ = false;
  };
  if (estimated_ + growth > kEstimatedMax + booking_.bytes() / 8) count();
  try {
    booking_.grow_collection(growth, record_.name);
  } catch (const Error&) {
    if (!uncounted_) throw;
    count();
    booking_.grow_collection(growth, record_.name);
  }
  estimated_ += growth;
}

// The last point is gone: no slot is in use. Under both locks.
void Collection::forget_slots() {
  ids_ = IdTable();
  std::vector<uint64_t>().swap(versions_);
  for (auto& versions : vector_versions_) std::vector<uint64_t>().swap(versions);
  sealed_ = Bitset();
}

}  // namespace sealpoint
