#include "signals.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace kernel {

Status IgnoreSignal(int signal) noexcept {
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  if (sigaction(signal, &ignore, nullptr) != 0) return Status::FromErrno("sigaction");
  return Status::Ok();
}

Result<Disposition> GetDisposition(int signal) noexcept {
  struct sigaction found = {};
  if (sigaction(signal, nullptr, &found) != 0) return Result<Disposition>::Error(Status::FromErrno("sigaction"));
  return Result<Disposition>::Of(found.sa_handler == SIG_IGN   ? Disposition::kIgnore
                                 : found.sa_handler == SIG_DFL ? Disposition::kDefault
                                                               : Disposition::kHandler);
}

Status DieWithParent(pid_t parent) noexcept {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return Status::FromErrno("prctl");
  // It is sent once: a parent that ended before the call has sent nothing.
  if (getppid() != parent) return Status::Error(ESRCH, "getppid");
  return Status::Ok();
}

}  // namespace kernel
