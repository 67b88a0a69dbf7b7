#pragma once

#include <linux/filter.h>

#include "result.h"

namespace kernel {

// Adds a classic BPF filter. Irreversible; filters stack and the strictest answer
// wins. Needs no_new_privs. Scope: the calling thread and what it starts.
// seccomp(2), SECCOMP_SET_MODE_FILTER; prctl(2) where that call is missing.
Status InstallFilterOnCurrentThread(const sock_fprog& filter) noexcept;

// Whether the kernel takes filters at all; asks without installing one.
bool SeccompAvailable() noexcept;

}  // namespace kernel
