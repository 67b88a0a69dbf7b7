#include "dumpable.h"

#include <sys/prctl.h>

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

}  // namespace kernel
