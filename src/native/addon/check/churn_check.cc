// Everything at once on one engine, for the sanitizers: writes and deletes, searches, counts, snapshots, state files and the change log, a vector name that comes
// and goes, and an index that does; in the clear and under a cipher. Between rounds the engine is closed and opened again, and each time it holds what the writers
// know. Arguments: a seed, rounds.
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <random>
#include <thread>

#include "engine_calls.h"
#include "program.h"

namespace {

using namespace sealpoint;
using namespace sealpoint::checks;
namespace fs = std::filesystem;

constexpr uint32_t kDim = 8;
constexpr uint64_t kIdsEach = 600, kNamedIds = 1'000'000;
const std::string kName = "c", kExtra = "extra";

VectorField field_of(const std::string& name) {
  VectorField field;
  field.name = name;
  field.dim = kDim;
  field.distance = Distance::kEuclid;
  field.indexing_threshold_kb = 4;
  field.full_scan_threshold_kb = 1;
  field.m = 8;
  field.ef_construct = 24;
  return field;
}

// The nearest of all points to its own vector, and to no other's.
std::vector<float> vector_of(uint64_t id, uint32_t turn) {
  std::vector<float> values(kDim, 0.0f);
  values[0] = static_cast<float>(id % 1000);
  values[1] = static_cast<float>(id / 1000);
  values[2] = static_cast<float>(turn % 1000);
  return values;
}

Outcome upsert(Engine& engine, const std::map<uint64_t, uint32_t>& points, const std::string& vector) {
  ByteWriter out = named(kName);
  out.u8(1);
  out.u64(0);
  out.text("");
  out.u64(0);
  out.u8(1);
  out.u32(static_cast<uint32_t>(points.size()));
  for (const auto& [id, turn] : points) {
    out.id(PointId::number(id));
    const char n[] = {0x12, 0x07, 0x0a, 0x01, 'n', 0x12, 0x02, 0x18, static_cast<char>(turn % 100)};
    out.text(std::string_view(n, sizeof(n)));
    out.u8(1);
    out.text(vector);
    out.u32(kDim);
    for (const float value : vector_of(id, turn)) out.f32(value);
  }
  return ask(engine, Operation::kWrite, std::move(out));
}

Outcome remove(Engine& engine, uint64_t id) {
  ByteWriter out = named(kName);
  out.u8(1);
  out.u64(0);
  out.text("");
  out.u64(0);
  out.u8(2);
  out.u8(0);
  out.u32(1);
  out.id(PointId::number(id));
  return ask(engine, Operation::kWrite, std::move(out));
}

// Rows found and the best one's distance; nothing when the vector is not there.
std::optional<std::pair<uint32_t, float>> search(Engine& engine, const std::string& vector, const std::vector<float>& query) {
  ByteWriter out = named(kName);
  out.u32(1);
  out.text(vector);
  out.u8(0);
  out.u32(kDim);
  for (const float value : query) out.f32(value);
  out.u32(1);
  out.u32(0);
  out.u8(1);
  out.f32(0);
  out.u32(0);
  out.f32(0);
  for (int i = 0; i < 3; ++i) out.u8(0);
  out.u32(0);
  const Outcome outcome = ask(engine, Operation::kSearch, std::move(out));
  if (!outcome.ok) {
    CHECK(outcome.kind == ErrorKind::kBadInput, "%s", outcome.message.c_str());
    return std::nullopt;
  }
  std::pair<uint32_t, float> found{0, 0.0f};
  std::memcpy(&found.first, outcome.bytes.data() + 16, 4);
  if (found.first > 0) std::memcpy(&found.second, outcome.bytes.data() + 16 + 16 + 4, 4);
  return found;
}

uint64_t count_all(Engine& engine) {
  ByteWriter out = named(kName);
  out.u8(0);
  out.text("");
  const Outcome outcome = ask(engine, Operation::kCount, std::move(out));
  CHECK(outcome.ok, "%s", outcome.message.c_str());
  return ByteReader(outcome.bytes).u64();
}

void change_index(Engine& engine, bool add) {
  ByteWriter out = named(kName);
  out.text("n");
  if (add) {
    out.u8(static_cast<uint8_t>(FieldType::kInteger));
    out.text("");
    out.u8(1);
  }
  const Outcome outcome = ask(engine, add ? Operation::kCreateFieldIndex : Operation::kDeleteFieldIndex, std::move(out));
  CHECK(outcome.ok, "%s", outcome.message.c_str());
}

struct Shared {
  Engine& engine;
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> epoch{0};
};

// Owns the ids from `first` on: `turns` says which of them there are, and in which form.
void write_on(Shared& shared, uint64_t first, std::map<uint64_t, uint32_t>& turns, unsigned thread_seed) {
  std::mt19937 random(thread_seed);
  while (!shared.stop) {
    if (random() % 5 == 0 && !turns.empty()) {
      auto at = turns.lower_bound(first + random() % kIdsEach);
      if (at == turns.end()) at = turns.begin();
      CHECK(remove(shared.engine, at->first).ok);
      turns.erase(at);
      continue;
    }
    std::map<uint64_t, uint32_t> points;
    for (unsigned n = 1 + random() % 12; n > 0; --n) points[first + random() % kIdsEach] = random() % 100'000;
    const Outcome outcome = upsert(shared.engine, points, "");
    CHECK(outcome.ok, "%s", outcome.message.c_str());
    for (const auto& [id, turn] : points) turns[id] = turn;
  }
}

void read_on(Shared& shared, unsigned thread_seed) {
  std::mt19937 random(thread_seed);
  while (!shared.stop) {
    (void)search(shared.engine, "", vector_of(random() % (2 * kIdsEach), random() % 100));
    (void)search(shared.engine, kExtra, vector_of(kNamedIds + random() % 50, 0));
    CHECK(count_of(shared.engine, kName, static_cast<int>(random() % 100)).has_value());
  }
}

// Indexes that come and go raise the epoch as well: the next one is tried until it fits.
void change_vectors(Shared& shared, bool add) {
  for (;;) {
    ByteWriter out = named(kName);
    out.u64(shared.epoch);
    out.text("{}");
    out.u8(add ? 1 : 2);
    if (add) {
      field_of(kExtra).write(out);
    } else {
      out.text(kExtra);
    }
    const Outcome outcome = ask(shared.engine, Operation::kChangeVectors, std::move(out));
    ++shared.epoch;
    if (outcome.ok) return;
    CHECK(outcome.kind == ErrorKind::kAborted, "%s", outcome.message.c_str());
  }
}

// A name that comes, is written, and goes: what it held never comes back under the same one.
void change_names(Shared& shared, int& times) {
  while (!shared.stop) {
    change_vectors(shared, true);
    const auto empty = search(shared.engine, kExtra, vector_of(kNamedIds, 0));
    CHECK(empty && empty->first == 0, "a name that is new holds vectors");
    std::map<uint64_t, uint32_t> points;
    for (uint64_t id = 0; id < 200; ++id) points[kNamedIds + id] = static_cast<uint32_t>(times);
    CHECK(upsert(shared.engine, points, kExtra).ok);
    std::this_thread::sleep_for(std::chrono::milliseconds(times % 4 * 30));
    const auto found = search(shared.engine, kExtra, vector_of(kNamedIds + 7, static_cast<uint32_t>(times)));
    CHECK(found && found->first == 1 && found->second < 1e-3f, "a vector of a name is not its own nearest");
    change_vectors(shared, false);
    ++times;
  }
}

void snapshot_on(Shared& shared, const std::string& folder, int& made) {
  while (!shared.stop) {
    const std::string path = folder + "/" + std::to_string(made);
    ByteWriter out = named(kName);
    out.text(path);
    out.text("");
    const Outcome outcome = ask(shared.engine, Operation::kCreateSnapshot, std::move(out));
    CHECK(outcome.ok, "%s", outcome.message.c_str());
    fs::remove(path);
    change_index(shared.engine, made++ % 2 == 0);
  }
}

void churn(const std::string& root, const EngineOptions& options, int rounds, std::mt19937& random) {
  const std::string folder = root + "/data", snapshots = root + "/snapshots";
  fs::create_directories(snapshots);
  std::map<uint64_t, uint32_t> turns[2];
  uint64_t epoch = (1ull << 24) + 1;
  int names = 0, made = 0;
  for (int round = 0; round <= rounds; ++round) {
    auto engine = Engine::open(folder, options);
    if (round == 0) {
      ByteWriter out = named(kName);
      out.text("{}");
      out.text("{}");
      out.u32(1);
      field_of("").write(out);
      CHECK(ask(*engine, Operation::kCreateCollection, std::move(out)).ok);
    }
    const uint64_t named_points = names > 0 ? 200 : 0;
    CHECK(count_all(*engine) == turns[0].size() + turns[1].size() + named_points, "after a start");
    for (const auto& each : turns) {
      for (const auto& [id, turn] : each) {
        if (id % 7 != 0) continue;
        const auto found = search(*engine, "", vector_of(id, turn));
        CHECK(found && found->first == 1 && found->second < 1e-3f, "point %lu is not its own nearest: %g", id, static_cast<double>(found->second));
      }
    }
    if (round < rounds) {
      Shared shared{*engine};
      shared.epoch = epoch;
      std::vector<std::thread> threads;
      for (unsigned i = 0; i < 2; ++i) threads.emplace_back([&, i, of = random()] { write_on(shared, i * kIdsEach, turns[i], of); });
      threads.emplace_back([&, of = random()] { read_on(shared, of); });
      threads.emplace_back([&] { change_names(shared, names); });
      threads.emplace_back([&] { snapshot_on(shared, snapshots, made); });
      std::this_thread::sleep_for(std::chrono::milliseconds(1500 + random() % 1500));
      shared.stop = true;
      for (auto& thread : threads) thread.join();
      epoch = shared.epoch;
    }
    engine->close();
  }
  CHECK(names > 0 && made > 0, "nothing was done beside the writes");
  std::printf("churn_check: %zu points, %d names, %d snapshots%s\n", turns[0].size() + turns[1].size(), names, made,
              options.store.cipher != nullptr ? ", under a cipher" : "");
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned seed = checks::take_seed(argc, argv);
  const int rounds = checks::take_number(argc, argv, 2, 3);
  std::mt19937 random(seed);
  const Folder folder;
  const std::string root = folder.path() + "/data";
  for (const bool sealed : {false, true}) {
    fs::remove_all(root);
    fs::create_directories(root);
    EngineOptions options;
    options.read_threads = 2;
    options.build_threads = 1;
    options.store.state_points_min = 20;
    if (sealed) options.store.cipher = std::make_shared<FileCipher>(std::string(FileCipher::kKeyBytes, 'k'));
    churn(root, options, sealed ? 1 : rounds, random);
  }
  std::printf("churn_check: passed\n");
  find_leaks_now();
  return 0;
}
