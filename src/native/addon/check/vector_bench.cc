// Measures the vector index on data/wordnet (100,000 x 384, cosine): build, recall and CPU time per query. One line:
// g++ -std=c++20 -O2 -fopenmp -I.. vector_bench.cc ../vector/*.cc ../core/*.cc -l:libfaiss.a -o /tmp/vector_bench
// (from src/native/addon/check; or scripts/build-native.sh bench), then /tmp/vector_bench <folder of wordnet> <empty folder> [threads] [m] [ef_construct] [peer]
// With `peer` it speaks as bench/peers.py does: JSON for the build, then for a pass of all queries for each ef on standard input.
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <set>
#include <string>
#include <thread>

#include "../vector/kernels.h"
#include "../vector/vector_index.h"

using namespace sealpoint;

namespace {

double cpu_s(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = half >> 10 & 31;
  const uint32_t fraction = half & 1023;
  float value;
  if (exponent == 0) {
    value = static_cast<float>(fraction) * 5.9604644775390625e-8f;
    return sign != 0 ? -value : value;
  }
  const uint32_t bits = sign | (exponent + 112) << 23 | fraction << 13;
  std::memcpy(&value, &bits, 4);
  return value;
}

std::vector<uint8_t> read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    std::exit(1);
  }
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<float> read_vectors(const std::string& path, size_t dim) {
  const auto bytes = read_all(path);
  std::vector<float> out(bytes.size() / 2);
  for (size_t i = 0; i < out.size(); ++i) {
    uint16_t half;
    std::memcpy(&half, bytes.data() + i * 2, 2);
    out[i] = half_to_float(half);
  }
  for (size_t i = 0; i + dim <= out.size(); i += dim) normalize(out.data() + i, dim);
  return out;
}

void print_memory(const char* when) {
  std::ifstream status("/proc/self/status");
  std::string line;
  std::printf("%s:", when);
  while (std::getline(status, line)) {
    if (line.rfind("Rss", 0) == 0) std::printf(" %s", line.c_str());
  }
  std::printf("\n");
}

struct Result {
  double recall;
  double us;
};

template <typename Truth>
Result measure(const VectorIndex& index, const std::vector<float>& queries, size_t dim, VectorSearch request,
               Truth truth, int rounds = 3) {
  const size_t count = queries.size() / dim;
  std::vector<VectorHit> hits;
  size_t right = 0, wanted = 0;
  double best = 1e9;
  for (int round = 0; round < rounds; ++round) {
    const double start = cpu_s(CLOCK_THREAD_CPUTIME_ID);
    for (size_t q = 0; q < count; ++q) {
      request.query = queries.data() + q * dim;
      index.search(request, hits);
      if (round > 0) continue;
      const std::set<uint32_t> expected = truth(q);
      wanted += expected.size();
      for (const auto& hit : hits) right += expected.count(hit.slot);
    }
    if (round > 0) best = std::min(best, cpu_s(CLOCK_THREAD_CPUTIME_ID) - start);
  }
  return {static_cast<double>(right) / static_cast<double>(wanted), best * 1e6 / static_cast<double>(count)};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: vector_bench <wordnet folder> <empty folder> [threads] [m] [ef_construct]\n");
    return 2;
  }
  const std::string data = argv[1];
  const size_t dim = 384;
  VectorIndexConfig config;
  config.dim = dim;
  config.dir = argv[2];
  const char* const simd = simd_level();
  const unsigned threads = argc > 3 ? static_cast<unsigned>(std::atoi(argv[3])) : 2;
  if (argc > 4) config.m = static_cast<uint32_t>(std::atoi(argv[4]));
  if (argc > 5) config.ef_construct = static_cast<uint32_t>(std::atoi(argv[5]));
  // A peer walks its graph however small the data are.
  if (argc > 6) config.full_scan_threshold_kb = 1;
  ::mkdir(config.dir.c_str(), 0700);

  const std::vector<float> queries = read_vectors(data + "/queries.f16", dim);
  const auto neighbour_bytes = read_all(data + "/neighbors.u32");
  const auto* neighbours = reinterpret_cast<const uint32_t*>(neighbour_bytes.data());
  uint32_t rows = 0;
  double build_cpu_s = 0;
  auto index = VectorIndex::open(config);
  {
    const std::vector<float> vectors = read_vectors(data + "/vectors.f16", dim);
    rows = static_cast<uint32_t>(vectors.size() / dim);
    double start = cpu_s(CLOCK_PROCESS_CPUTIME_ID);
    bool all = true;
    for (uint32_t i = 0; i < rows; ++i) all = index->adopt(i, i + 1) && all;
    std::printf("simd %s; open and adopt %.3f CPU s (%s)\n", simd_level(), cpu_s(CLOCK_PROCESS_CPUTIME_ID) - start,
                all ? "all adopted" : "fresh");
    if (!all) {
      for (uint32_t i = 0; i < rows; ++i) index->upsert(i, i + 1, vectors.data() + i * dim);
      start = cpu_s(CLOCK_PROCESS_CPUTIME_ID);
      const double wall = cpu_s(CLOCK_MONOTONIC);
      auto build = index->begin_build();
      std::atomic<bool> cancel{false};
      const bool built = build->run(cancel, threads);
      index->finish_build(*build, built);
      build_cpu_s = cpu_s(CLOCK_PROCESS_CPUTIME_ID) - start;
      std::printf("build m %u ef_construct %u: %.2f CPU s, %.2f s with %u threads\n", config.m, config.ef_construct,
                  cpu_s(CLOCK_PROCESS_CPUTIME_ID) - start, cpu_s(CLOCK_MONOTONIC) - wall, threads);
    }
  }
  index.reset();
  double start = cpu_s(CLOCK_PROCESS_CPUTIME_ID);
  index = VectorIndex::open(config);
  std::printf("reopen %.1f ms CPU\n", (cpu_s(CLOCK_PROCESS_CPUTIME_ID) - start) * 1e3);
  start = cpu_s(CLOCK_PROCESS_CPUTIME_ID);
  for (uint32_t i = 0; i < rows; ++i) {
    if (!index->adopt(i, i + 1)) {
      std::printf("adopt failed for %u\n", i);
      return 1;
    }
  }
  std::printf("adopt %.1f ms CPU\n", (cpu_s(CLOCK_PROCESS_CPUTIME_ID) - start) * 1e3);

  const bool peer = argc > 6 && std::strcmp(argv[6], "peer") == 0;
  auto truth = [&](size_t q) { return std::set<uint32_t>(neighbours + q * 100, neighbours + q * 100 + 10); };
  if (peer) {
    const VectorIndexStats stats = index->stats();
    std::printf("{\"build_cpu_s\": %.3f, \"memory_mb\": %.1f, \"disk_mb\": %.1f}\n", build_cpu_s, static_cast<double>(stats.anonymous) / 1e6,
                static_cast<double>(stats.mapped) / 1e6);
    std::fflush(stdout);
    const char* wanted = std::getenv("PEER_QUERIES");
    const size_t count = std::min<size_t>(queries.size() / dim, wanted != nullptr ? static_cast<size_t>(std::atoi(wanted)) : 1000);
    const std::vector<float> asked(queries.begin(), queries.begin() + static_cast<ptrdiff_t>(count * dim));
    size_t ef = 0;
    while (std::scanf("%zu", &ef) == 1) {
      VectorSearch request;
      request.ef = ef;
      const Result r = measure(*index, asked, dim, request, truth, 2);
      std::printf("{\"recall\": %.6f, \"us\": %.3f}\n", r.recall, r.us);
      std::fflush(stdout);
    }
    return 0;
  }
  // The whole sweep with the best kernels; what the others cost, at two points of it.
  for (size_t ef : {16, 24, 32, 40, 48, 64, 80, 96, 128, 192, 256}) {
    VectorSearch request;
    request.ef = ef;
    const Result r = measure(*index, queries, dim, request, truth);
    std::printf("ef %3zu: recall@10 %.4f, %.1f us CPU a query\n", ef, r.recall, r.us);
  }
  for (const char* level : {"avx512vnni", "avx2", "baseline"}) {
    const Kernels* kernels = find_kernels(level);
    if (kernels == nullptr) continue;
    force_kernels_for_test(kernels);
    for (size_t ef : {24, 80}) {
      VectorSearch request;
      request.ef = ef;
      const Result r = measure(*index, queries, dim, request, truth);
      std::printf("simd %s, ef %2zu: recall@10 %.4f, %.1f us CPU a query\n", level, ef, r.recall, r.us);
    }
  }
  force_kernels_for_test(find_kernels(simd));
  VectorSearch exact;
  exact.exact = true;
  std::vector<float> some(queries.begin(), queries.begin() + 100 * static_cast<ptrdiff_t>(dim));
  Result r = measure(*index, some, dim, exact, truth, 2);
  std::printf("exact: recall@10 %.4f, %.1f us\n", r.recall, r.us);

  // Random masks, and masks of whole neighbourhoods (the rows nearest to some random row).
  std::mt19937 random(7);
  std::vector<float> probe(dim);
  for (const bool clustered : {false, true}) {
    for (const double part : {0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.47, 0.8}) {
      Bitset mask(rows);
      const auto wanted = static_cast<size_t>(part * rows);
      if (clustered) {
        index->get(static_cast<uint32_t>(random() % rows), probe.data());
        VectorSearch request;
        request.query = probe.data();
        request.exact = true;
        request.k = wanted;
        std::vector<VectorHit> hits;
        index->search(request, hits);
        for (const auto& hit : hits) mask.set(hit.slot);
      } else {
        for (uint32_t i = 0; i < rows; ++i) {
          if (random() % 10000 < part * 10000) mask.set(i);
        }
      }
      VectorSearch request;
      request.allowed = &mask;
      request.allowed_count = mask.count();
      std::vector<std::set<uint32_t>> truths;
      request.exact = true;
      std::vector<VectorHit> hits;
      for (size_t q = 0; q < some.size() / dim; ++q) {
        request.query = some.data() + q * dim;
        index->search(request, hits);
        truths.emplace_back();
        for (const auto& hit : hits) truths.back().insert(hit.slot);
      }
      request.exact = false;
      for (size_t ef : {64, 128}) {
        request.ef = ef;
        r = measure(*index, some, dim, request, [&](size_t q) { return truths[q]; }, 3);
        std::printf("%s mask %4.1f %%, ef %3zu: recall@10 %.4f, %.1f us\n", clustered ? "clustered" : "random", part * 100,
                    ef, r.recall, r.us);
      }
    }
  }
  const VectorIndexStats stats = index->stats();
  std::printf("live %lu indexed %lu segments %lu anonymous %.1f MB mapped %.1f MB\n", stats.live, stats.indexed,
              stats.segments, static_cast<double>(stats.anonymous) / 1e6, static_cast<double>(stats.mapped) / 1e6);
  print_memory("memory");
  return 0;
}
