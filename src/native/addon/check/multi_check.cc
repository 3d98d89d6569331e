// Checks of MaxSim and of multivectors in memory against plain models, at every SIMD level that the CPU has. Arguments: a seed; and "time" to
// print what a comparison costs instead.
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <string>

#include "../vector/kernels.h"
#include "../vector/max_sim.h"
#include "../vector/multi_index.h"
#include "payload_random.h"

namespace {

using namespace sealpoint;
using namespace sealpoint::check;
using Rows = std::vector<float>;

constexpr Distance kDistances[] = {Distance::kCosine, Distance::kEuclid, Distance::kDot, Distance::kManhattan};
constexpr const char* kLevels[] = {"baseline", "avx2", "avx512vnni"};

Rows random_rows(std::mt19937_64& random, size_t count, size_t dim) {
  std::uniform_real_distribution<float> any(-2, 2);
  Rows rows(count * dim);
  for (float& value : rows) value = any(random);
  return rows;
}

double plain_max_sim(Distance distance, bool divides, size_t dim, const Rows& query, const Rows& stored) {
  double sum = 0;
  for (size_t q = 0; q < query.size(); q += dim) {
    double best = -std::numeric_limits<double>::infinity();
    for (size_t r = 0; r < stored.size(); r += dim) {
      double dot = 0, squares = 0, sums = 0, a2 = 0, b2 = 0;
      for (size_t d = 0; d < dim; ++d) {
        const double a = query[q + d], b = stored[r + d];
        dot += a * b, squares += (a - b) * (a - b), sums += std::fabs(a - b), a2 += a * a, b2 += b * b;
      }
      if (divides) dot = a2 * b2 > 0 ? dot / std::sqrt(a2 * b2) : 0;
      best = std::max(best, distance == Distance::kEuclid ? -squares : distance == Distance::kManhattan ? -sums : dot);
    }
    sum += best;
  }
  return sum;
}

bool near(double a, double b, double scale) { return std::fabs(a - b) <= 1e-5 * std::max(1.0, scale); }

void test_max_sim(std::mt19937_64& random) {
  for (int round = 0; round < 400; ++round) {
    const size_t dim = 1 + random() % 70, asked = 1 + random() % 50, count = 1 + random() % 30;
    const Distance distance = kDistances[random() % 4];
    const Rows query = random_rows(random, asked, dim), stored = random_rows(random, count, dim);
    MaxSimQuery max_sim(distance, Datatype::kFloat32, dim, query.data(), asked);
    const double wanted = plain_max_sim(distance, false, dim, query, stored);
    CHECK(near(max_sim.similarity(stored.data(), count), wanted, static_cast<double>(asked * dim)));
    // Rows of the store stand anywhere.
    std::vector<char> shifted(stored.size() * 4 + 1);
    std::memcpy(shifted.data() + 1, stored.data(), stored.size() * 4);
    Rows loaded(stored.size());
    load_max_sim_rows(distance, Datatype::kFloat32, dim, shifted.data() + 1, count, loaded.data());
    CHECK(loaded == stored);
    // The order of the point's rows changes nothing, to the last bit.
    const float whole = max_sim.similarity(stored.data(), count);
    Rows turned;
    for (size_t r = count; r-- > 0;) turned.insert(turned.end(), stored.begin() + static_cast<long>(r * dim), stored.begin() + static_cast<long>((r + 1) * dim));
    CHECK(max_sim.similarity(turned.data(), count) == whole);
  }
}

void test_types(std::mt19937_64& random) {
  for (int round = 0; round < 100; ++round) {
    const size_t dim = 1 + random() % 40, asked = 1 + random() % 20, count = 1 + random() % 9;
    const Distance distance = kDistances[random() % 4];
    for (const Datatype datatype : {Datatype::kFloat16, Datatype::kUint8}) {
      Rows query = random_rows(random, asked, dim), stored = random_rows(random, count, dim);
      if (datatype == Datatype::kUint8) {
        for (Rows* rows : {&query, &stored}) {
          for (float& value : *rows) value *= 100;
        }
      }
      round_values(datatype, query.data(), query.size());
      round_values(datatype, stored.data(), stored.size());
      std::vector<char> bytes(stored.size() * value_bytes(datatype));
      store_values(datatype, stored.data(), stored.size(), bytes.data());
      Rows loaded(stored.size());
      load_max_sim_rows(distance, datatype, dim, bytes.data(), count, loaded.data());
      MaxSimQuery max_sim(distance, datatype, dim, query.data(), asked);
      const bool divides = distance == Distance::kCosine && datatype == Datatype::kUint8;
      const double scale = static_cast<double>(asked * dim) * (datatype == Datatype::kUint8 && !divides ? 40'000 : 4);
      CHECK(near(max_sim.similarity(loaded.data(), count), plain_max_sim(distance, divides, dim, query, stored), scale));
    }
  }
}

void test_overflow() {
  const float huge = std::numeric_limits<float>::max();
  const Rows query(64, huge), stored(64, huge);
  for (const size_t asked : {size_t{1}, size_t{32}}) {
    MaxSimQuery max_sim(Distance::kEuclid, Datatype::kFloat32, 2, query.data(), asked);
    CHECK(!std::isnan(max_sim.similarity(stored.data(), 1)));
    Rows other(2, -huge);
    CHECK(max_sim.similarity(other.data(), 1) == -std::numeric_limits<float>::infinity());
  }
  CHECK(MaxSimQuery::score(Distance::kEuclid, -9) == 3 && MaxSimQuery::score(Distance::kManhattan, -9) == 9 && MaxSimQuery::score(Distance::kDot, -9) == -9);
}

std::string row_of(const Rows& rows, size_t dim) {
  const auto count = static_cast<uint32_t>(rows.size() / dim);
  std::string row(reinterpret_cast<const char*>(&count), 4);
  row.append(reinterpret_cast<const char*>(rows.data()), rows.size() * 4);
  return row;
}

void test_index(std::mt19937_64& random) {
  MultiIndex index;
  std::map<uint32_t, std::string> model;
  for (int step = 0; step < 3000; ++step) {
    const auto slot = static_cast<uint32_t>(random() % 200);
    if (random() % 3 == 0) {
      index.remove(slot);
      model.erase(slot);
    } else {
      model[slot] = row_of(random_rows(random, 1 + random() % 5, 4), 4);
      index.upsert(slot, model[slot]);
    }
    const auto found = model.find(slot);
    CHECK(index.row(slot) == (found == model.end() ? std::string_view() : std::string_view(found->second)));
  }
  size_t bytes = 0;
  for (const auto& [slot, row] : model) {
    CHECK(index.row(slot) == row && is_multi_row(row, 16) && multi_row_count(row) * 16 + 4 == row.size());
    bytes += row.size();
  }
  CHECK(index.memory_bytes() > bytes && index.memory_bytes() < 2 * bytes + 20'000);
  CHECK(!is_multi_row("", 16) && !is_multi_row(std::string(4, '\0'), 16) && !is_multi_row(model.begin()->second, 12));
  index.keep_in_memory(false);
  CHECK(index.memory_bytes() == 0 && index.row(model.begin()->first).empty());
  index.upsert(3, model.begin()->second);
  CHECK(index.row(3).empty());
  index.keep_in_memory(true);
  index.upsert(3, model.begin()->second);
  CHECK(index.row(3) == model.begin()->second && index.row(4).empty() && index.row(99'999).empty());
  index.remove(99'999);
}

// ColBERT: 32 tokens of 128 dimensions against 180.
void time_max_sim(std::mt19937_64& random, const char* level) {
  constexpr size_t kDim = 128, kCount = 180, kPoints = 100;
  const Rows stored = random_rows(random, kCount * kPoints, kDim);
  for (const size_t asked : {1, 32}) {
    const Rows query = random_rows(random, asked, kDim);
    MaxSimQuery max_sim(Distance::kDot, Datatype::kFloat32, kDim, query.data(), asked);
    double best_us = 1e9;
    float sink = 0;
    for (int round = 0; round < 20; ++round) {
      const auto begun = std::chrono::steady_clock::now();
      for (size_t point = 0; point < kPoints; ++point) sink += max_sim.similarity(stored.data() + point * kCount * kDim, kCount);
      best_us = std::min(best_us, std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begun).count());
    }
    std::printf("%s: %zu x %zu rows of %zu: %.2f us a point, %.1f products/ns (%g)\n", level, asked, kCount, kDim, best_us / kPoints,
                static_cast<double>(asked * kCount * kDim * kPoints) / best_us / 1000, static_cast<double>(sink));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t seed = checks::take_seed(argc, argv);
  const bool times = argc > 2 && std::strcmp(argv[2], "time") == 0;
  std::mt19937_64 random(seed);
  for (const char* level : kLevels) {
    const Kernels* kernels = find_kernels(level);
    if (kernels == nullptr) continue;
    force_kernels_for_test(kernels);
    if (times) {
      time_max_sim(random, level);
      continue;
    }
    test_max_sim(random);
    test_types(random);
    test_overflow();
  }
  test_index(random);
  std::printf("multivectors: ok\n");
  return 0;
}
