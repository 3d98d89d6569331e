// The payload cache from many threads at once, for the sanitizers: what it gives is always what was put under that very key.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "../store/payload_cache.h"
#include "program.h"

using namespace sealpoint;

namespace {

// Follows from the key alone, and looks like an entry's header, so that a place that was overwritten would be taken for one.
std::string payload_of(const PayloadKey& key) {
  std::string payload;
  const size_t copies = (key.slot * 7 + key.version) % 40;
  for (size_t i = 0; i < copies; ++i) payload.append(reinterpret_cast<const char*>(&key), sizeof(key));
  payload.append(key.version % 8, 'x');
  return payload;
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned seed = checks::take_seed(argc, argv);
  constexpr size_t kBytes = 256 << 10;
  PayloadCache cache(kBytes);
  std::atomic<size_t> hits{0};
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < 4; ++number) {
    threads.emplace_back([&, number] {
      std::mt19937 random(seed + number);
      for (int turn = 0; turn < 60000; ++turn) {
        // Few slots are asked for often, and a ring is gone round many times.
        const uint32_t slot = random() % 2 == 0 ? random() % 50 : random() % 5000;
        const PayloadKey key{1 + random() % 2, slot, 1 + random() % 3};
        bool held = cache.read(key, [&](std::string_view payload) { CHECK(payload == payload_of(key)); });
        hits += held ? 1 : 0;
        if (!held) cache.put(key, payload_of(key));
        if (random() % 16 == 0) cache.put(key, payload_of(key));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(hits > 10000);
  CHECK(cache.bytes() <= kBytes + kBytes / 8);
  // What was put last is held; what is large against the whole is not.
  const PayloadKey last{9, 9, 9};
  cache.put(last, "payload");
  CHECK(cache.read(last, [](std::string_view payload) { CHECK(payload == "payload"); }));
  CHECK(!cache.read({9, 9, 8}, [](std::string_view) {}));
  CHECK(!cache.read({8, 9, 9}, [](std::string_view) {}));
  const PayloadKey large{9, 10, 9};
  cache.put(large, std::string(kBytes, 'x'));
  CHECK(!cache.read(large, [](std::string_view) {}));
  std::printf("payload_cache_check: passed, %zu hits\n", hits.load());
  return 0;
}
