#pragma once

#include "restrict.h"

namespace kernel {

// What a child reads and where it leaves why it failed. Lives on its parent's stack: that
// thread stands still until the child has exec'ed or ended.
struct ExecWork {
  Restrictions restrictions;
  const char* path = nullptr;
  char* const* argv = nullptr;
  char* const* envp = nullptr;
  volatile int failed_step = 0;
  volatile int failed_errno = 0;  // 0: it has exec'ed
  const char* volatile failed_syscall = nullptr;

  Failure failure() const noexcept { return {static_cast<Step>(failed_step), Status::Error(failed_errno, failed_syscall)}; }
};

// For CloneChild, with an ExecWork: locks the child in and becomes the program.
void RestrictAndExec(void* work) noexcept;

}  // namespace kernel
