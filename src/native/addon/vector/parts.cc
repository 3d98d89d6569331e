#include "parts.h"

#include <unistd.h>

#include "../core/status.h"

namespace sealpoint {

Segment::~Segment() {
  if (retired.load()) ::unlink(file->path().c_str());
}

bool Segment::verify() const {
  bool sound = true;
  for (uint32_t block = 0; block < file->check_blocks(); ++block) {
    if (file->verify_block(block)) continue;
    bad_[block].store(true, std::memory_order_relaxed);
    any_bad_.store(true, std::memory_order_relaxed);
    sound = false;
  }
  return sound;
}

void Segment::throw_lost(uint32_t row) const {
  bad_[row / kRowsPerCheck].store(true, std::memory_order_relaxed);
  any_bad_.store(true, std::memory_order_relaxed);
  throw Error(ErrorKind::kDataLoss, "vector row " + std::to_string(row) + " of " + file->path() + " cannot be read");
}

void Segment::throw_bad(uint32_t row) const {
  throw Error(ErrorKind::kDataLoss,
              "vector row " + std::to_string(row) + " of " + file->path() + " fails its checksum");
}

}  // namespace sealpoint
