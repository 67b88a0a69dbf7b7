#pragma once

#include <cstddef>

#include "result.h"
#include "secret_memory.h"

namespace kernel {

struct Wiped {
  size_t bytes = 0;
  // Read back through procfs too, as another process would; false where the kernel
  // no longer lets us (dumpable is cleared) and our own memory alone was looked at.
  bool seen_in_proc = false;
};

// Overwrites the area that /proc/<pid>/environ shows. The variables go on working: they
// move to a private mapping first, which core dumps leave out. unsetenv(3) and
// setenv(3) never touch that area, so nothing but overwriting it helps.
// Idempotent. Scope: process. Call it before other threads use the environment.
Result<Wiped> WipeEnvironment() noexcept;

// Overwrites what /proc/<pid>/cmdline shows, up to the program's name, which ps(1) needs.
// Node has copied its arguments by then; process.argv stays. Idempotent. Scope: process.
Result<Wiped> WipeArguments() noexcept;

// Moves a variable's value into secret memory and out of the environment: the value is
// overwritten wherever the variable occurs, duplicates and copies included, and unset.
// ENOENT when it is not set, ENODATA when empty, EFBIG when longer than `most`; an
// empty one is unset, otherwise a failure leaves everything as it was.
Result<SecretMemory> TakeEnvironment(const char* name, size_t most) noexcept;

}  // namespace kernel
