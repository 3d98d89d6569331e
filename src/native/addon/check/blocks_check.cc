// Checks graphs over blocks of rows that share a payload value, and searches that share a scan. Build and run as vector_check.
#include <time.h>

#include <functional>

#include "vector_model.h"

using namespace check;
using Kind = VectorIndex::BuildKind;

namespace {

void empty_dir(const std::string& dir) {
  for (const auto& name : files_of(dir)) ::unlink((dir + "/" + name).c_str());
}

size_t build_all(VectorIndex& index) {
  size_t builds = 0;
  for (; index.wants_build(); ++builds) {
    CHECK(builds < 100, "builds without end");
    run_build(index);
  }
  return builds;
}

// CPU of this thread, which other processes do not lengthen.
double cpu_us() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) * 1e-3;
}

// Rows of many tenants: searches of one find what there is, with the tenant's own graph at a fraction of the cost, and whether or not there is one
// over all rows; also when payloads changed since, when some of the tenant's rows are gone, and when the filter asks for more than the tenant.
void check_blocks(uint32_t m, Random& random) {
  const std::string dir = make_dir();
  const uint32_t dim = 64, rows = 24000, tenants = 4;
  const Distance distance = Distance::kCosine;
  VectorIndexConfig config = config_for(distance, dim, dir);
  config.m = m;
  config.ef_construct = 100;
  config.indexing_threshold_kb = 1000;
  config.block_fields = 0;
  Source source(dim, distance, random);
  Model model{distance, dim, {}, 0};
  auto index = VectorIndex::open(config);
  std::vector<uint32_t> tenant(rows);
  std::vector<std::vector<uint32_t>> blocks(tenants);
  for (uint32_t slot = 0; slot < rows; ++slot) {
    model.upsert(*index, slot, source.next());
    // The last one is small.
    tenant[slot] = random() % 100 == 0 ? tenants - 1 : random() % (tenants - 1);
    blocks[tenant[slot]].push_back(slot);
  }
  const VectorIndex::GroupOf group_of = [&](uint32_t slot) { return tenant[slot] + 1; };
  const auto make = [&] {
    auto build = index->begin_build(Kind::kFull, &group_of);
    CHECK(build != nullptr, "no build");
    CHECK((build->block_rows_min() > 0) == (config.payload_m > 0), "blocks from %u rows on", build->block_rows_min());
    if (config.payload_m > 0) build->set_blocks(blocks);
    std::atomic<bool> cancel{false};
    CHECK(build->run(cancel, 2), "cancelled");
    index->finish_build(*build, true);
    CHECK(!index->wants_build(), "builds without end");
  };
  // Recall and CPU of searches for tenant 0, and what they did.
  struct Measure {
    double recall, us;
    uint32_t blocks_walked, codes_scanned;
  };
  const auto measure = [&](const std::function<bool(uint32_t)>& allowed) {
    Bitset mask(rows);
    for (uint32_t slot = 0; slot < rows; ++slot) {
      if (allowed(slot)) mask.set(slot);
    }
    Random own(5);
    Source queries(dim, distance, own);
    Measure result{0, 0, 0, 0};
    constexpr int kQueries = 60;
    std::vector<VectorHit> hits;
    for (int i = 0; i < kQueries; ++i) {
      // Near the data, as questions are.
      std::vector<float> query = model.vectors.lower_bound(static_cast<uint32_t>(i) * 131 % (rows / 2))->second.values;
      const std::vector<float> noise = queries.next();
      for (uint32_t d = 0; d < dim; ++d) query[d] += 0.3f * noise[d];
      normalize(query.data(), dim);
      VectorSearchReport report;
      VectorSearch request;
      request.query = query.data();
      request.allowed = &mask;
      request.allowed_count = mask.count();
      request.ef = 96;
      request.report = &report;
      const double from = cpu_us();
      index->search(request, hits);
      result.us += (cpu_us() - from) / kQueries;
      result.recall += check_sound(model, request, hits) / kQueries;
      result.blocks_walked += report.blocks_walked;
      result.codes_scanned += report.codes_scanned;
    }
    return result;
  };
  const auto of_first = [&](uint32_t slot) { return tenant[slot] == 0; };
  make();
  const Measure without = measure(of_first);
  CHECK(without.blocks_walked == 0, "there are no blocks yet");
  config.payload_m = 16;
  config.block_fields = 77;
  index->reconfigure(config);
  CHECK(index->wants_build(), "blocks are wanted now");
  make();
  const Measure with = measure(of_first);
  std::printf("  m %u: a tenant of a third, without a graph of its own recall %.4f in %.1f us, with it %.4f in %.1f us\n", m, without.recall, without.us, with.recall,
              with.us);
  CHECK(with.blocks_walked == 60 && with.recall >= 0.99, "%u walked, recall %.4f", with.blocks_walked, with.recall);
  CHECK(index->stats().indexed == (m > 0 ? rows : rows - blocks[tenants - 1].size()), "%lu indexed", index->stats().indexed);
  // A small tenant is scanned, and so are two at once where there is no other graph.
  Measure other = measure([&](uint32_t slot) { return tenant[slot] == tenants - 1; });
  CHECK(other.blocks_walked == 0 && other.recall >= 0.99, "%u walked, recall %.4f", other.blocks_walked, other.recall);
  other = measure([&](uint32_t slot) { return tenant[slot] < 2; });
  CHECK(other.blocks_walked == 0 && other.recall >= 0.99, "%u walked, recall %.4f", other.blocks_walked, other.recall);
  other = measure([&](uint32_t slot) { return tenant[slot] == 0 && slot % 10 != 0; });
  CHECK(other.blocks_walked > 0 && other.recall >= 0.99, "%u walked, recall %.4f", other.blocks_walked, other.recall);
  // Some points have come to the tenant since, by their payload alone.
  const auto joined = [&](uint32_t slot) { return tenant[slot] == 0 || (tenant[slot] == 1 && slot < 90); };
  other = measure(joined);
  CHECK(other.blocks_walked > 0 && other.recall >= 0.99, "%u walked, recall %.4f", other.blocks_walked, other.recall);
  // Others are gone, or written anew.
  for (uint32_t slot = 0; slot < rows; slot += 17) {
    if (slot % 2 == 0) model.remove(*index, slot);
    else model.upsert(*index, slot, source.next());
  }
  other = measure(joined);
  CHECK(other.blocks_walked > 0 && other.recall >= 0.99, "%u walked, recall %.4f", other.blocks_walked, other.recall);
  check_all(*index, model, source, random, "with blocks");
  size_t adopted = 0;
  index = reopen(std::move(index), config, model, adopted);
  CHECK(adopted > rows / 2 && index->damaged().empty() && !index->wants_build(), "%zu adopted", adopted);
  other = measure(of_first);
  CHECK(other.blocks_walked > 0 && other.recall >= 0.99, "reopened: %u walked, recall %.4f", other.blocks_walked, other.recall);
  // A bit of the blocks' bytes, which are the last of the file.
  const std::string path = segment_of(dir);
  index.reset();
  {
    struct stat info;
    CHECK(::stat(path.c_str(), &info) == 0, "stat");
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(info.st_size - 3 * static_cast<off_t>(kPage));
    const int byte = file.get();
    file.seekp(info.st_size - 3 * static_cast<off_t>(kPage));
    file.put(static_cast<char>(byte ^ 1));
  }
  index = reopen(std::move(index), config, model, adopted);
  CHECK(adopted == 0 && index->damaged().size() == 1, "a damaged block: %zu adopted", adopted);
  check_all(*index, model, source, random, "damaged blocks");
  config.payload_m = 0;
  config.block_fields = 0;
  index->reconfigure(config);
  make();
  CHECK(index->stats().indexed == (m > 0 ? model.vectors.size() : 0), "%lu indexed", index->stats().indexed);
  index.reset();
  empty_dir(dir);
  remove_dir(dir);
}

// Several at once give what each gives alone.
void check_together(Random& random) {
  const std::string dir = make_dir();
  const uint32_t dim = 96, rows = 6000;
  const Distance distance = Distance::kCosine;
  VectorIndexConfig config = config_for(distance, dim, dir);
  Source source(dim, distance, random);
  Model model{distance, dim, {}, 0};
  auto index = VectorIndex::open(config);
  for (uint32_t slot = 0; slot < rows; ++slot) model.upsert(*index, slot, source.next());
  for (const uint32_t m : {0u, 8u}) {
    config.m = m;
    index->reconfigure(config);
    build_all(*index);
    for (int i = 0; i < 300; ++i) model.upsert(*index, random() % rows, source.next());
    for (int round = 0; round < 40; ++round) {
      const size_t count = 1 + random() % 20;
      Bitset mask(rows);
      const uint32_t share = round % 4 == 0 ? 2 : 10 + random() % 60;
      for (uint32_t slot = 0; slot < rows; ++slot) {
        if (random() % 100 < share) mask.set(slot);
      }
      std::vector<std::vector<float>> queries;
      std::vector<VectorSearch> requests(count);
      for (VectorSearch& request : requests) {
        queries.push_back(source.next());
        request.k = random() % 20;
        request.exact = random() % 3 == 0;
        request.indexed_only = round % 5 == 0 && random() % 2 == 0;
        request.ef = 16 + random() % 64;
        if (round % 3 != 0) {
          request.allowed = &mask;
          request.allowed_count = mask.count();
        }
      }
      for (size_t i = 0; i < count; ++i) requests[i].query = queries[i].data();
      std::vector<std::vector<VectorHit>> together(count);
      index->search_many(requests.data(), count, together.data());
      std::vector<VectorHit> alone;
      for (size_t i = 0; i < count; ++i) {
        index->search(requests[i], alone);
        check_same(together[i], alone, "together");
      }
    }
  }
  // What that saves, for a scan of all rows.
  config.m = 0;
  index->reconfigure(config);
  build_all(*index);
  std::vector<std::vector<float>> queries;
  std::vector<VectorSearch> requests(8);
  for (VectorSearch& request : requests) {
    queries.push_back(source.next());
    request.exact = true;
  }
  for (size_t i = 0; i < requests.size(); ++i) requests[i].query = queries[i].data();
  std::vector<std::vector<VectorHit>> hits(requests.size());
  double us[2][2] = {};
  for (const bool exact : {true, false}) {
    for (VectorSearch& request : requests) request.exact = exact;
    for (int round = 0; round < 20; ++round) {
      double from = cpu_us();
      index->search_many(requests.data(), requests.size(), hits.data());
      us[exact][0] += (cpu_us() - from) / 20;
      from = cpu_us();
      for (size_t i = 0; i < requests.size(); ++i) index->search(requests[i], hits[i]);
      us[exact][1] += (cpu_us() - from) / 20;
    }
    std::printf("  8 scans of %u %s: together %.0f us, one by one %.0f us\n", rows, exact ? "vectors" : "codes", us[exact][0], us[exact][1]);
  }
  index.reset();
  empty_dir(dir);
  remove_dir(dir);
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned seed = checks::take_seed(argc, argv);
  Random random(seed);
  std::printf("blocks\n");
  check_blocks(16, random);
  check_blocks(0, random);
  std::printf("together\n");
  check_together(random);
  std::printf("all right\n");
  return 0;
}
