// Checks the vector index where it is hard to serve: files that vanish, filters of every kind, and constant overwriting. Build and run as vector_check.
#include <functional>

#include "vector_model.h"

using namespace check;

namespace {

// A file that is cut short while it is in use: an error and never a dead process, and the store can repair it.
void check_truncation(Random& random) {
  const std::string dir = make_dir();
  const uint32_t dim = 70;
  for (const Placement placement : {Placement{}, Placement{true, true, false}, Placement{false, true, true}}) {
    VectorIndexConfig config = config_for(Distance::kCosine, dim, dir);
    config.placement = placement;
    Source source(dim, Distance::kCosine, random);
    Model model{Distance::kCosine, dim, {}, 0};
    auto index = VectorIndex::open(config);
    for (uint32_t slot = 0; slot < 2000; ++slot) model.upsert(*index, slot, source.next());
    run_build(*index);
    check_all(*index, model, source, random, placement.graph_on_disk ? "on disk" : "in memory");
    CHECK(!index->damaged_rows(), "nothing is damaged yet");
    CHECK(::truncate(segment_of(dir).c_str(), kPage) == 0, "truncate");
    size_t lost = 0, served = 0;
    std::vector<VectorHit> hits;
    std::vector<float> row(dim);
    for (int i = 0; i < 40; ++i) {
      const std::vector<float> query = source.next();
      VectorSearch request;
      request.query = query.data();
      request.exact = i % 4 == 0;
      try {
        if (i % 2 == 0) index->search(request, hits);
        else index->get(random() % 2000, row.data());
        ++served;
      } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::kDataLoss, "%s", error.what());
        ++lost;
      }
    }
    CHECK(lost == 40 && served == 0, "%zu of 40 searches saw that the file is gone", lost);
    CHECK(index->damaged_rows(), "the damage is not remembered");
    std::string why;
    CHECK(!index->verify_rows(why), "verified what is gone");
    const auto bad = index->damaged_slots();
    CHECK(bad.size() == 2000, "%zu damaged slots", bad.size());
    for (const uint32_t slot : bad) model.upsert(*index, slot, model.vectors[slot].values);
    CHECK(!index->damaged_rows(), "repaired");
    check_all(*index, model, source, random, "repaired after truncation");
    run_build(*index);
    check_all(*index, model, source, random, "built after truncation");
    index.reset();
    for (const auto& name : files_of(dir)) ::unlink((dir + "/" + name).c_str());
  }
  remove_dir(dir);
}

// Filters of every selectivity: random ones, whole clusters, and clusters far from the query. The walk, the scan and the change
// from one to the other in the middle must all find what is there.
void check_filters(uint32_t dim, uint32_t rows, Random& random) {
  const std::string dir = make_dir();
  const Distance distance = Distance::kCosine;
  VectorIndexConfig config = config_for(distance, dim, dir);
  config.m = 16;
  config.ef_construct = 128;
  // Of few dimensions in truth, as embeddings are.
  const uint32_t latent = 24;
  Source inner(latent, distance, random);
  std::normal_distribution<float> normal;
  std::vector<float> spread(size_t{latent} * dim);
  for (float& value : spread) value = normal(random);
  struct {
    std::function<std::vector<float>()> next;
  } source{[&] {
    const std::vector<float> from = inner.next();
    std::vector<float> out(dim);
    for (uint32_t i = 0; i < latent; ++i) {
      for (uint32_t j = 0; j < dim; ++j) out[j] += from[i] * spread[i * dim + j];
    }
    normalize(out.data(), dim);
    return out;
  }};
  auto index = VectorIndex::open(config);
  std::vector<std::vector<float>> vectors;
  for (uint32_t slot = 0; slot < rows; ++slot) {
    vectors.push_back(source.next());
    index->upsert(slot, slot + 1, vectors.back().data());
  }
  std::vector<uint32_t> tenants(rows);
  for (auto& tenant : tenants) tenant = random() % 7;
  const VectorIndex::GroupOf group_of = [&](uint32_t slot) { return tenants[slot]; };
  auto build = index->begin_build(VectorIndex::BuildKind::kFull, &group_of);
  std::atomic<bool> cancel{false};
  CHECK(build->run(cancel, 2), "cancelled");
  index->finish_build(*build, true);
  std::vector<VectorHit> hits, wanted;
  double plain = 0;
  for (int round = 0; round < 30; ++round) {
    const std::vector<float> query = source.next();
    VectorSearch request;
    request.query = query.data();
    request.ef = 128;
    index->search(request, hits);
    request.exact = true;
    index->search(request, wanted);
    for (const auto& hit : hits) {
      plain += std::any_of(wanted.begin(), wanted.end(), [&](const VectorHit& other) { return other.slot == hit.slot; });
    }
  }
  std::printf("  no filter: recall %.4f\n", plain / 300);
  std::vector<std::pair<float, uint32_t>> near(rows);
  for (const char* kind : {"random", "clustered", "far"}) {
    double sum = 0;
    for (const double part : {0.0005, 0.01, 0.05, 0.1, 0.2, 0.3, 0.47, 0.7, 0.95}) {
      size_t found = 0, all = 0;
      for (int round = 0; round < 25; ++round) {
        const std::vector<float> query = source.next();
        Bitset mask(rows);
        if (kind[0] == 'r') {
          for (uint32_t slot = 0; slot < rows; ++slot) {
            if (random() % 10000 < part * 10000) mask.set(slot);
          }
        } else {
          // The rows nearest to some row, or to the one farthest from the query.
          uint32_t centre = random() % rows;
          if (kind[0] == 'f') {
            for (uint32_t slot = 0; slot < rows; ++slot) {
              const auto score = [&](uint32_t at) { return exact_score(distance, query.data(), vectors[at].data(), dim); };
              if (score(slot) < score(centre)) centre = slot;
            }
          }
          for (uint32_t slot = 0; slot < rows; ++slot) {
            near[slot] = {-exact_score(distance, vectors[centre].data(), vectors[slot].data(), dim), slot};
          }
          std::sort(near.begin(), near.end());
          for (size_t i = 0; i < static_cast<size_t>(part * rows); ++i) mask.set(near[i].second);
        }
        VectorSearch request;
        request.query = query.data();
        request.allowed = &mask;
        request.allowed_count = mask.count();
        request.exact = true;
        index->search(request, wanted);
        request.exact = false;
        request.ef = 128;
        index->search(request, hits);
        CHECK(hits.size() == wanted.size(), "%s %.4f: %zu hits instead of %zu", kind, part, hits.size(), wanted.size());
        std::set<uint32_t> slots;
        for (const auto& hit : wanted) slots.insert(hit.slot);
        for (const auto& hit : hits) found += slots.count(hit.slot);
        all += slots.size();
      }
      const double recall = all == 0 ? 1 : static_cast<double>(found) / static_cast<double>(all);
      std::printf("  %s, %.2f %%: recall %.4f\n", kind, part * 100, recall);
      CHECK(recall >= 0.99, "%s filter of %.2f %%: recall %.4f", kind, part * 100, recall);
      sum += recall / 9;
    }
    CHECK(sum >= 0.99, "%s filters: recall %.4f", kind, sum);
  }
  index.reset();
  remove_dir(dir);
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned seed = checks::take_seed(argc, argv);
  Random random(seed);
  std::printf("truncation\n");
  check_truncation(random);
  std::printf("filters\n");
  check_filters(64, 12000, random);
  check_filters(320, 12000, random);
  std::printf("all right\n");
  return 0;
}
