// Reading mapped files: a file that is cut short or cannot be read any more answers a read with SIGBUS, which would end the process.
#pragma once
#include <csetjmp>

namespace sealpoint {

namespace mapped {
// Where the running read of this thread goes on after a SIGBUS; nullptr outside of one.
extern thread_local sigjmp_buf* escape;
void prepare();  // Sets the handler up, once.
// The handler leaves no signal blocked, except under ThreadSanitizer, whose own one blocks all while ours runs: there a jump has to restore them.
#ifdef __SANITIZE_THREAD__
constexpr int kSaveMask = 1;
#else
constexpr int kSaveMask = 0;
#endif
}  // namespace mapped

// Runs `read`; false when the memory that it read was gone. It may be left anywhere, so nothing in it may own memory or a lock,
// and what it wrote counts only when this is true. Costs some ten nanoseconds.
template <typename Read>
[[nodiscard]] bool mapped_read(Read&& read) {
  mapped::prepare();
  sigjmp_buf here;
  sigjmp_buf* const before = mapped::escape;
  if (sigsetjmp(here, mapped::kSaveMask) != 0) {
    mapped::escape = before;
    return false;
  }
  mapped::escape = &here;
  read();
  mapped::escape = before;
  return true;
}

}  // namespace sealpoint
