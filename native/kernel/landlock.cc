#include "landlock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "uapi.h"

namespace kernel {
namespace {

// linux/landlock.h of the oldest supported headers lacks most of this; the
// layouts below are the kernel's ABI and only ever grow at their end.
struct RulesetAttr {
  __u64 handled_access_fs;
  __u64 handled_access_net;  // ABI 4
  __u64 scoped;              // ABI 6
};

struct PathBeneathAttr {
  __u64 allowed_access;
  __s32 parent_fd;
} __attribute__((packed));

constexpr unsigned kCreateRulesetVersion = 1u << 0;
constexpr unsigned kCreateRulesetErrata = 1u << 1;
constexpr int kRulePathBeneath = 1;

// EXECUTE, WRITE_FILE, READ_FILE, TRUNCATE, IOCTL_DEV: what can be allowed on a file.
constexpr uint64_t kFileAccess = (1ull << 0) | (1ull << 1) | (1ull << 2) | (1ull << 14) | (1ull << 15);

}  // namespace

int LandlockAbi() noexcept {
  long abi = syscall(__NR_landlock_create_ruleset, nullptr, 0, kCreateRulesetVersion);
  return abi > 0 ? static_cast<int>(abi) : 0;
}

int LandlockErrata() noexcept {
  long errata = syscall(__NR_landlock_create_ruleset, nullptr, 0, kCreateRulesetErrata);
  return errata > 0 ? static_cast<int>(errata) : 0;
}

Result<UniqueFd> CreateRuleset(const HandledAccess& handled) noexcept {
  RulesetAttr attr{handled.fs, handled.net, handled.scoped};
  // An older kernel takes the longer struct as long as the fields it lacks are zero.
  long fd = syscall(__NR_landlock_create_ruleset, &attr, sizeof(attr), 0);
  if (fd < 0) return {Status::FromErrno("landlock_create_ruleset"), UniqueFd()};
  return {Status::Ok(), UniqueFd(static_cast<int>(fd))};
}

Status AddPathRule(int ruleset_fd, int path_fd, uint64_t access) noexcept {
  struct stat st;
  if (fstat(path_fd, &st) != 0) return Status::FromErrno("fstat");
  if (!S_ISDIR(st.st_mode)) access &= kFileAccess;
  if (access == 0) return Status::Ok();
  PathBeneathAttr attr{access, path_fd};
  if (syscall(__NR_landlock_add_rule, ruleset_fd, kRulePathBeneath, &attr, 0) != 0)
    return Status::FromErrno("landlock_add_rule");
  return Status::Ok();
}

Status AddPathRuleByName(int ruleset_fd, const char* path, uint64_t access, bool follow, UniqueFd* opened) noexcept {
  constexpr uint64_t kResolveNoSymlinks = 0x04;
  struct {
    uint64_t flags, mode, resolve;
  } how{O_PATH | O_CLOEXEC, 0, follow ? 0 : kResolveNoSymlinks};
  UniqueFd fd(static_cast<int>(syscall(__NR_openat2, AT_FDCWD, path, &how, sizeof(how))));
  if (!fd) return Status::FromErrno("open");
  Status added = AddPathRule(ruleset_fd, fd.get(), access);
  if (added.ok() && opened != nullptr) *opened = std::move(fd);
  return added;
}

Status RestrictSelfOnCurrentThread(int ruleset_fd) noexcept {
  if (syscall(__NR_landlock_restrict_self, ruleset_fd, 0) != 0)
    return Status::FromErrno("landlock_restrict_self");
  return Status::Ok();
}

}  // namespace kernel
