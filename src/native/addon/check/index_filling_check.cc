// Indexes that come and go under writes: each writer asks, after each of its writes, for its own points by a filter, and the answer must be
// what it wrote, whether an index is being filled, is there, is a temporary one, or none is. Argument: a seed.
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <map>
#include <random>
#include <thread>

#include "../engine/engine.h"
#include "program.h"

namespace {

using namespace sealpoint;

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  uint64_t below(uint64_t bound) { return engine_() % bound; }
  bool one_in(uint64_t n) { return below(n) == 0; }

 private:
  std::mt19937_64 engine_;
};

constexpr uint32_t kDim = 4;
constexpr uint32_t kWriters = 3;
constexpr uint64_t kPointsEach = 1500;

Outcome ask(Engine& engine, Operation operation, ByteWriter message) {
  auto bytes = std::make_shared<std::string>(std::move(message.bytes()));
  auto promise = std::make_shared<std::promise<Outcome>>();
  auto future = promise->get_future();
  engine.submit(operation, {*bytes, {}}, bytes, [promise](Outcome outcome) { promise->set_value(std::move(outcome)); });
  return future.get();
}

ByteWriter named() {
  ByteWriter out;
  out.text("c");
  return out;
}

void create(Engine& engine) {
  ByteWriter out = named();
  out.text("{}");
  out.text("{}");
  out.u32(1);
  VectorField field;
  field.dim = kDim;
  field.write(out);
  CHECK(ask(engine, Operation::kCreateCollection, std::move(out)).ok);
}

// A payload of two integers, both below 128.
std::string payload_of(int64_t n, uint64_t w) {
  const auto entry = [](char key, uint64_t value) {
    const char bytes[] = {0x12, 0x07, 0x0a, 0x01, key, 0x12, 0x02, 0x18, static_cast<char>(value)};
    return std::string(bytes, sizeof(bytes));
  };
  return entry('n', static_cast<uint64_t>(n)) + entry('w', w);
}

// A filter program (src/filter/encode.ts) whose `must` holds the conditions.
std::string program(const std::vector<std::string>& conditions) {
  ByteWriter out;
  out.u8(1);
  out.u32(static_cast<uint32_t>(conditions.size()));
  for (const std::string& condition : conditions) out.raw(condition.data(), condition.size());
  out.u32(0);
  out.u32(0);
  out.u8(0);
  return std::move(out.bytes());
}

bool write(Engine& engine, uint64_t id, int64_t n) {
  ByteWriter out = named();
  out.u8(1);
  out.u64(0);
  out.text("");
  out.u64(0);
  if (n < 0) {
    out.u8(2);
    out.u8(0);
    out.u32(1);
    out.id(PointId::number(id));
  } else {
    out.u8(1);
    out.u32(1);
    out.id(PointId::number(id));
    out.text(payload_of(n, id / kPointsEach));
    out.u8(1);
    out.text("");
    out.u32(kDim);
    for (uint32_t i = 0; i < kDim; ++i) out.f32(1);
  }
  return ask(engine, Operation::kWrite, std::move(out)).ok;
}

uint64_t count(Engine& engine, const std::vector<std::string>& conditions) {
  ByteWriter out = named();
  out.u8(0);
  out.text(program(conditions));
  const Outcome outcome = ask(engine, Operation::kCount, std::move(out));
  CHECK(outcome.ok);
  return outcome.ok ? ByteReader(outcome.bytes).u64() : 0;
}

std::string at_most(int64_t n) {
  ByteWriter out;
  out.u8(8);
  out.text("n");
  out.u8(2);
  out.f64(static_cast<double>(n));
  return std::move(out.bytes());
}

std::string writer_is(uint32_t writer) {
  ByteWriter out;
  out.u8(2);
  out.text("w");
  out.put<int64_t>(writer);
  return std::move(out.bytes());
}

bool change_index(Engine& engine, const char* key, bool add, bool wait) {
  ByteWriter out = named();
  out.text(key);
  if (add) {
    out.u8(static_cast<uint8_t>(FieldType::kInteger));
    out.text("");
    out.u8(wait ? 1 : 0);
  }
  return ask(engine, add ? Operation::kCreateFieldIndex : Operation::kDeleteFieldIndex, std::move(out)).ok;
}

size_t temporaries(Engine& engine) {
  ByteWriter out = named();
  out.u8(0);
  out.u8(0);
  out.text(program(std::vector<std::string>{}));
  const Outcome outcome = ask(engine, Operation::kExplain, std::move(out));
  CHECK(outcome.ok && outcome.bytes.size() > 100);
  // The list stands last: an answer is longer by it than the first one, when there was no filter yet.
  static const size_t empty = outcome.bytes.size();
  return outcome.bytes.size() > empty ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned seed = checks::take_seed(argc, argv);
  const checks::Folder root;
  const std::string& folder = root.path();
  std::vector<std::map<uint64_t, int64_t>> truths(kWriters);
  std::atomic<size_t> asked{0}, wrong{0}, made{0}, seen_temporary{0};
  {
    const auto engine = Engine::open(folder, EngineOptions());
    create(*engine);
    for (uint32_t writer = 0; writer < kWriters; ++writer) {
      Random random(seed + writer);
      for (uint64_t i = 0; i < kPointsEach; ++i) {
        const uint64_t id = writer * kPointsEach + i;
        truths[writer][id] = static_cast<int64_t>(random.below(100));
        CHECK(write(*engine, id, truths[writer][id]));
      }
    }
    CHECK(temporaries(*engine) == 0);
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (uint32_t writer = 0; writer < kWriters; ++writer) {
      threads.emplace_back([&, writer] {
        Random random(seed + 100 + writer);
        auto& truth = truths[writer];
        while (!stop) {
          const uint64_t id = writer * kPointsEach + random.below(kPointsEach);
          const int64_t n = random.one_in(4) ? -1 : static_cast<int64_t>(random.below(100));
          if (!write(*engine, id, n)) ++wrong;
          if (n < 0) {
            truth.erase(id);
          } else {
            truth[id] = n;
          }
          const auto bound = static_cast<int64_t>(random.below(100));
          size_t expected = 0;
          for (const auto& [point, value] : truth) expected += value <= bound ? 1 : 0;
          ++asked;
          if (count(*engine, {at_most(bound), writer_is(writer)}) != expected) ++wrong;
        }
      });
    }
    threads.emplace_back([&] {
      Random random(seed + 200);
      const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(4);
      while (std::chrono::steady_clock::now() < until) {
        const char* key = random.one_in(2) ? "n" : "w";
        if (!change_index(*engine, key, true, random.one_in(2))) ++wrong;
        ++made;
        std::this_thread::sleep_for(std::chrono::milliseconds(random.below(100)));
        if (!change_index(*engine, key, false, false)) ++wrong;
        std::this_thread::sleep_for(std::chrono::milliseconds(random.below(200)));
        seen_temporary += temporaries(*engine);
      }
      stop = true;
    });
    for (auto& thread : threads) thread.join();
    // Noted, and cut short by the closing below: the next opening fills it.
    CHECK(change_index(*engine, "n", true, false));
    engine->close();
  }
  {
    const auto engine = Engine::open(folder, EngineOptions());
    for (const int64_t bound : {-1, 0, 37, 99}) {
      size_t expected = 0;
      for (const auto& truth : truths) {
        for (const auto& [id, value] : truth) expected += value <= bound ? 1 : 0;
      }
      CHECK(count(*engine, {at_most(bound)}) == expected);
    }
    engine->close();
  }
  std::printf("asked %zu, wrong %zu, indexes made %zu, looks that saw a temporary index %zu\n", asked.load(), wrong.load(), made.load(),
              seen_temporary.load());
  CHECK(wrong == 0 && made > 0 && asked > 20 && seen_temporary > 0);
  std::printf("ok\n");
  return 0;
}
