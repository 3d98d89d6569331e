#include "payload_cache.h"

#include <algorithm>
#include <cstring>

namespace sealpoint {

namespace {

// What an entry takes on average, for the size of the table: payloads are seldom smaller.
constexpr size_t kEntryBytes = 128;
// Of a shard; what is larger would drive too much else out.
constexpr size_t kPayloadShareMax = 16;

}  // namespace

PayloadCache::PayloadCache(size_t bytes) : shards_(new Shard[kShards]) {
  for (size_t i = 0; i < kShards; ++i) shards_[i].size = std::max<size_t>(bytes / kShards & ~size_t{7}, 4096);
}

uint64_t PayloadCache::hash_of(const PayloadKey& key) {
  uint64_t x = uint64_t{key.cid} << 32 | key.slot;
  x ^= x >> 33;  // MurmurHash3's finaliser
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return x ^ x >> 33;
}

const PayloadCache::Entry* PayloadCache::Shard::find(const PayloadKey& key, uint64_t hash) const {
  if (ring == nullptr) return nullptr;
  const size_t first = bucket(hash);
  for (size_t way = 0; way < kWays; ++way) {
    const uint64_t place = places[first + way];
    if (!held(place)) continue;
    const Entry* entry = at(place - 1);
    if (entry->key.slot == key.slot && entry->key.version == key.version && entry->key.cid == key.cid) return entry;
  }
  return nullptr;
}

void PayloadCache::put(const PayloadKey& key, std::string_view payload) {
  const uint64_t hash = hash_of(key);
  Shard& shard = shards_[hash % kShards];
  const size_t need = (sizeof(Entry) + payload.size() + 7) & ~size_t{7};
  if (need > shard.size / kPayloadShareMax) return;
  std::lock_guard lock(shard.mutex);
  if (shard.ring == nullptr) {
    // Not zeroed: its pages cost nothing until they are written.
    shard.ring.reset(new char[shard.size]);
    shard.places.resize(std::max<size_t>(shard.size / kEntryBytes / kWays, 1) * kWays);
  }
  if (shard.find(key, hash) != nullptr) return;
  // An entry never goes round the ring's end.
  if (shard.head % shard.size + need > shard.size) shard.head += shard.size - shard.head % shard.size;
  const uint64_t place = shard.head;
  shard.head += need;
  const Entry entry{key, static_cast<uint32_t>(payload.size()), 0};
  char* to = shard.ring.get() + place % shard.size;
  std::memcpy(to, &entry, sizeof(entry));
  std::memcpy(to + sizeof(entry), payload.data(), payload.size());
  const auto first = shard.places.begin() + static_cast<long>(shard.bucket(hash));
  // An empty or overwritten way is older than every other one.
  *std::min_element(first, first + kWays) = place + 1;
}

size_t PayloadCache::bytes() const {
  size_t sum = 0;
  for (size_t i = 0; i < kShards; ++i) {
    std::lock_guard lock(shards_[i].mutex);
    if (shards_[i].ring != nullptr) sum += std::min<uint64_t>(shards_[i].head, shards_[i].size) + shards_[i].places.size() * 8;
  }
  return sum;
}

}  // namespace sealpoint
