// `sealpoint verify` and `sealpoint repair`: a data folder that no server holds is read whole, the store's files, each point's record, payload and
// vectors, and what is derived from them. Verify changes nothing. Repair removes what is derived and damaged (the next start builds it anew),
// takes rows that belong to nothing out of the store into a file beside it, and puts a vector that the store lost back from a segment.
#pragma once
#include <string>
#include <vector>

#include "../store/store.h"

namespace sealpoint {

struct Finding {
  enum class Kind : uint8_t {
    kLoss = 1,      // data that nothing holds any more
    kDerived = 2,   // what can be made anew from the store
    kLeftover = 3,  // rows that belong to nothing
  };
  Kind kind = Kind::kLoss;
  bool repaired = false;
  std::string collection;  // name, or empty for the store as a whole
  std::string point;       // id, or empty
  std::string text;
};

struct CheckedCollection {
  std::string name;
  uint64_t points = 0, vectors = 0, segments = 0, rows = 0;
};

struct DataReport {
  static constexpr size_t kFindingsMax = 10'000;

  std::vector<CheckedCollection> collections;
  std::vector<Finding> findings;
  uint64_t more = 0;     // findings beyond kFindingsMax
  std::string moved_to;  // file that repair moved leftovers to

  void add(Finding finding) {
    if (findings.size() < kFindingsMax) {
      findings.push_back(std::move(finding));
    } else {
      ++more;
    }
  }
  // u32 n, each: text name, u64 points, vectors, segments, rows; u32 n, each: u8 kind, u8 repaired, text collection, point, text;
  // u64 more, text moved to.
  std::string encode() const;
};

// Throws kUnavailable when a server holds the folder, kNotFound when there is no store in it.
DataReport check_data(const std::string& path, bool repair, rocksdb::Env* env = nullptr);

}  // namespace sealpoint
