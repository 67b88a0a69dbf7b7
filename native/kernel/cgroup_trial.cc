#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cgroup.h"
#include "clone.h"
#include "pidfd.h"

namespace kernel {

bool CgroupDelegated(const std::string& folder) noexcept {
  for (const char* name : {"trusted.delegate", "user.delegate"}) {
    char value = 0;
    if (getxattr(folder.c_str(), name, &value, 1) == 1 && value == '1') return true;
  }
  return false;
}

Status TryCgroup(const std::string& folder) noexcept {
  auto made = Cgroup::Create(folder, NewTag(), {});
  if (!made.ok()) return made.status;
  const Cgroup& cgroup = *made.value;
  auto directory = cgroup.Open();
  Status status = directory.status;
  if (status.ok() && faccessat(directory.value.get(), "cgroup.kill", W_OK, 0) != 0) status = Status::Error(ENOTSUP, "cgroup.kill");
  if (status.ok()) {
    CloneOptions options;
    options.cgroup_fd = directory.value.get();
    auto child = CloneChildOnce([](void*) noexcept { _exit(0); }, nullptr, options);
    status = child.status;
    if (child.ok()) (void)PidfdWait(child.value.pidfd.get(), true);
  }
  if (!cgroup.End(1000) && status.ok()) status = Status::Error(EBUSY, "rmdir");
  return status;
}

}  // namespace kernel
