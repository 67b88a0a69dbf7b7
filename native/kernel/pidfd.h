#pragma once

#include <sys/types.h>

#include <cstdint>

#include "result.h"
#include "unique_fd.h"

namespace kernel {

// A descriptor that names one process for good: unlike a pid it is never given to
// another one. Scope: ours; close-on-exec. pidfd_open(2).
Result<UniqueFd> PidfdOpen(pid_t pid) noexcept;

// A copy of a descriptor that another process has. EPERM where we may not trace it.
// Scope: ours; close-on-exec. pidfd_getfd(2).
Result<UniqueFd> PidfdGetfd(int pidfd, int fd) noexcept;

// ESRCH once the process has been waited for. `to_group`: to every process of the group
// that it leads, as a terminal does; to it alone before Linux 6.9. pidfd_send_signal(2).
Status PidfdSendSignal(int pidfd, int signal, bool to_group = false) noexcept;

// True once every thread of the process has ended, waited for or not.
bool PidfdExited(int pidfd, int timeout_ms) noexcept;

// How a child ended. Exactly one of the two is meaningful.
struct Exit {
  int code = 0;
  int signal = 0;  // 0: it exited by itself with `code`
  int64_t cpu_us = 0;  // processor time, its own and that of children it waited for
};

// Takes the exit of our child away (it is a zombie until then). EAGAIN while it
// runs when `block` is false, ECHILD when it is not our child. waitid(2), P_PIDFD.
Result<Exit> PidfdWait(int pidfd, bool block) noexcept;

}  // namespace kernel
