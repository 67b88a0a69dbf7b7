#include "rlimit.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace kernel {

namespace {

// prlimit64(2) itself: 64-bit on every architecture, and RLIM_INFINITY is all ones.
struct KernelRlimit {
  uint64_t current;
  uint64_t maximum;
};

}  // namespace

Result<Rlimit> GetRlimit(int resource) noexcept {
  KernelRlimit limit;
  if (syscall(SYS_prlimit64, 0, resource, nullptr, &limit) != 0) return Result<Rlimit>::Error(Status::FromErrno("prlimit64"));
  return Result<Rlimit>::Of({limit.current, limit.maximum});
}

Status SetRlimit(int resource, Rlimit limit) noexcept {
  KernelRlimit wanted = {limit.soft, limit.hard};
  if (syscall(SYS_prlimit64, 0, resource, &wanted, nullptr) != 0) return Status::FromErrno("prlimit64");
  return Status::Ok();
}

}  // namespace kernel
