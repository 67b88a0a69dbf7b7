#pragma once

#include <sys/types.h>

#include <cstddef>

#include "result.h"
#include "unique_fd.h"

namespace kernel {

struct Child {
  pid_t pid = 0;
  UniqueFd pidfd;
};

// Starts a child that shares our memory, on a stack of its own, and waits until it has
// exec'ed or ended: the calling thread alone stands still. Nothing is copied, so the cost
// does not grow with our memory; the descriptor names the child before its pid could be
// reused. `main` must not return, allocate or take a lock. Falls back to clone where
// clone3 is hidden, as by Docker's default seccomp profile. clone(2).
Result<Child> CloneChild(void (*main)(void*) noexcept, void* argument, char* stack, size_t stack_bytes) noexcept;

}  // namespace kernel
