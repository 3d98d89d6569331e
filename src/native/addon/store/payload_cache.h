// Payloads that were answered of late, by slot and version, so that a point of a search's answer costs a copy and not a walk
// through RocksDB. A version is the operation that wrote the point and is never used again, so what is held needs no invalidation: a point that
// was changed is asked for under another version. One memory bound for all collections of a store.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

namespace sealpoint {

struct PayloadKey {
  uint32_t cid = 0;
  uint32_t slot = 0;
  uint64_t version = 0;
};

class PayloadCache {
 public:
  // About as many bytes as it may ever use; memory is taken as it fills.
  explicit PayloadCache(size_t bytes);

  // Calls `use` with the payload, under the lock of its shard; false when it is not held.
  template <typename Use>
  bool read(const PayloadKey& key, Use use) {
    const uint64_t hash = hash_of(key);
    Shard& shard = shards_[hash % kShards];
    std::lock_guard lock(shard.mutex);
    const Entry* entry = shard.find(key, hash);
    if (entry == nullptr) return false;
    use(std::string_view(reinterpret_cast<const char*>(entry + 1), entry->size));
    return true;
  }
  // Takes the place of what was put longest ago. A payload that is large against the whole is not kept.
  void put(const PayloadKey& key, std::string_view payload);
  size_t bytes() const;

 private:
  static constexpr size_t kShards = 16;
  static constexpr size_t kWays = 4;

  struct Entry {
    PayloadKey key;
    uint32_t size;
    uint32_t zero;
  };
  static_assert(sizeof(Entry) == 24);

  // A ring of entries. Places count on for ever, so a place that was overwritten is known by its distance from the head.
  struct Shard {
    mutable std::mutex mutex;
    size_t size = 0;
    uint64_t head = 0;
    std::unique_ptr<char[]> ring;
    std::vector<uint64_t> places;  // buckets of kWays; a place and 1, or 0

    const Entry* at(uint64_t place) const { return reinterpret_cast<const Entry*>(ring.get() + place % size); }
    bool held(uint64_t place_and_1) const { return place_and_1 != 0 && head - (place_and_1 - 1) <= size; }
    size_t bucket(uint64_t hash) const { return (hash / kShards) % (places.size() / kWays) * kWays; }
    const Entry* find(const PayloadKey& key, uint64_t hash) const;
  };

  static uint64_t hash_of(const PayloadKey& key);

  std::unique_ptr<Shard[]> shards_;
};

}  // namespace sealpoint
