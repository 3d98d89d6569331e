// Several searches in one call.
#include "engine.h"

namespace sealpoint {

// The parts of a batch are shared out among the readers that are free.
Collection::Spread Engine::spread() {
  return [this](size_t count, const std::function<void(size_t)>& work) {
    if (count == 1) return work(0);
    CancelFlag* const flag = cancellation::current;
    readers_->spread(count, [&](size_t i) {
      const cancellation::Scope scope(flag);
      cancellation::check();
      work(i);
    });
  };
}

// u32 count, u32 0, then each table: u32 size, u32 0, the bytes, padded to 8.
std::string Engine::write_batch(std::vector<std::string> tables) {
  ByteWriter out;
  size_t size = 8;
  for (const auto& table : tables) size += 16 + table.size();
  out.bytes().reserve(size);
  out.u32(static_cast<uint32_t>(tables.size()));
  out.u32(0);
  for (auto& table : tables) {
    out.u32(static_cast<uint32_t>(table.size()));
    out.u32(0);
    out.raw(table.data(), table.size());
    while (out.bytes().size() % 8 != 0) out.u8(0);
    // An answer of many points is not held twice for longer than it must be.
    std::string().swap(table);
  }
  return std::move(out.bytes());
}

}  // namespace sealpoint
