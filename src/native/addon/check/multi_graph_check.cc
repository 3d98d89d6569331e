// Checks of the graph over multivectors: what it finds against a comparison with all, with masks, beside writes and while it grows; that builds
// run beside writes and walks, and end when nobody wants them any more. Arguments: a seed; and "time" to print what a search and a build cost.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <thread>

#include "multi_graph_model.h"

namespace {

using namespace sealpoint;
using namespace sealpoint::checks;

void test_recall(uint64_t seed, Distance distance, Datatype datatype, const Shape& shape, double least) {
  Source source(seed, shape);
  const VectorIndexConfig config = config_of(shape, distance, datatype);
  MultiIndex index;
  index.configure(config);
  const auto slots = static_cast<uint32_t>(shape.points);
  for (uint32_t slot = 0; slot < slots; ++slot) index.upsert(slot, stored(config, source.next()));
  CHECK(index.wants_build() && index.graph() == nullptr);
  const size_t before = index.graph_bytes();
  build(index);
  CHECK(!index.wants_build() && index.graph() != nullptr && index.graph_count() == shape.points && index.graph_bytes() > before);
  const int queries = 50;
  const auto say = [&](const char* what, const Recall& one, double wanted) {
    std::printf("distance %d type %d, %zu points, %s: recall %.3f, %zu of %d given up\n", static_cast<int>(distance), static_cast<int>(datatype), shape.points, what,
                one.share(), one.given_up, queries);
    CHECK(one.share() >= wanted, "%s", what);
  };
  const Recall plain = recall(config, index, source, slots, queries, nullptr);
  CHECK(plain.given_up == 0);
  say("all", plain, least);
  for (const unsigned part : {2u, 10u, 100u}) {
    Bitset allowed(slots);
    for (uint32_t slot = 0; slot < slots; ++slot) {
      if (source.random()() % part == 0) allowed.set(slot);
    }
    say(part == 2 ? "50 %" : part == 10 ? "10 %" : "1 %", recall(config, index, source, slots, queries, &allowed), least);
  }
  // Overwritten, removed and new ones beside it; then the graph grows by them.
  uint32_t end = slots;
  for (size_t i = 0; i < shape.points / 8; ++i) {
    const auto slot = static_cast<uint32_t>(source.random()() % slots);
    if (i % 3 == 0) {
      index.remove(slot);
    } else {
      index.upsert(i % 3 == 1 ? slot : end++, stored(config, source.next()));
    }
  }
  check_counts(index, end);
  say("beside writes", recall(config, index, source, end, queries, nullptr), least);
  const size_t rows = index.graph()->rows.size();
  build(index);
  check_counts(index, end);
  CHECK(index.graph()->rows.size() > rows && index.tail_count() == 0 && index.graph_count() < index.graph()->rows.size(), "it was not added to");
  say("grown", recall(config, index, source, end, queries, nullptr), least);
  // Another m, and more dead rows than are borne: made anew, without them.
  VectorIndexConfig other = config;
  other.m = 12;
  index.configure(other);
  build(index);
  CHECK(index.graph()->m == 12 && index.graph()->rows.size() == index.count());
  other.m = 16;
  index.configure(other);
  build(index);
  for (uint32_t slot = 0; slot < end; slot += 3) index.remove(slot);
  CHECK(index.wants_build());
  const auto query = source.next();
  build(index);
  CHECK(index.graph()->rows.size() == index.count() && index.tail_count() == 0);
  say("after deletions", recall(config, index, source, end, queries, nullptr), least);
  // All gone, and none is wanted.
  for (uint32_t slot = 0; slot < end; ++slot) index.remove(slot);
  build(index);
  CHECK(index.graph() == nullptr && index.count() == 0 && !index.wants_build());
}

[[maybe_unused]] void test_switched_off(uint64_t seed) {
  const Shape shape{500, 1, 5, 8};
  Source source(seed, shape);
  VectorIndexConfig config = config_of(shape, Distance::kCosine, Datatype::kFloat32);
  for (const int way : {0, 1, 2, 3}) {
    MultiIndex index;
    index.configure(config);
    for (uint32_t slot = 0; slot < 500; ++slot) index.upsert(slot, stored(config, source.next()));
    if (way == 3) {
      // Nobody waits for what a dropped index builds.
      auto owner = std::make_unique<MultiIndex>(std::move(index));
      const auto build = owner->start_build();
      while (owner->collect_rows(*build, kVersions)) {
      }
      owner.reset();
      CHECK(build->run([] { return false; }, 2) == nullptr);
      continue;
    }
    build(index);
    CHECK(index.graph() != nullptr);
    VectorIndexConfig off = config;
    if (way == 0) off.m = 0;
    if (way == 1) off.optimizer.threads = 0;
    if (way == 2) {
      index.keep_in_memory(false);
      CHECK(index.count() == 0 && index.graph_bytes() == 0);
      index.keep_in_memory(true);
      // The store holds more than what is written from here on.
      for (uint32_t slot = 0; slot < 500; ++slot) index.upsert(slot, stored(config, source.next()));
      CHECK(index.graph() == nullptr && !index.wants_build() && !index.wants_build_when_idle());
      continue;
    }
    index.configure(off);
    CHECK((index.graph() == nullptr) == (way == 0) && !index.wants_build_when_idle());
    for (uint32_t slot = 0; slot < 500; ++slot) index.upsert(slot, stored(config, source.next()));
    CHECK(!index.wants_build() && index.build_pending() == (way == 1));
  }
}

// Builds that are too small for all: what they leave is the tail, and the next one takes more of it, also beside writes.
[[maybe_unused]] void test_small_builds(uint64_t seed) {
  const Shape shape{1500, 1, 7, 24, 20};
  Source source(seed, shape);
  const VectorIndexConfig config = config_of(shape, Distance::kCosine, Datatype::kFloat32);
  MultiIndex index;
  index.configure(config);
  uint32_t end = 1500;
  for (uint32_t slot = 0; slot < end; ++slot) index.upsert(slot, stored(config, source.next()));
  int builds = 0;
  for (; index.wants_build(); ++builds) {
    const auto build = index.start_build();
    CHECK(build != nullptr && build->rows_max >= 500 && (builds > 0) == build->extends());
    build->rows_max = 200;
    while (index.collect_rows(*build, kVersions)) {
    }
    CHECK(build->added() <= 200);
    // Written between, on either side of where the build stopped.
    for (int i = 0; i < 30 && builds < 5; ++i) {
      const auto slot = static_cast<uint32_t>(source.random()() % end);
      if (i % 3 == 0) {
        index.remove(slot);
      } else {
        index.upsert(i % 3 == 1 ? slot : end++, stored(config, source.next()));
      }
    }
    auto graph = build->run([] { return false; }, 2);
    index.finish_build(*build, graph);
    check_counts(index, end);
    CHECK(recall(config, index, source, end, 10, nullptr).share() >= 0.9);
    CHECK(builds < 30);
  }
  CHECK(builds >= 8 && index.graph_count() > index.count() - 200);
  const double share = recall(config, index, source, end, 50, nullptr).share();
  std::printf("in %d builds: recall %.3f\n", builds, share);
  CHECK(share >= 0.95);
}

// Many vectors a point, of which stand-ins are compared while the graph is made.
[[maybe_unused]] void test_many_vectors(uint64_t seed) { test_recall(seed, Distance::kCosine, Datatype::kFloat32, {600, 60, 120, 24, 20}, 0.95); }

void test_beside_writes(uint64_t seed) {
  const Shape shape{800, 1, 6, 12};
  Source source(seed, shape);
  const VectorIndexConfig config = config_of(shape, Distance::kCosine, Datatype::kFloat32);
  MultiIndex index;
  index.configure(config);
  std::shared_mutex mutex;
  constexpr uint32_t kSlots = 1200;
  for (uint32_t slot = 0; slot < 800; ++slot) index.upsert(slot, stored(config, source.next()));
  std::atomic<bool> done{false};
  std::thread writer([&] {
    Source mine(seed + 1, shape);
    while (!done) {
      const auto slot = static_cast<uint32_t>(mine.random()() % kSlots);
      const std::string row = stored(config, mine.next());
      std::unique_lock lock(mutex);
      if (mine.random()() % 4 == 0) {
        index.remove(slot);
      } else {
        index.upsert(slot, row);
      }
    }
  });
  std::vector<std::thread> readers;
  for (uint64_t r = 0; r < 2; ++r) {
    readers.emplace_back([&, r] {
      Source mine(seed + 2 + r, shape);
      while (!done) {
        MaxSimQuery query = query_of(config, mine.next());
        std::shared_lock lock(mutex);
        if (index.graph() != nullptr) (void)walked(config, index, query, 50, nullptr);
      }
    });
  }
  for (int round = 0; round < 6; ++round) {
    std::shared_ptr<MultiGraphBuild> build;
    {
      std::unique_lock lock(mutex);
      build = index.start_build();
    }
    if (build == nullptr) continue;
    if (round % 2 == 1) build->rows_max = 100;
    for (bool more = true; more;) {
      std::shared_lock lock(mutex);
      more = index.collect_rows(*build, kVersions);
    }
    const bool fails = round == 3;
    auto graph = build->run([&] { return fails; }, 2);
    CHECK((graph == nullptr) == fails);
    std::unique_lock lock(mutex);
    index.finish_build(*build, graph);
    check_counts(index, kSlots);
  }
  done = true;
  writer.join();
  for (auto& reader : readers) reader.join();
  check_counts(index, kSlots);
  CHECK(index.graph() != nullptr);
  CHECK(recall(config, index, source, kSlots, 30, nullptr).share() >= 0.95);
}

// A build of points so great that it would take minutes ends soon after it is abandoned.
void test_abandoned(uint64_t seed) {
  const Shape shape{4000, 30, 30, 256};
  Source source(seed, shape);
  const VectorIndexConfig config = config_of(shape, Distance::kCosine, Datatype::kFloat32);
  MultiIndex index;
  index.configure(config);
  const std::string row = stored(config, source.next());
  for (uint32_t slot = 0; slot < 4000; ++slot) index.upsert(slot, row);
  const auto build = index.start_build();
  while (index.collect_rows(*build, kVersions)) {
  }
  std::thread ends([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    index.keep_in_memory(false);
  });
  CHECK(build->run([] { return false; }, 2) == nullptr);
  ends.join();
  std::shared_ptr<const MultiGraph> graph;
  index.finish_build(*build, graph);
  CHECK(index.graph() == nullptr);
}

// A file's graph over what has changed since: rows that are no slot's own any more are bridged, the others' tail is scanned.
[[maybe_unused]] void test_file(uint64_t seed) {
  const Shape shape{2000, 1, 7, 24, 20};
  Source source(seed, shape);
  const VectorIndexConfig config = config_of(shape, Distance::kCosine, Datatype::kFloat32);
  std::vector<uint64_t> versions(2500);
  std::vector<std::string> rows(2500);
  const auto write = [&](uint32_t slot, uint64_t version) {
    versions[slot] = version;
    rows[slot] = version == 0 ? std::string() : stored(config, source.next());
  };
  const auto loaded = [&] {
    MultiIndex index;
    index.configure(config);
    for (uint32_t slot = 0; slot < rows.size(); ++slot) {
      if (!rows[slot].empty()) index.upsert(slot, rows[slot]);
    }
    return index;
  };
  for (uint32_t slot = 0; slot < 2000; ++slot) write(slot, slot + 1);
  MultiIndex made = loaded();
  build(made, versions);
  const std::string bytes = encode_multi_graph(*made.graph());
  {
    MultiIndex index = loaded();
    CHECK(index.adopt_graph(decode_multi_graph(bytes).value(), versions) && !index.wants_build() && index.graph_count() == 2000 && index.tail_count() == 0);
    CHECK(encode_multi_graph(*index.graph()) == bytes && index.graph_bytes() > 0);
    for (int i = 0; i < 20; ++i) {
      const Rows asked = source.next();
      MaxSimQuery query = query_of(config, asked);
      const auto a = walked(config, made, query, 100, nullptr), b = walked(config, index, query, 100, nullptr);
      CHECK(a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](const VectorHit& x, const VectorHit& y) { return x.slot == y.slot && x.score == y.score; }));
    }
  }
  // Every tenth is another's or nobody's by now, and some are new.
  for (uint32_t slot = 0; slot < 2000; slot += 10) write(slot, slot % 20 == 0 ? 0 : 5000 + slot);
  for (uint32_t slot = 2000; slot < 2300; ++slot) write(slot, 5000 + slot);
  MultiIndex index = loaded();
  CHECK(index.adopt_graph(decode_multi_graph(bytes).value(), versions));
  check_counts(index, 2500);
  CHECK(index.graph_count() == 1800 && index.tail_count() == 400 && index.graph()->rows.size() == 1800);
  const double bridged = recall(config, index, source, 2500, 50, nullptr).share();
  build(index, versions);
  check_counts(index, 2500);
  const double grown = recall(config, index, source, 2500, 50, nullptr).share();
  std::printf("from a file: recall %.3f, grown %.3f\n", bridged, grown);
  CHECK(bridged >= 0.95 && grown >= 0.95 && index.graph_count() == 2200);
  // What was written of the grown one is as good.
  const std::string again = encode_multi_graph(*index.graph());
  MultiIndex next = loaded();
  CHECK(next.adopt_graph(decode_multi_graph(again).value(), versions) && next.tail_count() == 0);
  // Too much has gone.
  for (uint32_t slot = 0; slot < 2000; slot += 3) write(slot, 0);
  MultiIndex late = loaded();
  CHECK(!late.adopt_graph(decode_multi_graph(bytes).value(), versions) && late.graph() == nullptr && late.wants_build());
  build(late, versions);
  CHECK(late.tail_count() == 0);
  // Nothing that is damaged is believed.
  for (int i = 0; i < 300; ++i) {
    std::string damaged = bytes;
    if (i % 3 == 0) {
      damaged.resize(source.random()() % bytes.size());
    } else {
      damaged[source.random()() % damaged.size()] ^= static_cast<char>(1 << source.random()() % 8);
    }
    CHECK(!decode_multi_graph(damaged));
  }
  CHECK(!decode_multi_graph(bytes + '\0') && !decode_multi_graph(""));
}

// Of all threads' processor time.
double seconds_of(const std::function<void()>& work) {
  const std::clock_t begun = std::clock();
  work();
  return static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC;
}

void time_search(uint64_t seed, const Shape& shape, size_t asked) {
  Source source(seed, shape);
  const VectorIndexConfig config = config_of(shape, Distance::kCosine, Datatype::kFloat32);
  MultiIndex index;
  index.configure(config);
  const auto slots = static_cast<uint32_t>(shape.points);
  for (uint32_t slot = 0; slot < slots; ++slot) index.upsert(slot, stored(config, source.next()));
  const double built = seconds_of([&] { build(index); });
  constexpr int kQueries = 40;
  Shape as_asked = shape;
  as_asked.rows_min = as_asked.rows_max = asked;
  Source asking(seed, as_asked);
  std::vector<MaxSimQuery> queries;
  for (int i = 0; i < kQueries; ++i) queries.push_back(query_of(config, asking.next()));
  const double scanned = seconds_of([&] {
    for (int i = 0; i < kQueries / 4; ++i) (void)exact(config, index, queries[static_cast<size_t>(i)], slots, nullptr);
  });
  std::vector<VectorHit> found;
  const double walk = seconds_of([&] {
    for (MaxSimQuery& query : queries) (void)index.graph()->walk({query, 100, kFound, nullptr, &index.written(), false, ~size_t{0}}, found);
  });
  const double share = recall(config, index, asking, slots, kQueries, nullptr).share();
  // How many points a walk compares: it is given up when it may compare fewer.
  size_t compared = 0;
  for (MaxSimQuery& query : queries) {
    size_t least = 0, most = slots;
    while (least + 1 < most) {
      const size_t middle = (least + most) / 2;
      (index.graph()->walk({query, 100, kFound, nullptr, &index.written(), false, middle}, found) ? most : least) = middle;
    }
    compared += most;
  }
  std::printf("%zu points x %zu rows of %zu, %zu asked: build %.1f s, scan %.2f ms, walk %.2f ms (ef 100, %zu points compared, recall %.3f), graph %.1f MB of %.1f\n", shape.points,
              shape.rows_max, shape.dim, asked, built, scanned * 4000 / kQueries, walk * 1000 / kQueries, compared / kQueries, share, static_cast<double>(index.graph_bytes()) / 1e6,
              static_cast<double>(index.memory_bytes()) / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t seed = checks::take_seed(argc, argv);
  if (argc > 2 && std::strcmp(argv[2], "time") == 0) {
    const auto points = static_cast<size_t>(checks::take_number(argc, argv, 3, 20'000));
    const auto rows = static_cast<size_t>(checks::take_number(argc, argv, 4, 16));
    time_search(seed, {points, rows, rows, static_cast<size_t>(checks::take_number(argc, argv, 5, 96)), 400}, static_cast<size_t>(checks::take_number(argc, argv, 6, 16)));
    return 0;
  }
#ifdef __SANITIZE_THREAD__
  // What threads do together; it takes a hundred times as long.
  test_beside_writes(seed);
  test_abandoned(seed);
  test_recall(seed, Distance::kCosine, Datatype::kFloat32, {300, 1, 6, 12, 20}, 0.95);
#else
#ifdef __SANITIZE_ADDRESS__
  constexpr size_t kPoints = 800;
#else
  constexpr size_t kPoints = 5000;
#endif
  test_recall(seed, Distance::kCosine, Datatype::kFloat32, {kPoints, 4, 12, 32}, 0.95);
  for (const Distance distance : {Distance::kEuclid, Distance::kDot, Distance::kManhattan}) test_recall(seed, distance, Datatype::kFloat32, {kPoints / 5, 1, 7, 24, 20}, 0.95);
  test_recall(seed, Distance::kCosine, Datatype::kFloat16, {kPoints / 5, 1, 7, 24, 20}, 0.95);
  test_recall(seed, Distance::kCosine, Datatype::kUint8, {kPoints / 5, 1, 7, 24, 20}, 0.95);
  test_many_vectors(seed);
  test_switched_off(seed);
  test_file(seed);
  test_small_builds(seed);
  test_beside_writes(seed);
  test_abandoned(seed);
#endif
  std::printf("multivector graph: ok\n");
  return 0;
}
