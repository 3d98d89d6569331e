// Checks the vector index where it is hard to serve: files that vanish, filters of every kind, and constant overwriting. Build and run as vector_check.
#include "vector_model.h"

using namespace check;

namespace {

// A file that is cut short while it is in use: an error and never a dead process, and the store can repair it.
void check_truncation(Random& random) {
  const std::string dir = make_dir();
  const uint32_t dim = 70;
  for (const Placement placement : {Placement::kMemory, Placement::kOnDisk}) {
    VectorIndexConfig config = config_for(Distance::kCosine, dim, dir);
    config.placement = placement;
    Source source(dim, Distance::kCosine, random);
    Model model{Distance::kCosine, dim, {}, 0};
    auto index = VectorIndex::open(config);
    for (uint32_t slot = 0; slot < 2000; ++slot) model.upsert(*index, slot, source.next());
    run_build(*index);
    check_all(*index, model, source, random, placement == Placement::kMemory ? "in memory" : "on disk");
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

}  // namespace

int main(int argc, char** argv) {
  const auto seed = argc > 1 ? static_cast<unsigned>(std::strtoul(argv[1], nullptr, 10)) : std::random_device()();
  std::printf("seed %u\n", seed);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  Random random(seed);
  std::printf("truncation\n");
  check_truncation(random);
  std::printf("all right\n");
  return 0;
}
