#include "dumpable.h"

#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

#include "unique_fd.h"

namespace kernel {

Status DisableDumpable() noexcept {
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return Status::FromErrno("prctl");
  return Status::Ok();
}

Result<int> GetDumpable() noexcept {
  int value = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
  if (value < 0) return Result<int>::Error(Status::FromErrno("prctl"));
  return Result<int>::Of(value);
}

bool WasBornDumpable() noexcept {
  constexpr int kUserMayDump = 1;  // SUID_DUMP_USER
  auto now = GetDumpable();
  if (!now.ok() || now.value == kUserMayDump) return true;
  if (getauxval(AT_SECURE) != 0) return false;
  UniqueFd program(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  return program || errno != EACCES;
}

}  // namespace kernel
