#include "seccomp.h"

#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "uapi.h"

namespace kernel {

Status InstallFilterOnCurrentThread(const sock_fprog& filter) noexcept {
  if (syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0)
    return Status::FromErrno("seccomp");
  return Status::Ok();
}

Result<int> InstallFilterWithListenerOnCurrentThread(const sock_fprog& filter) noexcept {
  // A call that we have begun to answer is then interrupted by what kills its caller alone.
  constexpr unsigned kFlags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  long fd = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, kFlags, &filter);
  if (fd < 0 && errno == EINVAL) fd = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
  if (fd < 0) return Result<int>::Error(Status::FromErrno("seccomp"));
  return Result<int>::Of(static_cast<int>(fd));
}

bool SeccompAvailable() noexcept {
  // A null program: EFAULT says that the mode is known, EINVAL that it is not.
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, nullptr, 0, 0) != 0 && errno == EFAULT;
}

}  // namespace kernel
