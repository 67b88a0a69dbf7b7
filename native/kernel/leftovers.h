#pragma once

#include <cstdint>

namespace kernel {

// Each task, and all that it ever starts, carries a number in a hard resource limit that
// it can neither raise (no CAP_SYS_RESOURCE) nor lower (the seccomp filter refuses): the
// limit is inherited by fork and execve and survives setsid, double forks and a dead
// parent. RLIMIT_RTTIME binds real-time threads alone, which a task cannot have.
constexpr int kTagResource = 15;  // RLIMIT_RTTIME

// A new tag. Unlikely to be guessed or to meet another; below RLIM_INFINITY.
uint64_t NewTag() noexcept;

// Ends every process that carries `tag`, and waits until none is left or the time is up.
// Finds them through /proc, whoever their parent is. Returns how many still live.
int EndTagged(uint64_t tag, int timeout_ms) noexcept;

}  // namespace kernel
