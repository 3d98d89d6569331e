// What each operation did to which point, in the store beside it (key "j"): with a state file it says what a collection's points are now.
// A disk format. An entry: id (tag and number or UUID), u32 slot, u8 (1: removed, 2: sealed, else 0), and unless removed u8 n, each vector: u16
// number, with the highest bit when this operation wrote it, else followed by u64 the operation that did.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/bytes.h"
#include "records.h"

namespace sealpoint {

struct PointChange {
  PointId id;
  bool removed = false;
  PointRecord point;  // of one that is removed only the slot
};

class ChangeLog {
 public:
  // One operation's entries.
  explicit ChangeLog(uint64_t operation) : operation_(operation) {}

  void removed(const PointId& id, uint32_t slot) {
    out_.id(id);
    out_.u32(slot);
    out_.u8(kRemoved);
  }
  void written(const PointId& id, const PointRecord& point) {
    out_.id(id);
    out_.u32(point.slot);
    out_.u8(point.sealed ? kSealed : 0);
    out_.u8(static_cast<uint8_t>(point.vectors.size()));
    for (const auto& [number, version] : point.vectors) {
      const bool fresh = version == operation_;
      out_.put<uint16_t>(static_cast<uint16_t>(number | (fresh ? kFresh : 0)));
      if (!fresh) out_.u64(version);
    }
  }
  std::string& bytes() { return out_.bytes(); }

  // Calls apply(const PointChange&) for each entry. Throws when the bytes are none.
  template <typename Apply>
  static void read(uint64_t operation, std::string_view bytes, Apply apply) {
    ByteReader in(bytes);
    PointChange change;
    while (!in.done()) {
      change.id = in.id();
      change.point.slot = in.u32();
      const uint8_t kind = in.u8();
      change.removed = (kind & kRemoved) != 0;
      change.point.sealed = (kind & kSealed) != 0;
      change.point.version = operation;
      change.point.vectors.clear();
      if (!change.removed) {
        for (uint8_t n = in.u8(); n > 0; --n) {
          const uint16_t number = in.u16();
          const uint64_t version = (number & kFresh) != 0 ? operation : in.u64();
          change.point.vectors.emplace_back(static_cast<uint16_t>(number & ~kFresh), version);
        }
      }
      apply(change);
    }
  }

 private:
  static constexpr uint8_t kRemoved = 1, kSealed = 2;
  static constexpr uint16_t kFresh = 0x8000;

  uint64_t operation_;
  ByteWriter out_;
};

}  // namespace sealpoint
