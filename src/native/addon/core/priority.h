#pragma once

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace sealpoint {

// This thread gives way to the process's others from now on. Nice values are a thread's own on Linux; a fixed one would put it before the others in a process
// that was started with a higher one.
inline void give_way() {
  const auto thread = static_cast<id_t>(syscall(SYS_gettid));
  setpriority(PRIO_PROCESS, thread, std::min(19, getpriority(PRIO_PROCESS, thread) + 5));
}

}  // namespace sealpoint
