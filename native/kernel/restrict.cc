#include "restrict.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "capabilities.h"
#include "descriptors.h"
#include "keyring.h"
#include "landlock.h"
#include "seccomp.h"
#include "unique_fd.h"

namespace kernel {
namespace {

// Handlers of the supervisor must never run here, where its memory is shared, and what
// it ignores (SIGPIPE, SIGUSR1) must not be ignored by a program that was never asked.
// The raw call, since libc hides the two signals that it keeps for itself.
Status ResetSignals() noexcept {
  constexpr size_t kSignalSetBytes = 8;
  char default_action[64] = {};  // struct sigaction of the kernel, all zero: SIG_DFL
  for (int signal = 1; signal <= 64; signal++) {
    if (signal == SIGKILL || signal == SIGSTOP) continue;
    if (syscall(__NR_rt_sigaction, signal, default_action, nullptr, kSignalSetBytes) != 0)
      return Status::FromErrno("rt_sigaction");
  }
  return Status::Ok();
}

Status UnblockSignals() noexcept {
  uint64_t none = 0;
  if (syscall(__NR_rt_sigprocmask, SIG_SETMASK, &none, nullptr, sizeof(none)) != 0)
    return Status::FromErrno("rt_sigprocmask");
  return Status::Ok();
}

bool IsWhollyNow(const Identity& wanted) noexcept {
  uid_t ruid, euid, suid;
  gid_t rgid, egid, sgid;
  if (syscall(__NR_getresuid, &ruid, &euid, &suid) != 0 || syscall(__NR_getresgid, &rgid, &egid, &sgid) != 0) return false;
  return ruid == wanted.uid && euid == wanted.uid && suid == wanted.uid && rgid == wanted.gid && egid == wanted.gid &&
         sgid == wanted.gid && syscall(__NR_getgroups, 0, nullptr) == 0;
}

// The raw calls: libc's would change every thread of the supervisor. Permitted capabilities are
// kept over the change, for CAP_SETPCAP is what empties the bounding set afterwards.
// The memory that is still the supervisor's gets fs.suid_dumpable, which the policy's plan has seen to be safe.
// credentials(7), setresuid(2).
Status Become(const Identity& identity) noexcept {
  if (syscall(__NR_setgroups, 0, nullptr) != 0) return Status::FromErrno("setgroups");
  if (syscall(__NR_setresgid, identity.gid, identity.gid, identity.gid) != 0) return Status::FromErrno("setresgid");
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return Status::FromErrno("prctl(PR_SET_KEEPCAPS)");
  if (syscall(__NR_setresuid, identity.uid, identity.uid, identity.uid) != 0) return Status::FromErrno("setresuid");
  if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0) return Status::FromErrno("prctl(PR_SET_KEEPCAPS)");
  return IsWhollyNow(identity) ? Status::Ok() : Status::Error(EPERM, "getresuid");
}

// Dies with the supervisor's launcher thread, which lives as long as the supervisor.
// The signal is set too late when the supervisor died before: so look who the parent is.
// Who has a PID namespace of its own sees no parent: the stage asks in another way.
Status DieWithParent(const Restrictions& r) noexcept {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return Status::FromErrno("prctl");
  if (!r.sets_up_namespaces && getppid() != r.supervisor) return Status::Error(ESRCH, "getppid");
  return Status::Ok();
}

Status SetLimit(const Limit& limit) noexcept {
  rlimit64 value{limit.soft, limit.hard};
  rlimit64 ours;
  if (syscall(__NR_prlimit64, 0, limit.resource, nullptr, &ours) != 0) return Status::FromErrno("prlimit");
  // A stricter limit of the supervisor's own stays, for it could not be raised.
  if (!limit.exact && ours.rlim_max < value.rlim_max) value.rlim_max = ours.rlim_max;
  if (value.rlim_cur > value.rlim_max) value.rlim_cur = value.rlim_max;
  if (syscall(__NR_prlimit64, 0, limit.resource, &value, nullptr) != 0) return Status::FromErrno("prlimit");
  return Status::Ok();
}

// A timer may be late by this much, so that those of many threads go off together: with the kernel's
// 50 us a few hundred threads that sleep for less keep every processor of the host in interrupts.
constexpr unsigned long kTimerSlackNs = 1'000'000;

Status SlackenTimers() noexcept {
  if (prctl(PR_SET_TIMERSLACK, kTimerSlackNs, 0, 0, 0) != 0) return Status::FromErrno("prctl");
  if (prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0) != static_cast<int>(kTimerSlackNs)) return Status::Error(EPERM, "prctl(PR_GET_TIMERSLACK)");
  return Status::Ok();
}

// Asked for again, as everything is.
Status VerifyLimit(const Limit& limit) noexcept {
  rlimit64 now;
  if (syscall(__NR_prlimit64, 0, limit.resource, nullptr, &now) != 0) return Status::FromErrno("prlimit");
  if (now.rlim_max > limit.hard || now.rlim_cur > limit.soft || (limit.exact && now.rlim_max != limit.hard))
    return Status::Error(EPERM, "prlimit");
  return Status::Ok();
}

// Whoever sends a descriptor is held to RLIMIT_NOFILE by all that the user's processes have sent and not received,
// other tasks' included (unix(7), ETOOMANYREFS): with the task's own, one task could keep every other from being started.
bool IsSetBehindTheFilter(const Restrictions& r, const Limit& limit) noexcept {
  return r.sends_listener && limit.resource == RLIMIT_NOFILE;
}

Status SetLimits(const Restrictions& r, bool behind_the_filter) noexcept {
  for (size_t i = 0; i < r.limit_count; i++) {
    if (IsSetBehindTheFilter(r, r.limits[i]) != behind_the_filter) continue;
    Status status = SetLimit(r.limits[i]);
    if (status.ok() && behind_the_filter) status = VerifyLimit(r.limits[i]);
    if (!status.ok()) return status;
  }
  return Status::Ok();
}

Status NewKeyring() noexcept {
  Status joined = JoinAnonymousSessionKeyringOnCurrentThread();
  // Absent, or refused by a container's filter, which the task is under as well: there
  // is then no keyring to inherit, or no call to reach it with.
  if (joined.err == ENOSYS || joined.err == EPERM) return Status::Ok();
  return joined;
}

// One domain for this task alone. The rule on its own /proc/<pid> can only be made here:
// the supervisor's /proc/self is the supervisor.
Status EnterLandlockDomain(int ruleset_fd, uint64_t own_proc_access) noexcept {
  if (own_proc_access != 0) {
    UniqueFd own(open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!own) return Status::FromErrno("open");
    Status added = AddPathRule(ruleset_fd, own.get(), own_proc_access);
    if (!added.ok()) return added;
  }
  return RestrictSelfOnCurrentThread(ruleset_fd);
}

// A domain cannot be asked for, but it can be run into: a folder that may not be listed, and a
// parent that may not be signalled, not even with signal 0.
Status VerifyDomain(const Restrictions& restrictions) noexcept {
  if (restrictions.unlisted != nullptr) {
    UniqueFd listed(open(restrictions.unlisted, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (listed || errno != EACCES) return Status::Error(EPERM, "landlock_restrict_self");
  }
  if (restrictions.scoped_signals && kill(restrictions.supervisor, 0) == 0) return Status::Error(EPERM, "landlock_restrict_self");
  return Status::Ok();
}

// What was set is asked for again: a library or a kernel that answers 0 and does
// nothing must not go unnoticed.
Status Verify(const Restrictions& restrictions) noexcept {
  if (restrictions.identity != nullptr && !IsWhollyNow(*restrictions.identity)) return Status::Error(EPERM, "getresuid");
  if (getsid(0) != getpid()) return Status::Error(EPERM, "getsid");
  int death_signal = 0;
  if (!restrictions.outlives_supervisor && (prctl(PR_GET_PDEATHSIG, &death_signal, 0, 0, 0) != 0 || death_signal != SIGKILL))
    return Status::Error(EPERM, "prctl(PR_GET_PDEATHSIG)");
  if (restrictions.no_new_privs && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
    return Status::Error(EPERM, "prctl");
  if (restrictions.no_capabilities) {
    auto now = GetCapabilitiesOnCurrentThread();
    if (!now.ok()) return now.status;
    const uint64_t left = now.value.effective | now.value.permitted | now.value.inheritable | now.value.ambient;
    if (left != 0) return Status::Error(EPERM, "capget");
  }
  for (size_t i = 0; i < restrictions.limit_count; i++) {
    if (IsSetBehindTheFilter(restrictions, restrictions.limits[i])) continue;
    Status limited = VerifyLimit(restrictions.limits[i]);
    if (!limited.ok()) return limited;
  }
  return restrictions.ruleset_fd < 0 ? Status::Ok() : VerifyDomain(restrictions);
}

// Both descriptors are close-on-exec. The filter must let sendmsg through, and prlimit64 behind it,
// as all of ours do: the calls are under it already.
Status LockInAndSendListener(const sock_fprog& filter, int socket) noexcept {
  auto listener = InstallFilterWithListenerOnCurrentThread(filter);
  if (!listener.ok()) return listener.status;
  return SendDescriptor(socket, listener.value, "", 1).status;
}

Status LockIn(const sock_fprog* filter, int listener_socket) noexcept {
  if (filter == nullptr) return Status::Ok();
  // Its descriptor is what shows that there is such a filter.
  if (listener_socket >= 0) return LockInAndSendListener(*filter, listener_socket);
  Status installed = InstallFilterOnCurrentThread(*filter);
  if (!installed.ok()) return installed;
  // PR_GET_SECCOMP would say no more than that there is one, of a container's perhaps.
  if (prctl(kFilterWitness, 0, 0, 0, 0) != 0) return Status::Error(EPERM, "seccomp");
  return Status::Ok();
}

}  // namespace

const char* StepName(Step step) noexcept {
  switch (step) {
    case Step::kSweeper: return "sweeper";
    case Step::kScratch: return "scratch";
    case Step::kCgroup: return "cgroup";
    case Step::kClone: return "clone";
    case Step::kStage: return "stage";
    case Step::kUserMap: return "user-map";
    case Step::kNamespaces: return "namespaces";
    case Step::kMounts: return "mounts";
    case Step::kProc: return "proc";
    case Step::kSignals: return "signals";
    case Step::kSession: return "session";
    case Step::kIdentity: return "identity";
    case Step::kParentDeath: return "parent-death";
    case Step::kCwd: return "cwd";
    case Step::kLimits: return "limits";
    case Step::kKeyring: return "keyring";
    case Step::kCapabilities: return "capabilities";
    case Step::kNoNewPrivs: return "no-new-privs";
    case Step::kLandlock: return "landlock";
    case Step::kDescriptors: return "descriptors";
    case Step::kVerify: return "verify";
    case Step::kSeccomp: return "seccomp";
    case Step::kExecve: return "execve";
  }
  return "unknown";
}

Failure RestrictForExec(const Restrictions& r) noexcept {
  Status status;
  if (!(status = ResetSignals()).ok()) return {Step::kSignals, status};
  if (setsid() < 0) return {Step::kSession, Status::FromErrno("setsid")};
  if (r.identity != nullptr && !(status = Become(*r.identity)).ok()) return {Step::kIdentity, status};
  // Behind the change of identity, which takes a parent-death signal away.
  if (!r.outlives_supervisor && !(status = DieWithParent(r)).ok()) return {Step::kParentDeath, status};
  if (r.new_keyring && !(status = NewKeyring()).ok()) return {Step::kKeyring, status};
  if (r.sets_up_namespaces && !(status = KeepCapabilitiesOverExec()).ok()) return {Step::kCapabilities, status};
  if (r.no_capabilities && !(status = DropCapabilitiesOnCurrentThread(0)).ok()) return {Step::kCapabilities, status};
  if (r.no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return {Step::kNoNewPrivs, Status::FromErrno("prctl")};
  // CLONE_FS is not among the clone's flags: both are the child's alone.
  if (r.umask >= 0) umask(static_cast<mode_t>(r.umask));
  if (r.cwd_fd >= 0 && fchdir(r.cwd_fd) != 0) return {Step::kCwd, Status::FromErrno("fchdir")};
  if (r.cwd != nullptr && chdir(r.cwd) != 0) return {Step::kCwd, Status::FromErrno("chdir")};
  if (r.ruleset_fd >= 0 && !(status = EnterLandlockDomain(r.ruleset_fd, r.own_proc_access)).ok())
    return {Step::kLandlock, status};
  if (!(status = ArrangeDescriptors(r.descriptors, r.descriptor_count)).ok())
    return {Step::kDescriptors, status};
  // The last one then, and not the program's.
  const int listener_socket = r.sends_listener ? static_cast<int>(r.descriptor_count) - 1 : -1;
  if (listener_socket >= 0 && fcntl(listener_socket, F_SETFD, FD_CLOEXEC) != 0)
    return {Step::kDescriptors, Status::FromErrno("fcntl")};
  // Behind the descriptors: until they were closed there may be more than the task is allowed.
  if (!(status = SetLimits(r, false)).ok()) return {Step::kLimits, status};
  if (r.filter != nullptr && !(status = SlackenTimers()).ok()) return {Step::kLimits, status};
  if (!(status = Verify(r)).ok()) return {Step::kVerify, status};
  if (!(status = UnblockSignals()).ok()) return {Step::kSignals, status};
  // Last, so that the filter need not allow what the steps above call.
  if (!(status = LockIn(r.filter, listener_socket)).ok()) return {Step::kSeccomp, status};
  if (!(status = SetLimits(r, true)).ok()) return {Step::kLimits, status};
  return {};
}

}  // namespace kernel
