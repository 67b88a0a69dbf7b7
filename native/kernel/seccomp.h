#pragma once

#include <linux/filter.h>

#include "result.h"

namespace kernel {

// An option of prctl(2) that no kernel has, for which it answers EINVAL. Each task's filter answers
// it with success, so that whoever installed one sees that it is there.
// src/policy/seccomp-arguments.ts has the same number.
constexpr int kFilterWitness = 0x53414c59;

// Adds a classic BPF filter. Irreversible; filters stack and the strictest answer
// wins. Needs no_new_privs. Scope: the calling thread and what it starts.
// seccomp(2), SECCOMP_SET_MODE_FILTER; prctl(2) where that call is missing.
Status InstallFilterOnCurrentThread(const sock_fprog& filter) noexcept;

// The same, and returns the descriptor by which the calls are answered that the filter
// leaves to a supervisor. EBUSY: this thread is under another such filter already, as a
// container runtime's may be; there is one at most, for a task no less than for us.
// seccomp_unotify(2).
Result<int> InstallFilterWithListenerOnCurrentThread(const sock_fprog& filter) noexcept;

// Whether the kernel takes filters at all; asks without installing one.
bool SeccompAvailable() noexcept;

}  // namespace kernel
