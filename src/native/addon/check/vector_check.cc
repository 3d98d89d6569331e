// Checks the vector index against brute force, through merges, reopening, damage and threads. From this folder:
// g++ -std=c++20 -O1 -g -fopenmp vector_check.cc ../vector/*.cc ../core/*.cc -l:libfaiss.a -o /tmp/vector_check && /tmp/vector_check [seed]
// With -fsanitize=address,undefined likewise; with -fsanitize=thread and TSAN_OPTIONS=suppressions=tsan.supp (FAISS is not instrumented).
#include "../vector/planes.h"
#include "vector_model.h"

using namespace check;

namespace {

void check_kernels(Random& random) {
  for (const char* name : {"baseline", "avx2", "avx512vnni"}) {
    const Kernels* kernels = find_kernels(name);
    if (kernels == nullptr) {
      std::printf("  %s: not on this CPU\n", name);
      continue;
    }
    for (int round = 0; round < 300; ++round) {
      const size_t bytes = 64 * (1 + random() % 40);
      // The extremes too: saturation is where int8 kernels go wrong.
      const int kind = round % 3;
      auto code = [&] { return kind == 0 ? static_cast<int>(random() % 255) - 127 : (kind == 1 || random() % 2 ? 127 : -127); };
      std::vector<uint8_t> codes[4];
      std::vector<int8_t> query(bytes);
      std::vector<uint8_t> biased(bytes);
      int32_t sum = 0;
      for (size_t i = 0; i < bytes; ++i) {
        query[i] = static_cast<int8_t>(code());
        biased[i] = static_cast<uint8_t>(query[i] + 128);
        sum += query[i];
      }
      const uint8_t* pointers[4];
      int32_t dots[4], out[4];
      for (int r = 0; r < 4; ++r) {
        codes[r].resize(bytes);
        dots[r] = 0;
        int32_t sad = 0;
        for (size_t i = 0; i < bytes; ++i) {
          const int plain = code();
          codes[r][i] = static_cast<uint8_t>(plain + 128);
          dots[r] += plain * query[i];
          sad += std::abs(plain - query[i]);
        }
        pointers[r] = codes[r].data();
        CHECK(kernels->dot(pointers[r], query.data(), 128 * sum, bytes) == dots[r], "%s dot of %zu", name, bytes);
        CHECK(kernels->dot_codes(pointers[r], biased.data(), 128 * sum, bytes) == dots[r], "%s dot_codes", name);
        CHECK(kernels->sad(pointers[r], biased.data(), bytes) == sad, "%s sad of %zu", name, bytes);
      }
      kernels->dot4(pointers, query.data(), 128 * sum, bytes, out);
      CHECK(std::memcmp(dots, out, sizeof(dots)) == 0, "%s dot4 of %zu", name, bytes);

      std::vector<uint8_t> upper[4], lower[4];
      const uint8_t *uppers[4], *lowers[4];
      for (int r = 0; r < 4; ++r) {
        upper[r].resize(bytes / 2);
        lower[r].resize(bytes / 2);
        split_planes(pointers[r], bytes, upper[r].data(), lower[r].data());
        uppers[r] = upper[r].data();
        lowers[r] = lower[r].data();
      }
      int32_t high[4], low[4];
      kernels->nibbles4(uppers, query.data(), bytes / 2, high);
      kernels->nibbles4(lowers, query.data(), bytes / 2, low);
      for (int r = 0; r < 4; ++r) CHECK(16 * high[r] + low[r] - 128 * sum == dots[r], "%s nibbles4 of %zu", name, bytes);

      const size_t dim = 1 + random() % 300;
      std::normal_distribution<float> normal;
      std::vector<float> a(dim), b(dim);  // exact sizes: the address sanitizer sees a read beyond
      for (size_t i = 0; i < dim; ++i) a[i] = normal(random), b[i] = normal(random);
      auto near = [&](double got, double wanted) { return std::fabs(got - wanted) < 1e-4 * (1 + static_cast<double>(dim)); };
      CHECK(near(kernels->dot_f32(a.data(), b.data(), dim), reference(Distance::kDot, a.data(), b.data(), dim)), "%s dot_f32", name);
      CHECK(near(std::sqrt(kernels->l2_f32(a.data(), b.data(), dim)), reference(Distance::kEuclid, a.data(), b.data(), dim)),
            "%s l2_f32", name);
      CHECK(near(kernels->l1_f32(a.data(), b.data(), dim), reference(Distance::kManhattan, a.data(), b.data(), dim)),
            "%s l1_f32", name);
    }
    std::printf("  %s: right\n", name);
  }
}

void check_flow(Distance distance, uint32_t dim, Random& random) {
  const std::string dir = make_dir();
  const VectorIndexConfig config = config_for(distance, dim, dir);
  Source source(dim, distance, random);
  Model model{distance, dim, {}, 0};
  auto index = VectorIndex::open(config);
  check_all(*index, model, source, random, "empty");
  CHECK(index->begin_build() == nullptr, "an empty index has nothing to build");
  for (uint32_t slot = 0; slot < 700; ++slot) model.upsert(*index, slot, source.next());
  check_all(*index, model, source, random, "tail");
  CHECK(index->wants_build(), "a full tail wants a build");
  run_build(*index);
  CHECK(index->stats().indexed == 700 && index->stats().segments == 1, "one segment");
  check_all(*index, model, source, random, "segment");

  // Writes while a build runs, then a build that is given up.
  for (uint32_t slot = 700; slot < 1500; ++slot) model.upsert(*index, slot, source.next());
  for (const bool succeed : {false, true}) {
    auto build = index->begin_build();
    CHECK(build != nullptr && index->begin_build() == nullptr, "one build at a time");
    for (int i = 0; i < 150; ++i) model.upsert(*index, random() % 1600, source.next());
    std::atomic<bool> cancel{!succeed};
    CHECK(build->run(cancel, 2) == succeed, "cancel");
    for (int i = 0; i < 100; ++i) model.remove(*index, random() % 1600);
    check_all(*index, model, source, random, "during a build");
    index->finish_build(*build, succeed);
    build.reset();
    check_all(*index, model, source, random, succeed ? "after a build" : "after a cancelled build");
  }
  CHECK(index->stats().segments == 1, "small segments merge, %lu are left", index->stats().segments);
  CHECK(files_of(dir).size() == 2, "the manifest and one segment, not %zu files", files_of(dir).size());

  size_t adopted = 0;
  const uint64_t indexed = index->stats().indexed;
  index = reopen(std::move(index), config, model, adopted);
  CHECK(adopted == indexed && index->damaged().empty(), "%zu adopted of %lu", adopted, indexed);
  check_all(*index, model, source, random, "reopened");

  // Mostly dead: wanted, and then gone.
  std::vector<uint32_t> slots;
  for (const auto& [slot, vector] : model.vectors) slots.push_back(slot);
  for (const uint32_t slot : slots) {
    if (slot % 4 != 0) model.remove(*index, slot);
  }
  CHECK(index->wants_build(), "dead rows want a build");
  check_all(*index, model, source, random, "mostly dead");
  run_build(*index, 1);
  CHECK(!index->wants_build(), "nothing more is wanted");
  check_all(*index, model, source, random, "after dead rows");

  VectorIndexConfig other = config;
  other.m = 12;
  index->reconfigure(other);
  CHECK(index->wants_build(), "another m wants a build");
  run_build(*index);
  CHECK(!index->wants_build(), "built with the other m");
  check_all(*index, model, source, random, "reconfigured");

  for (const auto& [slot, vector] : std::map(model.vectors)) model.remove(*index, slot);
  run_build(*index);
  CHECK(index->stats().segments == 0 && files_of(dir).size() == 1, "an index of dead rows becomes empty");
  index.reset();
  remove_dir(dir);
}

void flip(const std::string& path, uint64_t offset) {
  const int fd = ::open(path.c_str(), O_RDWR);
  uint8_t byte;
  CHECK(::pread(fd, &byte, 1, static_cast<off_t>(offset)) == 1, "nothing at %lu", offset);
  byte ^= 0x10;
  CHECK(::pwrite(fd, &byte, 1, static_cast<off_t>(offset)) == 1, "write");
  ::close(fd);
}

void copy_file(const std::string& from, const std::string& to) {
  std::ofstream(to, std::ios::binary) << std::ifstream(from, std::ios::binary).rdbuf();
}

void check_damage(Random& random) {
  const std::string dir = make_dir();
  const std::string saved = make_dir();
  const uint32_t dim = 40;
  const VectorIndexConfig config = config_for(Distance::kEuclid, dim, dir);
  Source source(dim, Distance::kEuclid, random);
  Model model{Distance::kEuclid, dim, {}, 0};
  auto index = VectorIndex::open(config);
  for (uint32_t slot = 0; slot < 500; ++slot) model.upsert(*index, slot, source.next());
  run_build(*index);
  const std::string segment = segment_of(dir);
  SegmentHeader header;
  std::ifstream(segment, std::ios::binary).read(reinterpret_cast<char*>(&header), sizeof(header));
  index.reset();
  copy_file(segment, saved + "/segment");
  copy_file(dir + "/manifest", saved + "/manifest");
  auto restore = [&] {
    index.reset();
    for (const auto& name : files_of(dir)) ::unlink((dir + "/" + name).c_str());
    copy_file(saved + "/segment", segment);
    copy_file(saved + "/manifest", dir + "/manifest");
  };
  size_t adopted = 0;
  std::string why;

  restore();
  index = reopen(std::move(index), config, model, adopted);
  CHECK(adopted == 500 && index->damaged().empty() && index->verify_rows(why), "sound: %s", why.c_str());

  std::vector<std::pair<std::string, uint64_t>> places = {{"magic", 0}, {"header", 20}, {"header's end", sizeof(header) - 1}};
  for (uint32_t i = 0; i < kRows; ++i) {
    const SectionEntry& entry = header.sections[i];
    // Scalar codes have no book.
    CHECK(entry.bytes > 0 || i == kUpperNodes || i == kUpperLinks || i == kBook, "section %u is empty", i);
    if (entry.bytes > 0) places.emplace_back("section " + std::to_string(i), entry.offset + random() % entry.bytes);
  }
  for (const auto& [what, offset] : places) {
    restore();
    flip(segment, offset);
    index = reopen(std::move(index), config, model, adopted);
    CHECK(adopted == 0 && index->damaged().size() == 1, "%s: %zu adopted", what.c_str(), adopted);
    CHECK(segment_of(dir).empty(), "%s: the damaged file is still there", what.c_str());
    check_all(*index, model, source, random, what.c_str());
    run_build(*index);
    index = reopen(std::move(index), config, model, adopted);
    CHECK(adopted == 500 && index->damaged().empty(), "%s: not repaired", what.c_str());
  }

  // A damaged row: found by verify_rows, never handed out, never copied on, repaired by upsert.
  restore();
  flip(segment, header.sections[kRows].offset + 7 * dim * 4 + 2);
  index = reopen(std::move(index), config, model, adopted);
  CHECK(adopted == 500, "rows are not read when opening");
  CHECK(!index->verify_rows(why) && !why.empty(), "a damaged row was not found");
  std::vector<float> row(dim);
  auto loses = [&](auto action) {
    try {
      action();
    } catch (const Error& error) {
      return error.kind() == ErrorKind::kDataLoss;
    }
    return false;
  };
  const std::vector<uint32_t> bad = index->damaged_slots();
  CHECK(bad.size() == kRowsPerCheck && index->damaged_rows(), "%zu damaged slots", bad.size());
  CHECK(loses([&] { index->get(bad[7], row.data()); }), "a damaged row was handed out");
  model.upsert(*index, 490, source.next());
  VectorIndexConfig other = config;
  other.m = 9;
  index->reconfigure(other);
  {
    auto build = index->begin_build();
    std::atomic<bool> cancel{false};
    CHECK(loses([&] { build->run(cancel, 1); }), "a build copied damage");
    index->finish_build(*build, false);
  }
  for (const uint32_t slot : bad) model.upsert(*index, slot, model.vectors[slot].values);
  CHECK(index->damaged_slots().empty(), "repaired");
  check_all(*index, model, source, random, "repaired");
  run_build(*index);
  CHECK(index->verify_rows(why) && index->stats().segments == 1, "repaired: %s", why.c_str());
  check_all(*index, model, source, random, "repaired and built");
  model.vectors.clear();
  for (uint32_t slot = 0; slot < 500; ++slot) {
    // The saved file holds versions 1 to 500; any vector of another version must not be taken from it.
    model.vectors[slot] = {slot + (slot % 2 == 0 ? 1 : 1000), source.next()};
  }

  restore();
  index = reopen(std::move(index), config, model, adopted);
  CHECK(adopted == 250, "%zu adopted by version", adopted);

  for (const uint64_t size : {uint64_t{0}, uint64_t{100}, kPage + 0, header.sections[kCodes].offset + 5,
                              header.sections[kRows].offset + 3000}) {
    restore();
    CHECK(::truncate(segment.c_str(), static_cast<off_t>(size)) == 0, "truncate");
    index = reopen(std::move(index), config, model, adopted);
    CHECK(adopted == 0 && index->damaged().size() == 1, "cut to %lu", size);
  }
  restore();
  ::unlink(segment.c_str());
  index = reopen(std::move(index), config, model, adopted);
  CHECK(adopted == 0 && index->damaged().size() == 1, "missing file");
  index = reopen(std::move(index), config, model, adopted);
  CHECK(index->damaged().empty(), "damage is reported once");

  // A damaged manifest: the segments speak for themselves. Leftovers go.
  restore();
  flip(dir + "/manifest", 25);
  std::ofstream(dir + "/00000000000000ff.segment.tmp") << "left over";
  index = reopen(std::move(index), config, model, adopted);
  CHECK(adopted == 250 && index->damaged().size() == 1, "damaged manifest: %zu adopted", adopted);
  CHECK(files_of(dir).size() == 2, "leftovers stay");
  // A manifest that is gone: each row says which vector it holds, so the segments speak for themselves here too.
  restore();
  ::unlink((dir + "/manifest").c_str());
  index = reopen(std::move(index), config, model, adopted);
  CHECK(adopted == 250, "missing manifest: %zu adopted", adopted);
  index.reset();

  // Another shape than the file's.
  restore();
  VectorIndexConfig shape = config;
  shape.dim = 41;
  CHECK(VectorIndex::open(shape)->damaged().size() == 1, "another dimension");
  remove_dir(dir);
  remove_dir(saved);
}

void check_edges(Random& random) {
  const std::string dir = make_dir();
  for (const Distance distance : kDistances) {
    for (const uint32_t dim : {1u, 3u, 64u, 65u}) {
      VectorIndexConfig config = config_for(distance, dim, dir);
      Model model{distance, dim, {}, 0};
      auto index = VectorIndex::open(config);
      // Zeros, equals, very large and very small values, overflow to infinity: no crash, and every slot is found.
      for (uint32_t slot = 0; slot < 300; ++slot) {
        const float values[] = {0, 1, -1, 1e-38f, 3e38f, -3e38f};
        model.upsert(*index, slot * 3, std::vector<float>(dim, values[slot % 6]));
      }
      for (int built = 0; built < 2; ++built) {
        const std::vector<float> query(dim, 3e38f);
        std::vector<VectorHit> hits;
        VectorSearch request;
        request.query = query.data();
        request.k = 1000;
        for (const bool exact : {true, false}) {
          request.exact = exact;
          index->search(request, hits);
          CHECK(hits.size() == 300, "distance %d dim %u: %zu hits", static_cast<int>(distance), dim, hits.size());
        }
        request.k = 0;
        index->search(request, hits);
        CHECK(hits.empty(), "k 0");
        if (built == 0) run_build(*index);
      }
      index.reset();
      for (const auto& name : files_of(dir)) ::unlink((dir + "/" + name).c_str());
    }
  }
  // Tails reuse dead rows: writing and removing for ever does not grow.
  VectorIndexConfig config = config_for(Distance::kDot, 8, dir);
  config.m = 0;
  auto index = VectorIndex::open(config);
  const std::vector<float> one(8, 1.0f);
  for (uint32_t i = 0; i < 20000; ++i) {
    index->upsert(i % 1000, i + 1, one.data());
    if (random() % 2) index->remove(i % 1000);
  }
  CHECK(index->stats().anonymous < 200000, "%lu bytes for 1000 rows", index->stats().anonymous);
  CHECK(!index->wants_build(), "a small tail stays one");
  index.reset();
  // Many segments merge in the end.
  config.m = 8;
  index = VectorIndex::open(config);
  uint64_t version = 0;
  size_t most = 0;
  for (uint32_t slot = 0; slot < 30000; ++slot) {
    const std::vector<float> vector{static_cast<float>(slot % 97), 1, 2, 3, 4, 5, 6, static_cast<float>(slot % 89)};
    index->upsert(slot, ++version, vector.data());
    if (slot % 2000 == 1999) run_build(*index);
    most = std::max<size_t>(most, index->stats().segments);
  }
  CHECK(most >= 2 && most <= 9 && index->stats().live == 30000, "%zu segments", most);
  index.reset();
  remove_dir(dir);
}

void check_threads(Random& random) {
  const std::string dir = make_dir();
  const uint32_t dim = 32;
  const Distance distance = Distance::kCosine;
  const VectorIndexConfig config = config_for(distance, dim, dir);
  Source source(dim, distance, random);
  Model model{distance, dim, {}, 0};
  auto index = VectorIndex::open(config);
  // Glibc's lock prefers readers, which would starve the writer here.
  std::shared_mutex lock;
  std::mutex gate;
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> searches{0};
  std::vector<std::vector<float>> queries;
  for (int i = 0; i < 50; ++i) queries.push_back(source.next());
  auto read = [&](unsigned seed) {
    Random own(seed);
    std::vector<VectorHit> hits;
    std::vector<float> row(dim);
    Bitset mask(3000);
    for (uint32_t slot = 0; slot < 3000; slot += 2) mask.set(slot);
    while (!stop.load()) {
      VectorSearch request;
      request.query = queries[own() % queries.size()].data();
      request.exact = own() % 8 == 0;
      request.ef = 16 + own() % 64;
      if (own() % 2) {
        request.allowed = &mask;
        request.allowed_count = 1500;
      }
      {
        std::lock_guard turn(gate);
      }
      std::shared_lock shared(lock);
      index->search(request, hits);
      for (const auto& hit : hits) {
        CHECK(index->get(hit.slot, row.data()), "slot %u is dead", hit.slot);
        CHECK(exact_score(distance, request.query, row.data(), dim) == hit.score, "slot %u is scored by another vector", hit.slot);
        CHECK(request.allowed == nullptr || hit.slot % 2 == 0, "slot %u is not allowed", hit.slot);
      }
      (void)index->stats();
      (void)index->wants_build();
      searches.fetch_add(1);
    }
  };
  std::atomic<int> builds{0};
  auto build_all = [&] {
    std::atomic<bool> cancel{false};
    while (!stop.load()) {
      std::unique_ptr<VectorIndex::Build> build;
      {
        std::lock_guard turn(gate);
        std::unique_lock exclusive(lock);
        if (index->wants_build()) build = index->begin_build();
      }
      if (!build) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        continue;
      }
      const bool built = build->run(cancel, 2);
      std::lock_guard turn(gate);
      std::unique_lock exclusive(lock);
      index->finish_build(*build, built);
      ++builds;
    }
  };
  std::thread readers[] = {std::thread(read, 1), std::thread(read, 2)};
  std::thread builder(build_all);
  for (int i = 0; i < 9000 || (builds.load() < 6 && i < 300000); ++i) {
    const uint32_t slot = i < 3000 ? static_cast<uint32_t>(i) : random() % 3000;
    std::vector<float> vector = source.next();
    std::lock_guard turn(gate);
    std::unique_lock exclusive(lock);
    if (random() % 5 == 0) {
      model.remove(*index, slot);
    } else {
      model.upsert(*index, slot, std::move(vector));
    }
  }
  stop.store(true);
  for (auto& reader : readers) reader.join();
  builder.join();
  std::printf("  %lu searches, %d builds\n", searches.load(), builds.load());
  CHECK(builds.load() > 2 && searches.load() > 100, "nothing happened at once");
  check_all(*index, model, source, random, "after threads");
  index.reset();
  remove_dir(dir);
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned seed = checks::take_seed(argc, argv);
  Random random(seed);
  std::printf("kernels\n");
  check_kernels(random);
  for (const char* name : {"baseline", "avx2", "avx512vnni"}) {
    const Kernels* kernels = find_kernels(name);
    if (kernels == nullptr) continue;
    force_kernels_for_test(kernels);
    for (const Distance distance : kDistances) {
      std::printf("flow %s %d\n", name, static_cast<int>(distance));
      // Long codes are kept otherwise than short ones.
      check_flow(distance, 17 + random() % 120, random);
      check_flow(distance, 250 + random() % 150, random);
    }
  }
  std::printf("edges\n");
  check_edges(random);
  std::printf("damage\n");
  check_damage(random);
  std::printf("threads\n");
  check_threads(random);
  std::printf("all right\n");
  return 0;
}
