#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <vector>

namespace kernel {

// Each task, and all that it ever starts, carries a number in a hard resource limit that
// it can neither raise (no CAP_SYS_RESOURCE) nor lower (the seccomp filter refuses): the
// limit is inherited by fork and execve and survives setsid, double forks and a dead
// parent. RLIMIT_RTTIME binds real-time threads alone, which a task cannot have.
constexpr int kTagResource = 15;  // RLIMIT_RTTIME

// Tags that are alike in the bits of `mask`: one task's, or all of one supervisor's.
struct TagFamily {
  uint64_t tag;
  uint64_t mask;

  bool Holds(uint64_t other) const noexcept { return (other & mask) == (tag & mask); }
};

// All tags that this process gives out. No tag of another supervisor is among them, nor any
// time that someone would set as a limit.
TagFamily OwnTags() noexcept;

// A new one of them.
uint64_t NewTag() noexcept;

inline TagFamily OneTag(uint64_t tag) noexcept { return {tag, ~uint64_t{0}}; }

// True when no process or thread was started in our PID namespace since `pid` was, so that
// it cannot have left anything behind. Ask before it is waited for: its number is then still
// taken and cannot have come round again. False when that cannot be told. /proc/loadavg.
bool NothingStartedSince(pid_t pid) noexcept;

// Whether orphans become our children, as those of pid 1 in a container do: then their zombies
// are ours to take away, which EndTagged does.
bool AdoptsOrphans() noexcept;

// The tag that a process carries, 0 or some other limit when it has none.
uint64_t TagOf(pid_t pid) noexcept;

// The living and dead processes of a family, by their tags.
std::map<uint64_t, std::vector<pid_t>> PidsByTag(TagFamily family);

// Whether /proc is that of our PID namespace and shows every process: what is not shown
// cannot be found. proc(5), hidepid.
bool ProcIsWhole() noexcept;

// Ends every process that carries a tag of the family, and waits until none is left or the time is up.
// Finds them through /proc, whoever their parent is. Returns how many still live.
int EndTagged(TagFamily family, int timeout_ms) noexcept;

}  // namespace kernel
