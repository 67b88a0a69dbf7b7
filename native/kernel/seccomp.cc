#include "seccomp.h"

#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace kernel {

Status InstallFilterOnCurrentThread(const sock_fprog& filter) noexcept {
  if (syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0)
    return Status::FromErrno("seccomp");
  return Status::Ok();
}

bool SeccompAvailable() noexcept {
  // A null program: EFAULT says that the mode is known, EINVAL that it is not.
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, nullptr, 0, 0) != 0 && errno == EFAULT;
}

}  // namespace kernel
