#pragma once

#include <sys/types.h>

#include "result.h"

namespace kernel {

enum class Disposition { kDefault, kIgnore, kHandler };

// Discards `signal` from now on, and what is pending of it. Unlike a JavaScript
// listener it leaves no moment without protection. Inherited by execve(2).
// Scope: process. sigaction(2).
Status IgnoreSignal(int signal) noexcept;

// What the kernel would do with `signal` now.
Result<Disposition> GetDisposition(int signal) noexcept;

// SIGKILL for this process when the thread that started it ends, a stopped or busy
// process included. ESRCH: `parent` has ended already. Lost at execve(2) of a
// set-uid program. Scope: process. PR_SET_PDEATHSIG in prctl(2).
Status DieWithParent(pid_t parent) noexcept;

}  // namespace kernel
