#pragma once

#include <sys/types.h>

#include <cstdint>

namespace kernel {

// Each task, and all that it ever starts, carries a number in a hard resource limit that
// it can neither raise (no CAP_SYS_RESOURCE) nor lower (the seccomp filter refuses): the
// limit is inherited by fork and execve and survives setsid, double forks and a dead
// parent. RLIMIT_RTTIME binds real-time threads alone, which a task cannot have.
constexpr int kTagResource = 15;  // RLIMIT_RTTIME

// A new tag. Unlikely to be guessed or to meet another; below RLIM_INFINITY.
uint64_t NewTag() noexcept;

// True when no process or thread was started in our PID namespace since `pid` was, so that
// it cannot have left anything behind. Ask before it is waited for: its number is then still
// taken and cannot have come round again. False when that cannot be told. /proc/loadavg.
bool NothingStartedSince(pid_t pid) noexcept;

// Ends every process that carries `tag`, and waits until none is left or the time is up.
// Finds them through /proc, whoever their parent is. Returns how many still live.
int EndTagged(uint64_t tag, int timeout_ms) noexcept;

}  // namespace kernel
