#include "keyring.h"

#include <linux/keyctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace kernel {

Status JoinAnonymousSessionKeyringOnCurrentThread() noexcept {
  if (syscall(__NR_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) < 0)
    return Status::FromErrno("keyctl");
  return Status::Ok();
}

}  // namespace kernel
