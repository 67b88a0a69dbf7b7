#include "become.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>

#include "capabilities.h"
#include "uapi.h"

namespace kernel {

namespace {

// Nobody's: what it may do, everybody may.
constexpr gid_t kNoGroup = 65534;

gid_t OtherGroup(gid_t gid) noexcept { return gid == kNoGroup ? kNoGroup - 1 : kNoGroup; }

// The raw calls: libc's would change the other threads one by one, which end with the execve.
// The groups first, for which it takes root; capabilities stay over the change, since CAP_SETPCAP
// is what empties the bounding set afterwards.
Status TakeUser(const User& user) noexcept {
  if (syscall(__NR_setgroups, user.group_count, user.groups) != 0) return Status::FromErrno("setgroups");
  if (syscall(__NR_setresgid, user.gid, OtherGroup(user.gid), user.gid) != 0) return Status::FromErrno("setresgid");
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return Status::FromErrno("prctl(PR_SET_KEEPCAPS)");
  if (syscall(__NR_setresuid, user.uid, user.uid, user.uid) != 0) return Status::FromErrno("setresuid");
  return Status::Ok();
}

Status Verify(const Successor& successor) noexcept {
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) return Status::Error(EPERM, "prctl(PR_GET_NO_NEW_PRIVS)");
  auto now = GetCapabilitiesOnCurrentThread();
  if (!now.ok()) return now.status;
  const uint64_t held = now.value.effective | now.value.permitted | now.value.inheritable | now.value.ambient;
  if ((held & ~successor.keep) != 0) return Status::Error(EPERM, "capget");
  // Asked for and not held to begin with: better said here than found out later.
  if ((now.value.ambient & successor.keep) != successor.keep) return Status::Error(EPERM, "prctl(PR_CAP_AMBIENT)");
  if (successor.user == nullptr) return Status::Ok();
  uid_t ruid, euid, suid;
  gid_t rgid, egid, sgid;
  if (syscall(__NR_getresuid, &ruid, &euid, &suid) != 0 || syscall(__NR_getresgid, &rgid, &egid, &sgid) != 0) return Status::FromErrno("getresuid");
  const User& user = *successor.user;
  const bool is = ruid == user.uid && euid == user.uid && suid == user.uid && rgid == user.gid && egid == OtherGroup(user.gid);
  return is ? Status::Ok() : Status::Error(EPERM, "getresuid");
}

// Node ignores some and we ignored others; a program starts with the kernel's defaults.
Status ResetSignals() noexcept {
  for (int signal = 1; signal < 32; signal++) {
    if (signal != SIGKILL && signal != SIGSTOP && std::signal(signal, SIG_DFL) == SIG_ERR) return Status::FromErrno("signal");
  }
  sigset_t none;
  sigemptyset(&none);
  return sigprocmask(SIG_SETMASK, &none, nullptr) == 0 ? Status::Ok() : Status::FromErrno("sigprocmask");
}

Status CloseRange(unsigned first, unsigned last) noexcept {
  if (first > last) return Status::Ok();
  return syscall(__NR_close_range, first, last, 0) == 0 ? Status::Ok() : Status::FromErrno("close_range");
}

// In a table of this thread's own: the others, which live until the execve, go on with theirs. libuv
// ends the process when an epoll descriptor that it waits on has gone. A range of nothing, so
// that it is unshared and all of it stays; unshare(2) is refused in many containers.
Status UnshareDescriptors() noexcept {
  constexpr unsigned kCloseRangeUnshare = 1u << 1;  // linux/close_range.h, 5.9
  return syscall(__NR_close_range, ~0u, ~0u, kCloseRangeUnshare) == 0 ? Status::Ok() : Status::FromErrno("close_range");
}

Status Arrange(Move* moves, size_t count) noexcept {
  const int above = count == 0 ? 0 : moves[count - 1].target + 1;
  // First out of the way: a source below could be overwritten before its turn.
  for (size_t i = 0; i < count; i++) {
    moves[i].source = fcntl(moves[i].source, F_DUPFD_CLOEXEC, above);
    if (moves[i].source < 0) return Status::FromErrno("fcntl");
  }
  unsigned next = 0;
  for (size_t i = 0; i < count; i++) {
    const unsigned target = static_cast<unsigned>(moves[i].target);
    Status status = target == 0 ? Status::Ok() : CloseRange(next, target - 1);
    if (!status.ok()) return status;
    if (dup3(moves[i].source, moves[i].target, 0) < 0) return Status::FromErrno("dup3");
    next = target + 1;
  }
  return CloseRange(next, ~0u);
}

}  // namespace

Status PrepareToBecome(const Successor& successor) noexcept {
  Status status;
  if (successor.user != nullptr && !(status = TakeUser(*successor.user)).ok()) return status;
  // Ambient: an execve as any user leaves those, whatever the securebits.
  if (successor.keep != 0 && !(status = KeepCapabilitiesOverExec()).ok()) return status;
  if (!(status = DropCapabilitiesOnCurrentThread(successor.keep)).ok()) return status;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Status::FromErrno("prctl(PR_SET_NO_NEW_PRIVS)");
  return Verify(successor);
}

Status Become(const Successor& successor) noexcept {
  Status status;
  if (!(status = UnshareDescriptors()).ok()) return status;
  if (!(status = ResetSignals()).ok()) return status;
  if (!(status = Arrange(successor.moves, successor.move_count)).ok()) return status;
  execve(successor.path, successor.argv, successor.envp);
  return Status::FromErrno("execve");
}

}  // namespace kernel
