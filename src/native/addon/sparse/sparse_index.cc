#include "sparse_index.h"

#include <algorithm>
#include <limits>

#include "../core/cancellation.h"

namespace sealpoint {

namespace {

// Entries that may wait in no order, at least, and as a part of the list.
constexpr size_t kLateMin = 64;
constexpr size_t kLatePart = 16;
// A list is written anew when more than half of it is dead, and shorter ones never.
constexpr size_t kCompactMin = 32;
// A filter that leaves fewer vectors than the query's lists have entries, divided by this, is cheaper to score one by one.
constexpr size_t kForwardCost = 8;
constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

// Sums by slot of one search, kept by each thread so that a search allocates nothing. Between searches each is kNone.
struct Sums {
  std::vector<float> scores;
  std::vector<uint32_t> touched;
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

void SparseIndex::Postings::put(uint32_t slot, float value) {
  if (slots.empty() || slot > slots.back()) {
    slots.push_back(slot);
    values.push_back(value);
    return;
  }
  const auto found = std::lower_bound(slots.begin(), slots.end(), slot);
  if (*found == slot) {
    values[static_cast<size_t>(found - slots.begin())] = value;
    --dead;
    return;
  }
  late.push_back({slot, value});
  if (late.size() > std::max(kLateMin, slots.size() / kLatePart)) merge();
}

void SparseIndex::Postings::drop(uint32_t slot) {
  const auto found = std::lower_bound(slots.begin(), slots.end(), slot);
  if (found != slots.end() && *found == slot) {
    values[static_cast<size_t>(found - slots.begin())] = kNone;
    if (++dead * 2 > slots.size() && slots.size() >= kCompactMin) merge();
    return;
  }
  const auto waiting = std::find_if(late.begin(), late.end(), [&](const Entry& entry) { return entry.slot == slot; });
  if (waiting == late.end()) return;
  *waiting = late.back();
  late.pop_back();
}

void SparseIndex::Postings::merge() {
  std::sort(late.begin(), late.end(), [](const Entry& a, const Entry& b) { return a.slot < b.slot; });
  std::vector<uint32_t> to_slots;
  std::vector<float> to_values;
  to_slots.reserve(live());
  to_values.reserve(live());
  size_t at = 0;
  const auto take_late = [&](uint32_t before) {
    for (; at < late.size() && late[at].slot < before; ++at) {
      to_slots.push_back(late[at].slot);
      to_values.push_back(late[at].value);
    }
  };
  for (size_t i = 0; i < slots.size(); ++i) {
    if (values[i] != values[i]) continue;
    take_late(slots[i]);
    to_slots.push_back(slots[i]);
    to_values.push_back(values[i]);
  }
  take_late(std::numeric_limits<uint32_t>::max());
  slots = std::move(to_slots);
  values = std::move(to_values);
  late = {};
  dead = 0;
}

size_t SparseIndex::live(const Bitset* among) const {
  if (among == nullptr) return live_;
  size_t count = 0;
  among->for_each([&](uint32_t slot) { count += contains(slot); });
  return count;
}

void SparseIndex::forget(uint32_t slot) {
  Slot& old = slots_[slot];
  if (!old.live) return;
  old.live = false;
  --live_;
  entries_ -= old.indices.size();
  for (const uint32_t dimension : old.indices) {
    const auto found = postings_.find(dimension);
    if (found == postings_.end()) continue;
    found->second.drop(slot);
    if (found->second.live() == 0) postings_.erase(found);
  }
}

void SparseIndex::upsert(uint32_t slot, const SparseView& vector) {
  if (slot >= slots_.size()) slots_.resize(slot + size_t{1});
  forget(slot);
  Slot& to = slots_[slot];
  to.live = true;
  ++live_;
  forward_ -= to.indices.size();
  forward_ += vector.count;
  entries_ += vector.count;
  to.indices.assign(vector.indices, vector.indices + vector.count);
  to.values.assign(vector.values, vector.values + vector.count);
  to.indices.shrink_to_fit();
  to.values.shrink_to_fit();
  for (size_t i = 0; i < vector.count; ++i) postings_[vector.indices[i]].put(slot, vector.values[i]);
}

void SparseIndex::remove(uint32_t slot) {
  if (slot >= slots_.size()) return;
  forget(slot);
  forward_ -= slots_[slot].indices.size();
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
    if (found != postings_.end()) entries += found->second.live();
  }
  if (allowed != nullptr && allowed_count * kForwardCost < entries) {
    cancellation::Stride<1024> steps;
    allowed->for_each([&](uint32_t slot) {
      steps.step();
      float score;
      if (dot(query, slot, score)) offer(best, k, {slot, score});
    });
  } else {
    Sums& sums = thread_sums();
    if (sums.scores.size() < slots_.size()) sums.scores.resize(slots_.size(), kNone);
    sums.touched.clear();
    bool given_up = false;
    for (size_t i = 0; i < query.count && !given_up; ++i) {
      const auto found = postings_.find(query.indices[i]);
      if (found == postings_.end()) continue;
      given_up = cancellation::requested();
      const float weight = query.values[i];
      found->second.for_each([&](uint32_t slot, float value) {
        if (allowed != nullptr && !allowed->test(slot)) return;
        float& sum = sums.scores[slot];
        if (sum == sum) {
          sum += weight * value;
        } else {
          sum = weight * value;
          sums.touched.push_back(slot);
        }
      });
    }
    for (const uint32_t slot : sums.touched) {
      const float score = sums.scores[slot];
      sums.scores[slot] = kNone;
      // Infinite products may cancel out to no number.
      if (score != score || given_up) continue;
      if (best.size() < k || score >= best.front().score) offer(best, k, {slot, score});
    }
  }
  cancellation::check();
  std::sort_heap(best.begin(), best.end(), Worst());
  return best;
}

size_t SparseIndex::document_frequency(uint32_t dimension, const Bitset* allowed) const {
  const auto found = postings_.find(dimension);
  if (found == postings_.end()) return 0;
  if (allowed == nullptr) return found->second.live();
  size_t count = 0;
  found->second.for_each([&](uint32_t slot, float) { count += allowed->test(slot); });
  return count;
}

// An estimate from counts: it is asked for often, and lists grow by half.
size_t SparseIndex::memory_bytes() const {
  return slots_.capacity() * sizeof(Slot) + forward_ * 8 + entries_ * 10 + postings_.size() * (sizeof(Postings) + 32);
}

}  // namespace sealpoint
