#include "pidfd.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uapi.h"

namespace kernel {

Result<UniqueFd> PidfdOpen(pid_t pid) noexcept {
  long fd = syscall(__NR_pidfd_open, pid, 0);
  if (fd < 0) return {Status::FromErrno("pidfd_open"), UniqueFd()};
  return {Status::Ok(), UniqueFd(static_cast<int>(fd))};
}

Result<UniqueFd> PidfdGetfd(int pidfd, int fd) noexcept {
  long copy = syscall(__NR_pidfd_getfd, pidfd, fd, 0);
  if (copy < 0) return {Status::FromErrno("pidfd_getfd"), UniqueFd()};
  return {Status::Ok(), UniqueFd(static_cast<int>(copy))};
}

Status PidfdSendSignal(int pidfd, int signal, bool to_group) noexcept {
  if (to_group && syscall(__NR_pidfd_send_signal, pidfd, signal, nullptr, PIDFD_SIGNAL_PROCESS_GROUP) == 0) return Status::Ok();
  if (syscall(__NR_pidfd_send_signal, pidfd, signal, nullptr, 0) != 0)
    return Status::FromErrno("pidfd_send_signal");
  return Status::Ok();
}

bool PidfdExited(int pidfd, int timeout_ms) noexcept {
  pollfd entry{pidfd, POLLIN, 0};
  return poll(&entry, 1, timeout_ms) == 1;
}

Result<Exit> PidfdWait(int pidfd, bool block) noexcept {
  siginfo_t info{};
  rusage usage{};
  // __WALL: a child that has not reached execve yet was cloned without SIGCHLD's rules.
  int options = WEXITED | __WALL | (block ? 0 : WNOHANG);
  long done;
  do {
    done = syscall(__NR_waitid, P_PIDFD, pidfd, &info, options, &usage);
  } while (done != 0 && errno == EINTR);
  if (done != 0) return Result<Exit>::Error(Status::FromErrno("waitid"));
  if (info.si_pid == 0) return Result<Exit>::Error(Status::Error(EAGAIN, "waitid"));
  const int64_t cpu_us = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1'000'000LL + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
  if (info.si_code == CLD_EXITED) return Result<Exit>::Of({info.si_status, 0, cpu_us});
  return Result<Exit>::Of({0, info.si_status, cpu_us});
}

}  // namespace kernel
