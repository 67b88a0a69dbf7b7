#include "dumpable.h"

#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "pidfd.h"
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

bool ShowsNothing(pid_t holder, int fd) noexcept {
  auto process = PidfdOpen(holder);
  if (!process.ok()) return false;
  auto file = PidfdGetfd(process.value.get(), fd);
  if (!file.ok()) return false;
  char byte;
  // Of memory that lives, /proc/<pid>/mem has no first page: EIO.
  const ssize_t length = pread(file.value.get(), &byte, 1, 0);
  return length == 0 || (length < 0 && errno == ESRCH);
}

}  // namespace kernel
