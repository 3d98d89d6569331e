// Checks the datatypes of rows and the kinds of codes against brute force over what is stored, through merges, overwrites and reopening; with a folder
// of wordnet vectors their recall too. codes_check [seed] [folder with vectors.f16 and queries.f16 of 384 dimensions]
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <string>

#include "../vector/checksum.h"
#include "../vector/code_kinds.h"
#include "../vector/kernels.h"
#include "../vector/vector_index.h"
#include "program.h"

using namespace sealpoint;

namespace {

using Random = std::mt19937;

struct Kind {
  const char* name;
  CodeConfig codes;
};

CodeConfig chosen(CodeKind kind, float quantile = 0, uint8_t query_bits = 8, uint8_t group = 1) {
  CodeConfig codes;
  codes.kind = kind;
  codes.chosen = true;
  codes.quantile = quantile;
  codes.query_bits = query_bits;
  codes.group = group;
  return codes;
}

const Kind kKinds[] = {
    {"default", {}},
    {"scalar", chosen(CodeKind::kScalar)},
    {"scalar .99", chosen(CodeKind::kScalar, 0.99f)},
    {"binary 1", chosen(CodeKind::kOneBit)},
    {"binary 1, query 1", chosen(CodeKind::kOneBit, 0, 1)},
    {"binary 1, query 4", chosen(CodeKind::kOneBit, 0, 4)},
    {"binary 1.5", chosen(CodeKind::kOneAndHalfBits)},
    {"binary 2", chosen(CodeKind::kTwoBits)},
    {"product x4", chosen(CodeKind::kProduct, 0, 8, 1)},
    {"product x8", chosen(CodeKind::kProduct, 0, 8, 2)},
    {"product x16", chosen(CodeKind::kProduct, 0, 8, 4)},
    {"product x32", chosen(CodeKind::kProduct, 0, 8, 8)},
    {"product x64", chosen(CodeKind::kProduct, 0, 8, 16)},
};

double cpu_s() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

void check_kernels(Random& random) {
  std::normal_distribution<float> normal(0, 10);
  for (const char* name : {"avx2", "avx512vnni"}) {
    const Kernels* kernel = find_kernels(name);
    if (kernel == nullptr) continue;
    for (size_t count : {1, 2, 7, 8, 15, 16, 17, 33, 100, 384}) {
      std::vector<float> values(count), wide(count), wide_reference(count);
      for (float& value : values) value = normal(random);
      values[0] = 70000;  // beyond halves
      std::vector<uint8_t> halves(count * 2), halves_reference(count * 2), bytes(count);
      kernel->narrow_f16(values.data(), halves.data(), count);
      kBaselineKernels.narrow_f16(values.data(), halves_reference.data(), count);
      CHECK(halves == halves_reference, "%s, %zu halves", name, count);
      kernel->widen_f16(halves.data(), wide.data(), count);
      kBaselineKernels.widen_f16(halves.data(), wide_reference.data(), count);
      CHECK(wide == wide_reference, "%s, %zu widened halves", name, count);
      for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
      kernel->widen_u8(bytes.data(), wide.data(), count);
      for (size_t i = 0; i < count; ++i) CHECK(wide[i] == bytes[i], "%s, bytes", name);
      for (unsigned slices : {1u, 4u, 8u}) {
        std::vector<uint8_t> code(count * 8);
        std::vector<uint64_t> masks(count * slices);
        for (uint8_t& byte : code) byte = static_cast<uint8_t>(random());
        for (uint64_t& mask : masks) mask = uint64_t{random()} << 32 | random();
        const BitSums got = kernel->bit_sums(code.data(), masks.data(), count, slices);
        const BitSums wanted = kBaselineKernels.bit_sums(code.data(), masks.data(), count, slices);
        CHECK(got.ones == wanted.ones && got.weighted == wanted.weighted, "%s, bits of %zu words", name, count);
      }
    }
    std::vector<float> point(16), columns(16 * 256), got(256), wanted(256);
    for (float& value : point) value = normal(random);
    for (float& value : columns) value = normal(random);
    const size_t nearest = kernel->nearest_column(point.data(), columns.data(), 16, got.data());
    kBaselineKernels.nearest_column(point.data(), columns.data(), 16, wanted.data());
    for (size_t i = 0; i < 256; ++i) CHECK(std::fabs(got[i] - wanted[i]) <= 1e-4f * wanted[i] && got[nearest] <= got[i], "%s, columns", name);
  }
}

void check_values() {
  float bytes[] = {-3, 0, 0.9f, 1, 254.999f, 255, 256, 1e30f};
  round_values(Datatype::kUint8, bytes, 8);
  const float wanted[] = {0, 0, 0, 1, 254, 255, 255, 255};
  CHECK(std::memcmp(bytes, wanted, sizeof(bytes)) == 0, "bytes");
  float halves[] = {1.0f / 3, 65504, 1e9f, -1e9f, 1e-9f, 2049};
  round_values(Datatype::kFloat16, halves, 6);
  CHECK(std::fabs(halves[0] - 0.33325195f) < 1e-7f && halves[1] == 65504 && halves[2] == 65504 && halves[3] == -65504 && halves[4] == 0 && halves[5] == 2048,
        "halves");
}

double reference(Distance distance, Datatype datatype, const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double x = a[i], y = b[i];
    aa += x * x;
    bb += y * y;
    sum += distance == Distance::kEuclid ? (x - y) * (x - y) : distance == Distance::kManhattan ? std::fabs(x - y) : x * y;
  }
  if (distance == Distance::kEuclid) return std::sqrt(sum);
  if (distance == Distance::kCosine && datatype == Datatype::kUint8) return aa * bb > 0 ? sum / std::sqrt(aa * bb) : 0;
  return sum;
}

bool similarity(Distance distance) { return distance == Distance::kCosine || distance == Distance::kDot; }

// What searches must find at least: a little below the least of 1,600 measurements with six seeds. `offset`: all values lie on one side of zero, as bytes do,
// and the distance is an angle or a product: codes of few bits then see little of what tells vectors apart.
struct Bars {
  double rescored, alone;
};
Bars bars(const CodeConfig& codes, bool offset) {
  switch (codes.kind) {
    case CodeKind::kScalar:
      return codes.quantile > 0 ? Bars{0.93, offset ? 0.55 : 0.75} : Bars{0.97, offset ? 0.65 : 0.9};
    case CodeKind::kOneBit:
      return codes.query_bits == 1 ? Bars{offset ? 0.45 : 0.88, 0.1} : Bars{offset ? 0.65 : 0.92, 0.1};
    case CodeKind::kOneAndHalfBits:
      return {offset ? 0.65 : 0.92, 0.1};
    case CodeKind::kTwoBits:
      return {offset ? 0.82 : 0.95, 0.15};
    case CodeKind::kProduct:
      break;
  }
  switch (codes.group) {
    case 1:
      return {0.98, offset ? 0.8 : 0.92};
    case 2:
      return {0.98, offset ? 0.45 : 0.75};
    case 4:
      return {0.96, offset ? 0.25 : 0.55};
    case 8:
      return {offset ? 0.8 : 0.96, offset ? 0.12 : 0.42};
    default:
      return {offset ? 0.85 : 0.96, offset ? 0.15 : 0.3};
  }
}

struct Flow {
  Distance distance;
  Datatype datatype;
  CodeConfig codes;
  const char* name;
  uint32_t dim;
  Random& random;
  std::vector<std::vector<float>> centres;
  std::map<uint32_t, std::vector<float>> model;
  uint64_t version = 0;

  std::vector<float> next() {
    std::normal_distribution<float> normal(0, 1);
    if (centres.empty()) {
      for (int i = 0; i < 12; ++i) {
        centres.emplace_back(dim);
        for (float& value : centres.back()) value = normal(random);
      }
    }
    std::vector<float> out = centres[random() % centres.size()];
    for (float& value : out) value += normal(random) * 0.6f;
    if (datatype == Datatype::kUint8) {
      for (float& value : out) value = value * 30 + 128;
    }
    if (normalized(distance, datatype)) normalize(out.data(), dim);
    round_values(datatype, out.data(), dim);
    return out;
  }

  void write(VectorIndex& index, uint32_t slot) {
    model[slot] = next();
    index.upsert(slot, ++version, model[slot].data());
    versions[slot] = version;
  }
  std::map<uint32_t, uint64_t> versions;

  // What an exact search must answer, and the share of it that `got` has; its scores are those of the stored values.
  double recall(const std::vector<float>& query, const std::vector<VectorHit>& got, size_t k, bool exact_scores) const {
    std::vector<std::pair<double, uint32_t>> all;
    for (const auto& [slot, values] : model) {
      const double score = reference(distance, datatype, query, values);
      all.push_back({similarity(distance) ? -score : score, slot});
    }
    std::sort(all.begin(), all.end());
    all.resize(std::min(all.size(), k));
    std::set<uint32_t> wanted;
    for (const auto& entry : all) wanted.insert(entry.second);
    size_t hit = 0;
    for (const VectorHit& one : got) {
      const auto values = model.find(one.slot);
      CHECK(values != model.end(), "%s: a dead slot is found", name);
      const double score = reference(distance, datatype, query, values->second);
      // Scores are floats: what lies at the last one's score by their rounding is as near.
      const double key = similarity(distance) ? -score : score, last = all.back().first;
      hit += wanted.count(one.slot) != 0 || key <= last + 2e-7 * std::fabs(last) ? 1 : 0;
      if (exact_scores) CHECK(std::fabs(score - one.score) <= 1e-4 * (1 + std::fabs(score)), "%s: score %g, not %g", name, one.score, score);
    }
    return wanted.empty() ? 1 : static_cast<double>(hit) / static_cast<double>(wanted.size());
  }

  void check(VectorIndex& index) {
    const size_t k = 10;
    double sums[4] = {};
    constexpr int kQueries = 12;
    for (int i = 0; i < kQueries; ++i) {
      const std::vector<float> query = next();
      std::vector<VectorHit> hits;
      VectorSearch search;
      search.query = query.data();
      search.k = k;
      search.exact = true;
      index.search(search, hits);
      sums[0] += recall(query, hits, k, true);
      search.exact = false;
      search.ef = 128;
      index.search(search, hits);
      sums[1] += recall(query, hits, k, true);
      search.originals = true;
      index.search(search, hits);
      sums[2] += recall(query, hits, k, true);
      search.originals = false;
      search.rescore = false;
      search.oversampling = 2;
      index.search(search, hits);
      sums[3] += recall(query, hits, k, !codes.chosen);
      CHECK(hits.size() == std::min(k, model.size()), "%s: %zu answers", name, hits.size());
    }
    for (double& sum : sums) sum /= kQueries;
    const Bars least = bars(codes, datatype == Datatype::kUint8 && similarity(distance));
    CHECK(sums[0] > 0.999, "%s: exact searches find %.3f", name, sums[0]);
    CHECK(sums[1] > least.rescored, "%s, distance %d, datatype %d: rescored searches find %.3f", name, int(distance), int(datatype), sums[1]);
    CHECK(sums[2] > 0.97, "%s: searches over the originals find %.3f", name, sums[2]);
    CHECK(sums[3] > least.alone, "%s, distance %d, datatype %d: searches by codes alone find %.3f", name, int(distance), int(datatype), sums[3]);
    std::vector<float> out(dim);
    for (const auto& [slot, values] : model) CHECK(index.get(slot, out.data()) && out == values, "%s: slot %u is not what was written", name, slot);
  }

  static void build(VectorIndex& index) {
    const std::atomic<bool> cancel{false};
    while (index.wants_build()) {
      auto build = index.begin_build();
      if (build == nullptr) return;
      const bool done = build->run(cancel, 2);
      index.finish_build(*build, done);
    }
  }

  void run() {
    const checks::Folder folder;
    const std::string& dir = folder.path();
    VectorIndexConfig config;
    config.dim = dim;
    config.distance = distance;
    config.datatype = datatype;
    config.codes = codes;
    config.m = 8;
    config.ef_construct = 64;
    config.full_scan_threshold_kb = 1;
    config.indexing_threshold_kb = 1;
    config.dir = dir;
    {
      auto index = VectorIndex::open(config);
      for (uint32_t slot = 0; slot < 700; ++slot) write(*index, slot);
      build(*index);
      check(*index);
      // Overwrites, deletes and a merge, which reads rows back from the segment.
      for (int i = 0; i < 250; ++i) write(*index, random() % 900);
      for (int i = 0; i < 60; ++i) {
        const uint32_t slot = random() % 700;
        index->remove(slot);
        model.erase(slot);
        versions.erase(slot);
      }
      check(*index);
      build(*index);
      check(*index);
    }
    auto index = VectorIndex::open(config);
    CHECK(index->damaged().empty(), "%s: %s", name, index->damaged().front().c_str());
    for (const auto& [slot, at] : versions) {
      if (!index->adopt(slot, at)) index->upsert(slot, at, model[slot].data());
    }
    check(*index);
    // Other codes: the segments are made anew.
    config.codes = codes.kind == CodeKind::kScalar ? chosen(CodeKind::kOneBit) : CodeConfig{};
    index->reconfigure(config);
    CHECK(index->wants_build(), "%s: other codes want no build", name);
    codes = config.codes;
    build(*index);
    CHECK(!index->wants_build(), "%s: builds without end", name);
    check(*index);
    index.reset();
  }
};

std::vector<float> read_halves(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  CHECK(file, "cannot read %s", path.c_str());
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  std::vector<float> out(bytes.size() / 2);
  load_values(Datatype::kFloat16, bytes.data(), out.size(), out.data());
  return out;
}

// Recall at 10 of every kind over the given vectors, and the bars that it must not miss.
void measure(const std::string& folder) {
  constexpr uint32_t kDim = 384;
  std::vector<float> vectors = read_halves(folder + "/vectors.f16"), queries = read_halves(folder + "/queries.f16");
  const size_t count = vectors.size() / kDim, asked = std::min<size_t>(queries.size() / kDim, 200);
  for (size_t i = 0; i < count; ++i) normalize(vectors.data() + i * kDim, kDim);
  for (size_t i = 0; i < asked; ++i) normalize(queries.data() + i * kDim, kDim);
  std::vector<std::set<uint32_t>> truth(asked);
  std::printf("%zu vectors of wordnet, ef 128; recall at 10\n%-20s %8s %8s %8s %8s %8s %10s %9s %8s\n", count, "codes", "default", "x1", "x3", "no resc.", "ignore",
              "us a query", "code B", "build s");
  for (const Datatype datatype : {Datatype::kFloat32, Datatype::kFloat16}) {
    for (const Kind& kind : kKinds) {
      if (datatype != Datatype::kFloat32 && kind.codes.chosen) continue;
      const checks::Folder own;
      const std::string& dir = own.path();
      VectorIndexConfig config;
      config.dim = kDim;
      config.datatype = datatype;
      config.codes = kind.codes;
      config.full_scan_threshold_kb = 10;
      config.indexing_threshold_kb = 10;
      config.dir = dir;
      auto index = VectorIndex::open(config);
      std::vector<float> row(kDim);
      for (uint32_t i = 0; i < count; ++i) {
        std::memcpy(row.data(), vectors.data() + size_t{i} * kDim, kDim * sizeof(float));
        round_values(datatype, row.data(), kDim);
        index->upsert(i, i + 1, row.data());
      }
      double built = cpu_s();
      Flow::build(*index);
      built = cpu_s() - built;
      VectorSearch search;
      search.k = 10;
      std::vector<VectorHit> hits;
      if (truth[0].empty()) {
        search.exact = true;
        for (size_t i = 0; i < asked; ++i) {
          search.query = queries.data() + i * kDim;
          index->search(search, hits);
          for (const VectorHit& hit : hits) truth[i].insert(hit.slot);
        }
        search.exact = false;
      }
      search.ef = 128;
      double spent = 0;
      auto recall = [&](bool originals, bool rescore, double oversampling) {
        search.originals = originals;
        search.rescore = rescore;
        search.oversampling = oversampling;
        size_t found = 0;
        const double from = cpu_s();
        for (size_t i = 0; i < asked; ++i) {
          search.query = queries.data() + i * kDim;
          index->search(search, hits);
          for (const VectorHit& hit : hits) found += truth[i].count(hit.slot);
        }
        spent = (cpu_s() - from) / static_cast<double>(asked) * 1e6;
        return static_cast<double>(found) / static_cast<double>(asked * 10);
      };
      recall(false, true, 0);
      const double usual = recall(false, true, 0);
      const double usual_us = spent;
      const double once = recall(false, true, 1), three = recall(false, true, 3), raw = recall(false, false, 0), originals = recall(true, true, 0);
      const std::string name = std::string(kind.name) + (datatype == Datatype::kFloat16 ? ", float16" : "");
      std::printf("%-20s %8.4f %8.4f %8.4f %8.4f %8.4f %10.0f %9u %8.1f\n", name.c_str(), usual, once, three, raw, originals, usual_us,
                  code_bytes_of(kind.codes, kDim), built);
      const CodeKind of = kind.codes.kind;
      CHECK(usual >= (of == CodeKind::kScalar ? 0.98 : of == CodeKind::kProduct && kind.codes.group > 4 ? 0.6 : 0.9), "%s misses its bar", name.c_str());
      if (of == CodeKind::kOneBit && kind.codes.query_bits == 8) CHECK(three >= 0.9, "%s misses its bar", name.c_str());
      index.reset();
    }
  }
}

// Against the check value of RFC 3720's polynomial and a definition bit by bit, whole and in two pieces.
void check_crc(Random& random) {
  CHECK(extend_crc32c(0, "123456789", 9) == 0xe3069283u, "the check value of CRC-32C");
  for (size_t size = 0; size < 200; ++size) {
    std::string bytes(size, 0);
    for (char& byte : bytes) byte = static_cast<char>(random());
    uint32_t expected = ~0u;
    for (const char byte : bytes) {
      expected ^= static_cast<uint8_t>(byte);
      for (int bit = 0; bit < 8; ++bit) expected = expected >> 1 ^ (expected & 1 ? 0x82f63b78u : 0);
    }
    const size_t cut = size == 0 ? 0 : random() % size;
    const uint32_t first = extend_crc32c(0, bytes.data(), cut);
    CHECK(extend_crc32c(first, bytes.data() + cut, size - cut) == ~expected, "%zu bytes cut at %zu", size, cut);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned seed = checks::take_seed(argc, argv);
  std::printf("%s\n", simd_level());
  Random random(seed);
  check_crc(random);
  check_kernels(random);
  check_values();
  for (const Distance distance : {Distance::kCosine, Distance::kEuclid, Distance::kDot, Distance::kManhattan}) {
    for (const Kind& kind : kKinds) {
      const uint32_t dim = kind.codes.kind == CodeKind::kProduct ? 40 + random() % 30 : 100 + random() % 60;
      const auto datatype = static_cast<Datatype>(1 + random() % 3);
      Flow flow{distance, datatype, kind.codes, kind.name, dim, random, {}, {}, 0, {}};
      flow.run();
    }
  }
  if (argc > 2) measure(argv[2]);
  std::printf("codes_check: passed\n");
  return 0;
}
