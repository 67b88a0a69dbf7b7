#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "result.h"
#include "unique_fd.h"

namespace kernel {

struct Child {
  pid_t pid = 0;
  UniqueFd pidfd;
};

// Where and as what a child starts, beside the flags that all have.
struct CloneOptions {
  uint64_t namespaces = 0;  // CLONE_NEW...
  int cgroup_fd = -1;       // of a cgroup v2's folder; -1: the parent's
};

// Starts a child that shares our memory, on a stack of its own, and waits until it has
// exec'ed or ended: the calling thread alone stands still. Nothing is copied, so the cost
// does not grow with our memory; the descriptor names the child before its pid could be
// reused. `main` must not return, allocate or take a lock. Falls back to clone where
// clone3 is hidden, as by Docker's default seccomp profile. clone(2).
Result<Child> CloneChild(void (*main)(void*) noexcept, void* argument, char* stack, size_t stack_bytes, const CloneOptions& options = {}) noexcept;

// The same on a stack of its own, with every signal blocked meanwhile: for a thread that is not
// the launcher's, whose handlers must not run in a child that shares its memory.
Result<Child> CloneChildOnce(void (*main)(void*) noexcept, void* argument, const CloneOptions& options) noexcept;

}  // namespace kernel
