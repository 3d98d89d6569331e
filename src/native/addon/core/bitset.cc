#include "bitset.h"

namespace sealpoint {
namespace {

size_t count_portable(const uint64_t* words, size_t size) {
  size_t total = 0;
  for (size_t i = 0; i < size; ++i) total += static_cast<size_t>(__builtin_popcountll(words[i]));
  return total;
}

#if defined(__x86_64__)
// Without the instruction each word is a call into the compiler's library, ten times as slow.
__attribute__((target("popcnt"))) size_t count_popcnt(const uint64_t* words, size_t size) {
  size_t total = 0;
  for (size_t i = 0; i < size; ++i) total += static_cast<size_t>(__builtin_popcountll(words[i]));
  return total;
}
#endif

}  // namespace

size_t count_bits(const uint64_t* words, size_t size) {
#if defined(__x86_64__)
  static const bool has_popcnt = __builtin_cpu_supports("popcnt");
  if (has_popcnt) return count_popcnt(words, size);
#endif
  return count_portable(words, size);
}

}  // namespace sealpoint
