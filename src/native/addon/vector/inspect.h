// A look at an index's files that changes nothing, for `sealpoint verify`: which are damaged, and whether their rows are the store's vectors.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "segment_file.h"

namespace sealpoint {

class SegmentInspection {
 public:
  // Reads every file of the folder against its checksums. A folder that is missing holds nothing, which is damage where a manifest is `expected`.
  SegmentInspection(const std::string& dir, uint32_t dim, Distance distance, Datatype datatype, bool expected);

  struct Damage {
    std::string file;
    std::string why;
  };
  const std::vector<Damage>& damage() const { return damage_; }
  size_t segments() const { return files_.size(); }
  uint64_t rows() const;

  // A sound row of that vector as it is stored, or nullptr.
  const uint8_t* find(uint32_t slot, uint64_t version);
  // Notes that the row of `slot` in that version is not what the store holds.
  void blame(uint32_t slot, uint64_t version);
  // Repair: lists only what is sound and removes the rest. Throws Error.
  void drop_damaged();

 private:
  struct File {
    std::unique_ptr<SegmentFile> file;
    std::vector<bool> bad;  // by block
    uint32_t hint = 0;
    bool blamed = false;
  };
  const std::string dir_;
  std::vector<File> files_;
  std::vector<Damage> damage_;
};

}  // namespace sealpoint
