// Snapshots through the engine's one door, for the sanitizers: made, restored and replaced while writes, searches and deletes go on; damaged files,
// which must change nothing; closing under a restore; and kill -9 in restores, after which the old collection or the new one is there.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <random>
#include <thread>

#include "../engine/engine.h"
#include "program.h"

using namespace sealpoint;

namespace {

constexpr uint32_t kDim = 16;

Outcome ask(Engine& engine, Operation operation, ByteWriter message) {
  auto bytes = std::make_shared<std::string>(std::move(message.bytes()));
  auto promise = std::make_shared<std::promise<Outcome>>();
  auto future = promise->get_future();
  engine.submit(operation, {*bytes, {}}, bytes, [promise](Outcome outcome) { promise->set_value(std::move(outcome)); });
  return future.get();
}

ByteWriter texts(std::initializer_list<std::string_view> values) {
  ByteWriter out;
  for (const auto value : values) out.text(value);
  return out;
}

void create(Engine& engine, std::string_view name) {
  ByteWriter out = texts({name, "{}", "{}"});
  out.u32(1);
  VectorField field;
  field.dim = kDim;
  field.indexing_threshold_kb = 20;
  field.m = 8;
  field.ef_construct = 32;
  field.write(out);
  CHECK(ask(engine, Operation::kCreateCollection, std::move(out)).ok);
}

Outcome upsert(Engine& engine, std::string_view name, uint64_t from, uint64_t count, float value) {
  ByteWriter out = texts({name});
  out.u8(1);
  out.u64(0);
  out.text("");
  out.u64(0);
  out.u8(1);
  out.u32(static_cast<uint32_t>(count));
  for (uint64_t id = from; id < from + count; ++id) {
    out.id(PointId::number(id));
    out.text(std::string_view("\x12\x07\x0a\x01n\x12\x02\x18\x05", 9));
    out.u8(1);
    out.text("");
    out.u32(kDim);
    for (uint32_t i = 0; i < kDim; ++i) out.f32(value + static_cast<float>(i));
  }
  return ask(engine, Operation::kWrite, std::move(out));
}

uint64_t count_of(Engine& engine, std::string_view name) {
  ByteWriter out = texts({name});
  out.u8(0);
  out.text("");
  const Outcome outcome = ask(engine, Operation::kCount, std::move(out));
  return outcome.ok ? ByteReader(outcome.bytes).u64() : ~0ull;
}

Outcome snapshot(Engine& engine, std::string_view name, const std::string& path, const std::string& base = "") {
  return ask(engine, Operation::kCreateSnapshot, texts({name, path, base}));
}
Outcome restore(Engine& engine, std::string_view name, const std::vector<std::string>& paths) {
  ByteWriter out;
  out.u32(static_cast<uint32_t>(paths.size()));
  for (const auto& path : paths) out.text(path);
  out.text(name);
  out.text("");
  return ask(engine, Operation::kRestoreSnapshot, std::move(out));
}
Outcome restore(Engine& engine, std::string_view name, const std::string& path) { return restore(engine, name, std::vector<std::string>{path}); }

void beside_writes(const std::string& folder) {
  auto engine = Engine::open(folder + "/beside", {});
  create(*engine, "a");
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> written{0};
  std::thread writer([&] {
    for (uint64_t round = 0; !stop; ++round) {
      // A write to a collection that is being replaced may be refused, never lost in part.
      if (upsert(*engine, "a", round % 20 * 50, 50, static_cast<float>(round)).ok) ++written;
    }
  });
  std::thread reader([&] {
    while (!stop) {
      for (const char* name : {"a", "b"}) {
        const uint64_t count = count_of(*engine, name);
        CHECK(count == ~0ull || count % 50 == 0);
      }
    }
  });
  for (int round = 0; round < 8; ++round) {
    const std::string path = folder + "/snapshots/" + std::to_string(round);
    CHECK(snapshot(*engine, "a", path).ok);
    CHECK(!snapshot(*engine, "a", path).ok);
    CHECK(restore(*engine, "b", path).ok);
    if (round % 3 == 0) CHECK(restore(*engine, "a", path).ok);
    if (round % 3 == 1) CHECK(ask(*engine, Operation::kDeleteCollection, texts({"b"})).ok);
    CHECK(snapshot(*engine, "", path + "-full").ok);
    if (round == 5) CHECK(restore(*engine, "", path + "-full").ok);
  }
  stop = true;
  writer.join();
  reader.join();
  CHECK(written > 0);
  engine->close();
}

void damaged(const std::string& folder, uint32_t seed) {
  std::mt19937 random(seed);
  auto engine = Engine::open(folder + "/damaged", {});
  create(*engine, "a");
  CHECK(upsert(*engine, "a", 0, 400, 1).ok);
  const std::string path = folder + "/snapshots/sound", bad = folder + "/snapshots/bad";
  CHECK(snapshot(*engine, "a", path).ok);
  std::ifstream file(path, std::ios::binary);
  const std::string sound{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  for (int round = 0; round < 150; ++round) {
    std::string bytes = sound;
    const size_t at = random() % bytes.size();
    if (round % 3 == 0) bytes.resize(at);
    if (round % 3 == 1) bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
    if (round % 3 == 2) bytes.insert(at, 1 + random() % 40, static_cast<char>(random()));
    std::ofstream(bad, std::ios::binary | std::ios::trunc) << bytes;
    CHECK(!restore(*engine, round % 2 == 0 ? "a" : "b", bad).ok);
  }
  CHECK(count_of(*engine, "a") == 400 && count_of(*engine, "b") == ~0ull);
  CHECK(restore(*engine, "b", path).ok && count_of(*engine, "b") == 400);
  // An incremental one on top of it: damaged in any place, it changes nothing either.
  const std::string part = folder + "/snapshots/part";
  CHECK(upsert(*engine, "a", 350, 100, 2).ok);
  CHECK(!snapshot(*engine, "b", part, path).ok);
  CHECK(snapshot(*engine, "a", part, path).ok);
  CHECK(!restore(*engine, "b", part).ok && !restore(*engine, "b", {part, path}).ok && !restore(*engine, "b", {path, path}).ok);
  std::ifstream part_file(part, std::ios::binary);
  const std::string part_bytes{std::istreambuf_iterator<char>(part_file), std::istreambuf_iterator<char>()};
  CHECK(part_bytes.size() < sound.size() / 2);
  for (int round = 0; round < 60; ++round) {
    std::string bytes = part_bytes;
    const size_t at = random() % bytes.size();
    if (round % 2 == 0) bytes.resize(at);
    if (round % 2 == 1) bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
    std::ofstream(bad, std::ios::binary | std::ios::trunc) << bytes;
    CHECK(!restore(*engine, "b", {path, bad}).ok);
  }
  CHECK(count_of(*engine, "b") == 400);
  CHECK(restore(*engine, "b", {path, part}).ok && count_of(*engine, "b") == 450);
  // Closing does not wait for the whole of a restore.
  std::thread late([&] { (void)restore(*engine, "c", path); });
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  engine->close();
  late.join();
}

// Restores snapshots of 100 and 200 points over the same collection until it is killed.
[[noreturn]] void restore_for_ever(const std::string& folder) {
  auto engine = Engine::open(folder + "/killed", {});
  for (int round = 0;; ++round) (void)restore(*engine, "a", folder + (round % 2 == 0 ? "/snapshots/100" : "/snapshots/200"));
}

pid_t begin(const std::function<void()>& work) {
  const pid_t child = fork();
  if (child != 0) return child;
  work();
  _exit(0);
}

void killed(const std::string& folder, uint32_t seed) {
  std::mt19937 random(seed);
  int status = 0;
  waitpid(begin([&] {
            auto engine = Engine::open(folder + "/killed", {});
            create(*engine, "a");
            for (const uint64_t count : {100, 200}) {
              CHECK(upsert(*engine, "a", 0, count, 1).ok);
              CHECK(snapshot(*engine, "a", folder + "/snapshots/" + std::to_string(count)).ok);
            }
            engine->close();
          }),
          &status, 0);
  CHECK(status == 0);
  for (int round = 0; round < 12; ++round) {
    const pid_t child = begin([&] { restore_for_ever(folder); });
    std::this_thread::sleep_for(std::chrono::milliseconds(60 + random() % 200));
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    waitpid(begin([&] {
              auto engine = Engine::open(folder + "/killed", {});
              const uint64_t count = count_of(*engine, "a");
              CHECK(count == 100 || count == 200);
              CHECK(!std::filesystem::exists(folder + "/killed/restore"));
              CHECK(upsert(*engine, "a", 0, 50, 2).ok && count_of(*engine, "a") == count);
              engine->close();
            }),
            &status, 0);
    CHECK(status == 0);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const checks::Folder temporary;
  const std::string& folder = temporary.path();
  const unsigned seed = checks::take_seed(argc, argv);
  // First: a process with threads is not forked.
  killed(folder, seed);
  beside_writes(folder);
  damaged(folder, seed);
  std::puts("snapshots ok");
  return 0;
}
