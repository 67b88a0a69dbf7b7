#pragma once

#include <sys/types.h>

#include "result.h"

namespace kernel {

// Clears the dumpable flag: no core dump, and /proc/<pid> becomes root-owned, so
// that a process of our uid can neither ptrace(2) us nor read our memory.
// It does not revoke what was opened before. Scope: process. Reset by execve(2),
// so a launched task starts dumpable again. PR_SET_DUMPABLE in prctl(2).
Status DisableDumpable() noexcept;

// The flag as the kernel has it now: 0, 1 or 2.
Result<int> GetDumpable() noexcept;

// Whether a process of our user could open our memory since execve(2). False only where the flag
// is not 1 (2, which fs.suid_dumpable gives, keeps all but root out as well) and for a reason
// that was there from the first instruction: AT_SECURE, for ids that differed, or a program that we
// may execute but not read. Anything else, and somebody cleared it on the way. Ask before we do.
bool WasBornDumpable() noexcept;

// Whether a file of /proc/<pid> that `holder` has open as `fd` tells nothing any more: the memory
// that it showed is gone, so it was never ours. False also where we may not look. proc(5).
bool ShowsNothing(pid_t holder, int fd) noexcept;

}  // namespace kernel
