#include "hot_memory.h"

#include <sys/mman.h>

#include "../core/status.h"

namespace sealpoint {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kSmallPage = 4096;

}  // namespace

HotMemory::HotMemory(size_t bytes) {
  if (bytes == 0) return;
  const size_t wanted = (bytes + kSmallPage - 1) / kSmallPage * kSmallPage;
  const bool huge = wanted >= kHugePage;
  const size_t mapped = huge ? wanted + kHugePage : wanted;
  void* const at = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) throw Error(ErrorKind::kExhausted, "no memory for a segment");
  auto* base = static_cast<uint8_t*>(at);
  if (huge) {
    const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(base) % kHugePage) % kHugePage;
    if (before > 0) ::munmap(base, before);
    base += before;
    if (const size_t after = mapped - before - wanted; after > 0) ::munmap(base + wanted, after);
    ::madvise(base, wanted, MADV_HUGEPAGE);
  }
  data_ = base;
  bytes_ = wanted;
}

void HotMemory::release() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
  data_ = nullptr;
  bytes_ = 0;
}

}  // namespace sealpoint
