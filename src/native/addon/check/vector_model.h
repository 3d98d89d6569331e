// What the programs that check the vector index share: a model of what it should hold, and how the two are compared.
#pragma once
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <shared_mutex>
#include <string>
#include <thread>

#include "../core/status.h"
#include "../vector/kernels.h"
#include "../vector/segment_file.h"
#include "../vector/vector_index.h"
#include "program.h"

using namespace sealpoint;

namespace check {

using Random = std::mt19937;

constexpr Distance kDistances[] = {Distance::kCosine, Distance::kEuclid, Distance::kDot, Distance::kManhattan};

inline std::string make_dir() {
  char path[] = "/tmp/vector_check.XXXXXX";
  CHECK(::mkdtemp(path) != nullptr, "no folder");
  return path;
}

inline std::vector<std::string> files_of(const std::string& dir) {
  std::vector<std::string> names;
  DIR* folder = ::opendir(dir.c_str());
  while (const dirent* entry = ::readdir(folder)) {
    if (entry->d_name[0] != '.') names.push_back(entry->d_name);
  }
  ::closedir(folder);
  std::sort(names.begin(), names.end());
  return names;
}

inline void remove_dir(const std::string& dir) {
  for (const auto& name : files_of(dir)) ::unlink((dir + "/" + name).c_str());
  ::rmdir(dir.c_str());
}

inline std::string segment_of(const std::string& dir) {
  for (const auto& name : files_of(dir)) {
    if (name != "manifest") return dir + "/" + name;
  }
  return "";
}

inline double reference(Distance distance, const float* a, const float* b, size_t dim) {
  double sum = 0;
  for (size_t i = 0; i < dim; ++i) {
    const double x = a[i], y = b[i];
    if (distance == Distance::kEuclid) {
      sum += (x - y) * (x - y);
    } else if (distance == Distance::kManhattan) {
      sum += std::fabs(x - y);
    } else {
      sum += x * y;
    }
  }
  return distance == Distance::kEuclid ? std::sqrt(sum) : sum;
}

inline bool similarity(Distance distance) { return distance == Distance::kCosine || distance == Distance::kDot; }

// Vectors around some centres, as real ones are.
class Source {
 public:
  Source(size_t dim, Distance distance, Random& random) : dim_(dim), distance_(distance), random_(random) {
    for (int i = 0; i < 20; ++i) centres_.push_back(noise(1));
  }
  std::vector<float> next() {
    std::vector<float> out = noise(0.5f);
    const auto& centre = centres_[random_() % centres_.size()];
    for (size_t i = 0; i < dim_; ++i) out[i] += centre[i];
    if (distance_ == Distance::kCosine) normalize(out.data(), dim_);
    return out;
  }

 private:
  std::vector<float> noise(float size) {
    std::normal_distribution<float> normal(0, size);
    std::vector<float> out(dim_);
    for (float& value : out) value = normal(random_);
    return out;
  }
  size_t dim_;
  Distance distance_;
  Random& random_;
  std::vector<std::vector<float>> centres_;
};

// What the index should hold.
struct Model {
  Distance distance;
  size_t dim;
  struct Vector {
    uint64_t version;
    std::vector<float> values;
  };
  std::map<uint32_t, Vector> vectors;
  uint64_t version = 0;

  void upsert(VectorIndex& index, uint32_t slot, std::vector<float> values) {
    index.upsert(slot, ++version, values.data());
    vectors[slot] = {version, std::move(values)};
  }
  void remove(VectorIndex& index, uint32_t slot) {
    ++version;
    index.remove(slot);
    vectors.erase(slot);
  }
  std::vector<VectorHit> search(const VectorSearch& request) const {
    std::vector<VectorHit> hits;
    for (const auto& [slot, vector] : vectors) {
      if (request.allowed != nullptr && !request.allowed->test(slot)) continue;
      const float score = exact_score(distance, request.query, vector.values.data(), dim);
      if (request.has_threshold && (similarity(distance) ? score < request.threshold : score > request.threshold)) continue;
      hits.push_back({slot, score});
    }
    std::sort(hits.begin(), hits.end(), [&](const VectorHit& a, const VectorHit& b) {
      if (a.score != b.score) return similarity(distance) ? a.score > b.score : a.score < b.score;
      return a.slot < b.slot;
    });
    if (hits.size() > request.k) hits.resize(request.k);
    return hits;
  }
};

inline void check_same(const std::vector<VectorHit>& got, const std::vector<VectorHit>& wanted, const char* what) {
  CHECK(got.size() == wanted.size(), "%s: %zu hits instead of %zu", what, got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CHECK(got[i].slot == wanted[i].slot && got[i].score == wanted[i].score, "%s: hit %zu is %u %.9g, not %u %.9g", what, i,
          got[i].slot, got[i].score, wanted[i].slot, wanted[i].score);
  }
}

// Every hit must be alive, allowed, exactly scored and in order; returns the part of the true hits that was found.
inline double check_sound(const Model& model, const VectorSearch& request, const std::vector<VectorHit>& got) {
  std::set<uint32_t> seen;
  for (size_t i = 0; i < got.size(); ++i) {
    const auto at = model.vectors.find(got[i].slot);
    CHECK(at != model.vectors.end(), "slot %u is dead", got[i].slot);
    CHECK(seen.insert(got[i].slot).second, "slot %u came twice", got[i].slot);
    CHECK(request.allowed == nullptr || request.allowed->test(got[i].slot), "slot %u is not allowed", got[i].slot);
    const float score = exact_score(model.distance, request.query, at->second.values.data(), model.dim);
    CHECK(score == got[i].score, "slot %u scored %.9g, not %.9g", got[i].slot, got[i].score, score);
    if (i == 0) continue;
    const VectorHit& before = got[i - 1];
    const bool ordered = before.score == score ? before.slot < got[i].slot
                                               : (similarity(model.distance) ? before.score > score : before.score < score);
    CHECK(ordered, "hit %zu is out of order", i);
  }
  const auto wanted = model.search(request);
  size_t found = 0;
  for (const auto& hit : wanted) found += seen.count(hit.slot);
  CHECK(got.size() == wanted.size(), "%zu hits instead of %zu", got.size(), wanted.size());
  return wanted.empty() ? 1 : static_cast<double>(found) / static_cast<double>(wanted.size());
}

inline void check_all(const VectorIndex& index, const Model& model, Source& source, Random& random, const char* what) {
  uint32_t top = 0;
  for (const auto& [slot, vector] : model.vectors) top = std::max(top, slot);
  std::vector<float> row(model.dim);
  for (uint32_t slot = 0; slot <= top + 2; ++slot) {
    const auto at = model.vectors.find(slot);
    CHECK(index.contains(slot) == (at != model.vectors.end()), "%s: slot %u", what, slot);
    CHECK(index.get(slot, row.data()) == (at != model.vectors.end()), "%s: slot %u", what, slot);
    if (at != model.vectors.end()) CHECK(row == at->second.values, "%s: slot %u holds another vector", what, slot);
  }
  CHECK(index.stats().live == model.vectors.size(), "%s: %lu live, not %zu", what, index.stats().live, model.vectors.size());
  std::vector<VectorHit> hits;
  double recall = 0;
  int searches = 0;
  for (int i = 0; i < 12; ++i) {
    const std::vector<float> query = source.next();
    VectorSearch request;
    request.query = query.data();
    request.k = 1 + random() % 20;
    Bitset mask;
    if (i % 3 != 0) {
      const uint32_t share = i % 3 == 1 ? 1 + random() % 4 : 60 + random() % 40;
      for (uint32_t slot = 0; slot <= top; ++slot) {
        if (random() % 100 < share) mask.set(slot);
      }
      request.allowed = &mask;
      request.allowed_count = mask.count();
    }
    request.exact = true;
    index.search(request, hits);
    const auto wanted = model.search(request);
    check_same(hits, wanted, what);
    if (!wanted.empty()) {
      VectorSearch bounded = request;
      bounded.has_threshold = true;
      bounded.threshold = wanted[wanted.size() / 2].score;
      index.search(bounded, hits);
      check_same(hits, model.search(bounded), "with a threshold");
    }
    request.exact = false;
    for (const size_t ef : {0, 64}) {
      request.ef = ef;
      index.search(request, hits);
      recall += check_sound(model, request, hits);
      ++searches;
    }
  }
  CHECK(recall / searches > 0.93, "%s: recall %.3f", what, recall / searches);
}

inline void run_build(VectorIndex& index, unsigned threads = 2) {
  auto build = index.begin_build();
  CHECK(build != nullptr, "nothing to build");
  std::atomic<bool> cancel{false};
  CHECK(build->run(cancel, threads), "cancelled");
  index.finish_build(*build, true);
}

inline VectorIndexConfig config_for(Distance distance, uint32_t dim, const std::string& dir) {
  VectorIndexConfig config;
  config.dim = dim;
  config.distance = distance;
  config.m = 8;
  config.ef_construct = 64;
  config.full_scan_threshold_kb = 0;
  config.indexing_threshold_kb = 40;
  config.dir = dir;
  return config;
}

inline std::unique_ptr<VectorIndex> reopen(std::unique_ptr<VectorIndex> index, const VectorIndexConfig& config, const Model& model,
                                    size_t& adopted) {
  index.reset();
  index = VectorIndex::open(config);
  adopted = 0;
  for (const auto& [slot, vector] : model.vectors) {
    if (index->adopt(slot, vector.version)) {
      ++adopted;
    } else {
      index->upsert(slot, vector.version, vector.values.data());
    }
  }
  return index;
}

}  // namespace check
