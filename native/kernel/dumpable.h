#pragma once

#include "result.h"

namespace kernel {

// Clears the dumpable flag: no core dump, and /proc/<pid> becomes root-owned, so
// that a process of our uid can neither ptrace(2) us nor read our memory.
// It does not revoke what was opened before. Scope: process. Reset by execve(2),
// so a launched task starts dumpable again. PR_SET_DUMPABLE in prctl(2).
Status DisableDumpable() noexcept;

// The flag as the kernel has it now: 0, 1 or 2.
Result<int> GetDumpable() noexcept;

}  // namespace kernel
