// Checks which segments are made when: without a graph, cut off a long tail beside a build, merged, vacuumed, bounded in size, and that every
// step of a build leaves searches whole. Build and run as vector_check.
#include <time.h>

#include <functional>

#include "vector_model.h"

using namespace check;
using Kind = VectorIndex::BuildKind;

namespace {

void empty_dir(const std::string& dir) {
  for (const auto& name : files_of(dir)) ::unlink((dir + "/" + name).c_str());
}

void run_cut(VectorIndex& index) {
  auto build = index.begin_build(Kind::kCut);
  CHECK(build != nullptr, "nothing to cut");
  std::atomic<bool> cancel{false};
  CHECK(build->run(cancel, 1), "cancelled");
  index.finish_build(*build, true);
}

size_t build_all(VectorIndex& index) {
  size_t builds = 0;
  for (; index.wants_build(); ++builds) {
    CHECK(builds < 100, "builds without end");
    run_build(index);
  }
  return builds;
}

// The share of the true nearest that searches by codes find.
double recall_of(const VectorIndex& index, const Model& model, Source& source, int rounds = 40) {
  double recall = 0;
  std::vector<VectorHit> hits;
  for (int i = 0; i < rounds; ++i) {
    const std::vector<float> query = source.next();
    VectorSearch request;
    request.query = query.data();
    index.search(request, hits);
    recall += check_sound(model, request, hits);
  }
  return recall / rounds;
}

// m 0: built, counted as not indexed, found by scan; with another m the same rows get a graph, and back.
void check_graphless(Distance distance, Random& random) {
  const std::string dir = make_dir();
  const uint32_t dim = 70;
  VectorIndexConfig config = config_for(distance, dim, dir);
  config.m = 0;
  Source source(dim, distance, random);
  Model model{distance, dim, {}, 0};
  auto index = VectorIndex::open(config);
  for (uint32_t slot = 0; slot < 3000; ++slot) model.upsert(*index, slot, source.next());
  CHECK(index->wants_build(), "a long tail becomes a segment, graph or none");
  CHECK(build_all(*index) == 1, "one segment");
  VectorIndexStats stats = index->stats();
  CHECK(stats.segments == 1 && stats.indexed == 0 && stats.in_segments == 3000, "%lu indexed, %lu in segments", stats.indexed, stats.in_segments);
  CHECK(stats.tail < 10000 && stats.graph < 3000 * (dim * 2 + 8) + 8192, "%lu bytes in the tail, %lu in codes", stats.tail, stats.graph);
  check_all(*index, model, source, random, "graphless");
  const double recall = recall_of(*index, model, source);
  CHECK(recall >= 0.995, "a scan found %.4f", recall);
  size_t adopted = 0;
  index = reopen(std::move(index), config, model, adopted);
  CHECK(adopted == 3000 && index->damaged().empty(), "%zu adopted", adopted);
  config.m = 8;
  index->reconfigure(config);
  CHECK(index->wants_build() && build_all(*index) == 1, "a graph is wanted now");
  CHECK(index->stats().indexed == 3000, "%lu indexed", index->stats().indexed);
  check_all(*index, model, source, random, "with a graph");
  config.m = 0;
  index->reconfigure(config);
  CHECK(build_all(*index) == 1 && index->stats().indexed == 0, "the graph goes");
  check_all(*index, model, source, random, "without it again");
  index.reset();
  empty_dir(dir);
  remove_dir(dir);
}

// Cuts beside a build that does not end, and steps of builds between which everything is searched.
void check_cuts(Random& random) {
  const std::string dir = make_dir();
  const uint32_t dim = 64;
  const Distance distance = Distance::kCosine;
  VectorIndexConfig config = config_for(distance, dim, dir);
  config.optimizer.tail_bytes_max = 1000 * dim * 4;
  Source source(dim, distance, random);
  Model model{distance, dim, {}, 0};
  auto index = VectorIndex::open(config);
  uint32_t slots = 0;
  auto write = [&](size_t count) {
    for (size_t i = 0; i < count; ++i) {
      const uint32_t slot = random() % 4 == 0 && slots > 0 ? random() % slots : slots++;
      if (random() % 20 == 0) model.remove(*index, slot);
      else model.upsert(*index, slot, source.next());
    }
  };
  write(900);
  CHECK(!index->wants_cut(), "a short tail stays");
  auto full = index->start_build(Kind::kFull);
  CHECK(full != nullptr, "no build");
  while (index->collect_rows(*full, nullptr)) write(5);
  std::atomic<bool> cancel{false};
  CHECK(full->run(cancel, 1), "cancelled");
  // It is not finished, and writes go on and on.
  size_t cuts = 0, most = 0;
  uint64_t tail_most = 0;
  for (int round = 0; round < 60; ++round) {
    write(400);
    tail_most = std::max(tail_most, index->stats().tail);
    if (index->wants_cut()) {
      auto cut = index->start_build(Kind::kCut);
      CHECK(cut != nullptr && index->start_build(Kind::kCut) == nullptr, "one cut at a time");
      while (index->collect_rows(*cut, nullptr)) write(3);
      CHECK(cut->run(cancel, 1), "cancelled");
      index->publish(*cut);
      while (index->swap_rows(*cut, true)) write(3);
      ++cuts;
      CHECK(!index->wants_cut(), "cuts without end");
    }
    most = std::max<size_t>(most, index->stats().segments);
    if (round % 20 == 0) check_all(*index, model, source, random, "beside a build");
  }
  CHECK(cuts > 10 && most <= 8, "%zu cuts, %zu segments", cuts, most);
  CHECK(tail_most < 3 * config.optimizer.tail_bytes_max, "%lu bytes of tail", tail_most);
  const double recall = recall_of(*index, model, source);
  CHECK(recall >= 0.995, "scans of cut segments found %.4f", recall);
  index->publish(*full);
  while (index->swap_rows(*full, true)) write(50);
  check_all(*index, model, source, random, "the build is in");
  build_all(*index);
  // What a cut holds is out of a build's reach, and still waits for one.
  CHECK(!index->stats().waits, "nothing is left to build");
  write(3000);
  CHECK(index->stats().waits, "a long tail waits");
  auto cut = index->start_build(Kind::kCut);
  CHECK(cut != nullptr && index->stats().waits, "green while a cut runs");
  index->swap_rows(*cut, false);
  build_all(*index);
  CHECK(!index->stats().waits, "nothing is left to build");
  CHECK(index->stats().indexed == index->stats().in_segments && index->stats().segments <= 8, "%lu of %lu indexed", index->stats().indexed,
        index->stats().in_segments);
  check_all(*index, model, source, random, "all built");
  // With indexing off only cuts are made, and merged among themselves.
  config.indexing_threshold_kb = 0;
  index->reconfigure(config);
  const uint64_t indexed = index->stats().indexed;
  most = 0;
  for (int round = 0; round < 80; ++round) {
    for (int i = 0; i < 400; ++i) model.upsert(*index, slots++, source.next());
    if (index->wants_cut()) run_cut(*index);
    build_all(*index);
    most = std::max<size_t>(most, index->stats().segments);
  }
  CHECK(index->stats().indexed <= indexed && most <= 9, "%lu indexed, %zu segments", index->stats().indexed, most);
  check_all(*index, model, source, random, "without indexing");
  // A cut that fails leaves all as it was.
  for (int i = 0; i < 1500; ++i) model.upsert(*index, slots++, source.next());
  {
    auto cut = index->begin_build(Kind::kCut);
    CHECK(cut->run(cancel, 1), "cancelled");
    write(100);
    index->finish_build(*cut, false);
  }
  check_all(*index, model, source, random, "a cut given up");
  CHECK(index->wants_cut(), "it is still wanted");
  size_t adopted = 0;
  index = reopen(std::move(index), config, model, adopted);
  CHECK(index->damaged().empty() && adopted > model.vectors.size() / 2, "%zu of %zu adopted", adopted, model.vectors.size());
  check_all(*index, model, source, random, "reopened");
  index.reset();
  empty_dir(dir);
  remove_dir(dir);
}

void check_settings(Random& random) {
  const std::string dir = make_dir();
  const uint32_t dim = 32;
  const Distance distance = Distance::kDot;
  VectorIndexConfig config = config_for(distance, dim, dir);
  Source source(dim, distance, random);
  Model model{distance, dim, {}, 0};
  auto index = VectorIndex::open(config);
  for (uint32_t slot = 0; slot < 2000; ++slot) model.upsert(*index, slot, source.next());
  // No threads: it is known that there is something to do, and nothing is done.
  config.optimizer.threads = 0;
  index->reconfigure(config);
  CHECK(!index->wants_build() && !index->wants_build_when_idle() && index->build_pending(), "nobody may build");
  config.optimizer.threads = OptimizerConfig::kAnyThreads;
  // Segments of at most 500 rows.
  config.optimizer.segment_kb_max = 500 * dim * 4 / 1024 + 1;
  index->reconfigure(config);
  for (uint32_t slot = 2000; slot < 4000; ++slot) model.upsert(*index, slot, source.next());
  build_all(*index);
  CHECK(index->stats().segments >= 4, "%lu segments", index->stats().segments);
  check_all(*index, model, source, random, "small segments");
  config.optimizer.segment_kb_max = 0;
  config.optimizer.segments_max = 1;
  index->reconfigure(config);
  for (int rounds = 0; index->wants_build() && rounds < 20; ++rounds) run_build(*index);
  CHECK(!index->wants_build() && index->stats().segments == 1, "%lu segments", index->stats().segments);
  for (int rounds = 0; index->wants_build_when_idle() && rounds < 20; ++rounds) run_build(*index);
  // Dead rows: below the bound they stay, above they go, and segments below the least size keep them.
  config.optimizer = {};
  config.optimizer.deleted_threshold = 0.5f;
  index->reconfigure(config);
  const uint64_t all = index->stats().in_segments;
  for (uint32_t slot = 0; slot < 1600; ++slot) model.remove(*index, slot);
  CHECK(!index->wants_build(), "less than half are dead");
  config.optimizer.deleted_threshold = 0.3f;
  config.optimizer.vacuum_min_rows = all + 1000;
  index->reconfigure(config);
  CHECK(!index->wants_build(), "too few rows for a vacuum");
  config.optimizer.vacuum_min_rows = 1000;
  index->reconfigure(config);
  CHECK(index->wants_build() && build_all(*index) == 1, "a third is dead");
  check_all(*index, model, source, random, "vacuumed");
  // What waits for a graph is hidden beyond the threshold, and found once it is built.
  config.optimizer.hides_unindexed = true;
  config.indexing_threshold_kb = 40;
  index->reconfigure(config);
  const uint32_t first = 5000, shown = 40 * 1024 / (dim * 4);
  for (uint32_t slot = first; slot < first + 2 * shown; ++slot) model.upsert(*index, slot, source.next());
  Bitset fresh;
  for (uint32_t slot = first; slot < first + 2 * shown; ++slot) fresh.set(slot);
  const std::vector<float> query = source.next();
  VectorSearch request;
  request.query = query.data();
  request.k = 10000;
  request.allowed = &fresh;
  request.allowed_count = 2 * shown;
  std::vector<VectorHit> hits;
  index->search(request, hits);
  CHECK(hits.size() <= shown && hits.size() + 64 > shown, "%zu of %u shown", hits.size(), shown);
  build_all(*index);
  index->search(request, hits);
  CHECK(hits.size() == 2 * shown, "%zu shown", hits.size());
  index.reset();
  empty_dir(dir);
  remove_dir(dir);
}

// CPU of this thread, which other processes do not lengthen.
double cpu_us() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) * 1e-3;
}

// No step that wants a lock takes long, however many rows a build has.
void check_steps(Random& random) {
  const std::string dir = make_dir();
  const uint32_t dim = 4, rows = 300000;
  VectorIndexConfig config = config_for(Distance::kDot, dim, dir);
  config.m = 0;
  auto index = VectorIndex::open(config);
  std::vector<float> vector(dim);
  for (uint32_t slot = 0; slot < rows; ++slot) {
    for (float& value : vector) value = static_cast<float>(random() % 1000);
    index->upsert(slot, slot + 1, vector.data());
  }
  double longest = 0, all = 0;
  const auto timed = [&](auto step) {
    const double from = cpu_us();
    const bool more = step();
    const double took = cpu_us() - from;
    longest = std::max(longest, took);
    all += took;
    return more;
  };
  std::unique_ptr<VectorIndex::Build> build;
  timed([&] { return (build = index->start_build(Kind::kFull)) != nullptr; });
  CHECK(build != nullptr, "no build");
  while (timed([&] { return index->collect_rows(*build, nullptr); })) {
  }
  std::atomic<bool> cancel{false};
  CHECK(build->run(cancel, 1), "cancelled");
  index->publish(*build);
  while (timed([&] { return index->swap_rows(*build, true); })) {
  }
  std::printf("  of %u rows: longest step %.0f us, all steps %.0f us\n", rows, longest, all);
  CHECK(longest < all / 4 && index->stats().in_segments == rows, "the longest step took %.0f of %.0f us", longest, all);
  build.reset();
  index.reset();
  empty_dir(dir);
  remove_dir(dir);
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned seed = checks::take_seed(argc, argv);
  Random random(seed);
  for (const Distance distance : kDistances) {
    std::printf("graphless %d\n", static_cast<int>(distance));
    check_graphless(distance, random);
  }
  std::printf("cuts\n");
  check_cuts(random);
  std::printf("settings\n");
  check_settings(random);
  std::printf("steps\n");
  check_steps(random);
  std::printf("all right\n");
  return 0;
}
