#include "mapped_read.h"

#include <signal.h>

namespace sealpoint::mapped {

thread_local sigjmp_buf* escape = nullptr;

namespace {

struct sigaction previous;

void handle(int number, siginfo_t* info, void* context) {
  if (escape != nullptr) siglongjmp(*escape, 1);
  // Not ours: as it was before us, or the default, which the faulting instruction meets when it runs again.
  if ((previous.sa_flags & SA_SIGINFO) != 0 && previous.sa_sigaction != nullptr) {
    previous.sa_sigaction(number, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(number);
  } else {
    ::signal(SIGBUS, SIG_DFL);
  }
}

bool install() {
  struct sigaction action {};
  action.sa_sigaction = handle;
  // The handler is left by a jump, so the signal must not stay blocked.
  action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, &previous);
  return true;
}

}  // namespace

void prepare() {
  static const bool installed = install();
  (void)installed;
}

}  // namespace sealpoint::mapped
