#include "sparse_index.h"

#include <algorithm>

namespace sealpoint {

namespace {

// Lists shorter than this are not worth compacting.
constexpr size_t kCompactMin = 32;
// A filter that leaves fewer vectors than the query's lists have entries, divided by this, is cheaper to score one by one.
constexpr size_t kForwardCost = 8;

// Sums by slot of one search, kept by each thread so that a search allocates nothing.
struct Sums {
  std::vector<float> scores;
  std::vector<uint32_t> touched;
  std::vector<uint8_t> seen;
};

Sums& thread_sums() {
  thread_local Sums sums;
  return sums;
}

struct Worst {
  bool operator()(const SparseHit& a, const SparseHit& b) const {
    return a.score != b.score ? a.score > b.score : a.slot < b.slot;
  }
};

void offer(std::vector<SparseHit>& heap, size_t k, const SparseHit& hit) {
  const Worst worse;
  if (heap.size() < k) {
    heap.push_back(hit);
    std::push_heap(heap.begin(), heap.end(), worse);
  } else if (worse(hit, heap.front())) {
    std::pop_heap(heap.begin(), heap.end(), worse);
    heap.back() = hit;
    std::push_heap(heap.begin(), heap.end(), worse);
  }
}

}  // namespace

void SparseIndex::forget(uint32_t slot) {
  Slot& old = slots_[slot];
  if (!old.live) return;
  old.live = false;
  --live_;
  for (const uint32_t dimension : old.indices) {
    const auto found = postings_.find(dimension);
    if (found == postings_.end()) continue;
    Postings& list = found->second;
    if (++list.dead == list.entries.size()) {
      postings_.erase(found);
    } else if (list.dead * 2 > list.entries.size() && list.entries.size() >= kCompactMin) {
      std::erase_if(list.entries, [&](const Entry& entry) { return !is_current(entry); });
      list.dead = 0;
      list.entries.shrink_to_fit();
    }
  }
}

void SparseIndex::upsert(uint32_t slot, const SparseView& vector) {
  if (slot >= slots_.size()) slots_.resize(slot + size_t{1});
  forget(slot);
  Slot& to = slots_[slot];
  ++to.generation;
  to.live = true;
  ++live_;
  to.indices.assign(vector.indices, vector.indices + vector.count);
  to.values.assign(vector.values, vector.values + vector.count);
  to.indices.shrink_to_fit();
  to.values.shrink_to_fit();
  for (size_t i = 0; i < vector.count; ++i) {
    postings_[vector.indices[i]].entries.push_back({slot, to.generation, vector.values[i]});
  }
}

void SparseIndex::remove(uint32_t slot) {
  if (slot >= slots_.size()) return;
  forget(slot);
  slots_[slot].indices = {};
  slots_[slot].values = {};
}

SparseView SparseIndex::get(uint32_t slot) const {
  if (!contains(slot)) return {};
  const Slot& from = slots_[slot];
  return {from.indices.data(), from.values.data(), from.indices.size()};
}

bool SparseIndex::dot(const SparseView& query, uint32_t slot, float& score) const {
  const SparseView stored = get(slot);
  score = 0;
  bool overlap = false;
  for (size_t i = 0, j = 0; i < query.count && j < stored.count;) {
    if (query.indices[i] == stored.indices[j]) {
      score += query.values[i++] * stored.values[j++];
      overlap = true;
    } else if (query.indices[i] < stored.indices[j]) {
      ++i;
    } else {
      ++j;
    }
  }
  return overlap;
}

std::vector<SparseHit> SparseIndex::search(const SparseView& query, size_t k, const Bitset* allowed, size_t allowed_count) const {
  std::vector<SparseHit> best;
  if (k == 0 || live_ == 0) return best;
  size_t entries = 0;
  for (size_t i = 0; i < query.count; ++i) {
    const auto found = postings_.find(query.indices[i]);
    if (found != postings_.end()) entries += found->second.entries.size();
  }
  if (allowed != nullptr && allowed_count * kForwardCost < entries) {
    allowed->for_each([&](uint32_t slot) {
      float score;
      if (dot(query, slot, score)) offer(best, k, {slot, score});
    });
  } else {
    Sums& sums = thread_sums();
    if (sums.scores.size() < slots_.size()) {
      sums.scores.resize(slots_.size());
      sums.seen.resize(slots_.size());
    }
    sums.touched.clear();
    for (size_t i = 0; i < query.count; ++i) {
      const auto found = postings_.find(query.indices[i]);
      if (found == postings_.end()) continue;
      const float weight = query.values[i];
      for (const Entry& entry : found->second.entries) {
        if (!is_current(entry) || (allowed != nullptr && !allowed->test(entry.slot))) continue;
        if (!sums.seen[entry.slot]) {
          sums.seen[entry.slot] = 1;
          sums.scores[entry.slot] = 0;
          sums.touched.push_back(entry.slot);
        }
        sums.scores[entry.slot] += weight * entry.value;
      }
    }
    for (const uint32_t slot : sums.touched) {
      sums.seen[slot] = 0;
      offer(best, k, {slot, sums.scores[slot]});
    }
  }
  std::sort_heap(best.begin(), best.end(), Worst());
  return best;
}

size_t SparseIndex::document_frequency(uint32_t dimension, const Bitset* allowed) const {
  const auto found = postings_.find(dimension);
  if (found == postings_.end()) return 0;
  if (allowed == nullptr) return found->second.entries.size() - found->second.dead;
  size_t count = 0;
  for (const Entry& entry : found->second.entries) count += is_current(entry) && allowed->test(entry.slot);
  return count;
}

size_t SparseIndex::memory_bytes() const {
  size_t bytes = slots_.capacity() * sizeof(Slot);
  for (const Slot& slot : slots_) bytes += slot.indices.capacity() * 4 + slot.values.capacity() * 4;
  for (const auto& [dimension, list] : postings_) bytes += sizeof(Postings) + 32 + list.entries.capacity() * sizeof(Entry);
  return bytes;
}

}  // namespace sealpoint
