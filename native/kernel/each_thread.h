#pragma once

#include <sys/types.h>

#include "result.h"

namespace kernel {

// Runs inside a signal handler on every thread but the caller's: async-signal-safe
// system calls alone, no allocation, no locks.
using ThreadCall = Status (*)(const void* argument);

struct [[nodiscard]] EachThreadResult {
  Status status;
  pid_t tid = 0;    // the thread that failed, or did not answer
  int threads = 0;  // how many made the call
};

// Makes `call` on every thread of this process, as libpsx(3) does: capset(2) and
// its like bind the calling thread alone, and V8, libuv and the inspector have
// started theirs long before our code runs. The caller's thread comes first, so that
// a call which cannot work changes nothing elsewhere. A thread born meanwhile
// inherits from one that made the call, or is found by the next look at
// /proc/self/task; it ends when two looks in a row found no new one.
// A thread that does not answer within seconds, because it blocks the signal or is
// io_uring's, makes it fail with ETIMEDOUT. Scope: process.
EachThreadResult OnEachThread(ThreadCall call, const void* argument) noexcept;

}  // namespace kernel
