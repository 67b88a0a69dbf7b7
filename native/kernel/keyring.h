#pragma once

#include "result.h"

namespace kernel {

// Leaves the inherited session keyring for a new, empty, anonymous one. The
// inherited one outlives fork and execve, so a task would share its user's keys.
// Scope: the calling thread and what it starts. keyctl(2), session-keyring(7).
Status JoinAnonymousSessionKeyringOnCurrentThread() noexcept;

}  // namespace kernel
