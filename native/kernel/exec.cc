#include "exec.h"

#include <unistd.h>

namespace kernel {

void RestrictAndExec(void* argument) noexcept {
  auto* work = static_cast<ExecWork*>(argument);
  Failure failure = RestrictForExec(work->restrictions);
  if (failure.status.ok()) {
    execve(work->path, work->argv, work->envp);
    failure = {Step::kExecve, Status::FromErrno("execve")};
  }
  work->failed_step = static_cast<int>(failure.step);
  work->failed_syscall = failure.status.syscall;
  work->failed_errno = failure.status.err;
  _exit(127);
}

}  // namespace kernel
