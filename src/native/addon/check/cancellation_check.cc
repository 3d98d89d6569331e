// Reads that are given up: each kind of read looks, in its loops and not only at its start, whether anybody still waits. The flag is set at the
// second look after the start, so a loop that never looks answers as if nothing had happened, and fails here. Afterwards the same read is
// answered in full: nothing that a thread keeps for its searches was left half done.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <random>

#include "engine_calls.h"
#include "program.h"

namespace {

using namespace sealpoint;
using namespace sealpoint::checks;

constexpr uint32_t kDim = 8;
constexpr uint32_t kPoints = 6000;
constexpr uint32_t kSparse = 0x8000'0000, kMulti = 0x4000'0000;

// "n": its number modulo 100; "w": whether it is odd.
std::string payload_of(uint32_t id) {
  const auto entry = [](char key, uint32_t value) {
    const char bytes[] = {0x12, 0x07, 0x0a, 0x01, key, 0x12, 0x02, 0x18, static_cast<char>(value)};
    return std::string(bytes, sizeof(bytes));
  };
  return entry('n', id % 100) + entry('w', id % 2);
}

void create(Engine& engine) {
  ByteWriter out = named("c");
  out.text("{}");
  out.text("{}");
  out.u32(3);
  VectorField dense;
  dense.dim = kDim;
  dense.name = "dense";
  dense.write(out);
  VectorField sparse;
  sparse.name = "sparse";
  sparse.sparse = true;
  sparse.distance = Distance::kDot;
  sparse.write(out);
  VectorField multi;
  multi.dim = kDim;
  multi.name = "multi";
  multi.multi = true;
  multi.write(out);
  CHECK(ask(engine, Operation::kCreateCollection, std::move(out)).ok);
}

void write(Engine& engine, std::mt19937_64& random) {
  std::uniform_real_distribution<float> value(0.1f, 1);
  ByteWriter out = named("c");
  out.u8(1);
  out.u64(0);
  out.text("");
  out.u64(0);
  out.u8(1);
  out.u32(kPoints);
  const auto floats = [&](uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) out.f32(value(random));
  };
  for (uint32_t id = 0; id < kPoints; ++id) {
    out.id(PointId::number(id));
    out.text(payload_of(id));
    out.u8(3);
    out.text("dense");
    out.u32(kDim);
    floats(kDim);
    out.text("sparse");
    out.u32(3 | kSparse);
    for (const uint32_t dimension : {id % 5, 7u, 9u + id % 11}) out.u32(dimension);
    floats(3);
    out.text("multi");
    out.u32(kDim | kMulti);
    out.u32(2);
    floats(2 * kDim);
  }
  const Outcome outcome = ask(engine, Operation::kWrite, std::move(out));
  if (!outcome.ok) std::fprintf(stderr, "%s\n", outcome.message.c_str());
  CHECK(outcome.ok);
}

void index(Engine& engine, char key) {
  ByteWriter out = named("c");
  out.text(std::string(1, key));
  out.u8(static_cast<uint8_t>(FieldType::kInteger));
  out.text("");
  out.u8(1);
  CHECK(ask(engine, Operation::kCreateFieldIndex, std::move(out)).ok);
}

// A filter for one value of a key; without one, none.
void filter(ByteWriter& out, char key, uint64_t value) {
  out.u8(0);
  if (key == 0) return out.text("");
  ByteWriter program;
  program.u8(1);
  program.u32(1);
  program.u8(2);
  program.text(std::string(1, key));
  program.u64(value);
  program.u32(0);
  program.u32(0);
  program.u8(0);
  out.text(program.bytes());
}

using Part = std::function<void(ByteWriter& out)>;

// A stage of a query (query_stage.h) without prefetches: its kind with what that needs, and its vector.
void stage(ByteWriter& out, const Part& kind, std::string_view of, char key, uint64_t value, uint32_t limit, bool exact) {
  kind(out);
  out.text(of);
  out.u8(exact ? 1 : 0);
  out.f32(0);
  out.u32(0);
  out.f32(0);
  filter(out, key, value);
  filter(out, 0, 0);
  out.u32(limit);
}

ByteWriter query(const Part& kind, std::string_view of, uint32_t limit, char key = 0, uint64_t value = 0) {
  ByteWriter one;
  one.u32(0);
  stage(one, kind, of, key, value, limit, true);
  one.u32(0);
  one.u8(0);
  one.u8(0);
  one.u8(0);
  ByteWriter out = named("c");
  out.u32(1);
  out.text(one.bytes());
  return out;
}

void dense_input(ByteWriter& out) {
  out.u8(1);
  out.u32(kDim);
  for (uint32_t i = 0; i < kDim; ++i) out.f32(0.5f);
}

const Part nearest = [](ByteWriter& out) {
  out.u8(1);
  dense_input(out);
  out.u8(0);
  out.f32(0);
  out.u32(0);
};
const Part nearest_mmr = [](ByteWriter& out) {
  out.u8(1);
  dense_input(out);
  out.u8(1);
  out.f32(0.5f);
  out.u32(50);
};
const Part nearest_sparse = [](ByteWriter& out) {
  out.u8(1);
  out.u8(2);
  out.u32(3);
  for (const uint32_t dimension : {1u, 7u, 12u}) out.u32(dimension);
  for (int i = 0; i < 3; ++i) out.f32(1);
  out.u8(0);
  out.f32(0);
  out.u32(0);
};
const Part nearest_multi = [](ByteWriter& out) {
  out.u8(1);
  out.u8(3);
  out.u32(2);
  out.u32(2 * kDim);
  for (uint32_t i = 0; i < 2 * kDim; ++i) out.f32(0.5f);
  out.u8(0);
  out.f32(0);
  out.u32(0);
};
const Part best_score = [](ByteWriter& out) {
  out.u8(3);
  out.u32(1);
  out.u32(0);
  dense_input(out);
};
const Part in_id_order = [](ByteWriter& out) { out.u8(0); };
const Part by_value = [](ByteWriter& out) {
  out.u8(7);
  out.text("n");
  out.u8(0);
  out.u8(0);
};
// The constant 1, of every point that the prefetch finds.
ByteWriter formula_query() {
  ByteWriter one;
  one.u32(1);
  one.u32(0);
  stage(one, in_id_order, "", 0, 0, kPoints, false);
  stage(one, [](ByteWriter& out) {
    out.u8(11);
    out.u8(1);
    out.f64(1);
    out.u32(0);
  }, "", 0, 0, 10, false);
  one.u32(0);
  one.u8(0);
  one.u8(0);
  one.u8(0);
  ByteWriter out = named("c");
  out.u32(1);
  out.text(one.bytes());
  return out;
}

ByteWriter groups() {
  ByteWriter one;
  one.u32(0);
  stage(one, in_id_order, "", 0, 0, 3000, false);
  one.text("n");
  one.u32(1);
  one.u8(0);
  one.u8(0);
  ByteWriter out = named("c");
  out.text(one.bytes());
  return out;
}

ByteWriter batch() {
  ByteWriter out = named("c");
  out.u32(200);
  for (int i = 0; i < 200; ++i) {
    ByteWriter one;
    one.u32(0);
    stage(one, in_id_order, "", 0, 0, 10, false);
    one.u32(0);
    one.u8(0);
    one.u8(0);
    one.u8(0);
    out.text(one.bytes());
  }
  return out;
}

ByteWriter count(char key, uint64_t value) {
  ByteWriter out = named("c");
  filter(out, key, value);
  return out;
}

ByteWriter scroll(char key, uint64_t value, uint32_t limit, bool payloads) {
  ByteWriter out = named("c");
  filter(out, key, value);
  out.u8(0);
  out.u32(limit);
  out.u8(payloads ? 1 : 0);
  out.u8(0);
  return out;
}

ByteWriter get() {
  ByteWriter out = named("c");
  out.u32(kPoints);
  for (uint32_t id = 0; id < kPoints; ++id) out.id(PointId::number(id));
  out.u8(1);
  out.u8(1);
  return out;
}

ByteWriter facet(char key, uint64_t value) {
  ByteWriter out = named("c");
  out.text("n");
  filter(out, key, value);
  out.u32(10);
  return out;
}

struct Read {
  const char* name;
  Operation operation;
  std::function<ByteWriter()> message;
};

Outcome given_up(Engine& engine, const Read& read, int look) {
  auto bytes = std::make_shared<std::string>(std::move(read.message().bytes()));
  auto flag = std::make_shared<CancelFlag>();
  flag->set_at(look);
  std::promise<Outcome> promise;
  auto future = promise.get_future();
  engine.submit(read.operation, {*bytes, {}}, bytes, [&](Outcome outcome) { promise.set_value(std::move(outcome)); }, flag);
  return future.get();
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned seed = checks::take_seed(argc, argv);
  std::mt19937_64 random(seed);
  const Folder folder;
  {
    EngineOptions options;
    options.read_threads = 2;
    options.temporary_index_bytes = 0;
    const auto engine = Engine::open(folder.path(), options);
    create(*engine);
    write(*engine, random);
    index(*engine, 'n');
    // No index of "w": its filters judge payloads. Each has a value of its own, since what was judged once is kept.
    const std::vector<Read> reads = {
        {"exact search", Operation::kQuery, [] { return query(nearest, "dense", 5); }},
        {"exact search, filtered", Operation::kQuery, [] { return query(nearest, "dense", 5, 'w', 1); }},
        {"mmr", Operation::kQuery, [] { return query(nearest_mmr, "dense", 40); }},
        {"sparse search", Operation::kQuery, [] { return query(nearest_sparse, "sparse", 5); }},
        {"max_sim", Operation::kQuery, [] { return query(nearest_multi, "multi", 5); }},
        {"best score", Operation::kQuery, [] { return query(best_score, "dense", 5); }},
        {"best score of multivectors", Operation::kQuery, [] { return query(best_score, "multi", 5); }},
        {"points in id order", Operation::kQuery, [] { return query(in_id_order, "", kPoints); }},
        {"order_by", Operation::kQuery, [] { return query(by_value, "", kPoints); }},
        {"formula", Operation::kQuery, formula_query},
        {"groups", Operation::kQueryGroups, groups},
        {"batch", Operation::kQuery, batch},
        {"count by payloads", Operation::kCount, [] { return count('w', 2); }},
        {"scroll", Operation::kScroll, [] { return scroll(0, 0, kPoints, false); }},
        {"scroll by payloads", Operation::kScroll, [] { return scroll('w', 3, kPoints, false); }},
        {"scroll of few", Operation::kScroll, [] { return scroll('n', 3, kPoints, true); }},
        {"get", Operation::kGet, get},
        {"facet", Operation::kFacet, [] { return facet(0, 0); }},
        {"facet by payloads", Operation::kFacet, [] { return facet('w', 0); }},
    };
    for (const Read& read : reads) {
      // The first look is at the start, before anything of it runs.
      for (const int look : {1, 2}) {
        const Outcome outcome = given_up(*engine, read, look);
        CHECK(!outcome.ok && outcome.kind == ErrorKind::kCancelled, "%s: look %d: %s", read.name, look, outcome.ok ? "was answered" : outcome.message.c_str());
      }
      const Outcome whole = given_up(*engine, read, 0);
      const Outcome again = given_up(*engine, read, 1'000'000);
      // Payloads that are kept stand before those that were read, so a get's answers differ in their order.
      const bool same = read.operation == Operation::kGet ? whole.bytes.size() == again.bytes.size() : whole.bytes == again.bytes;
      CHECK(whole.ok && again.ok && same, "%s: not answered afterwards: %s", read.name, whole.message.c_str());
    }
    // What changes the store goes to its end.
    const Outcome dropped = given_up(*engine, {"index", Operation::kDeleteFieldIndex, [] {
                                                 ByteWriter out = named("c");
                                                 out.text("n");
                                                 return out;
                                               }},
                                     1);
    CHECK(dropped.ok);
  }
  std::printf("cancellation: ok\n");
  return 0;
}
