#pragma once

#include <cstddef>
#include <cstdint>

#include "result.h"
#include "unique_fd.h"

namespace kernel {

// The highest Landlock ABI of the running kernel; 0 where Landlock is absent or
// switched off. landlock_create_ruleset(2), LANDLOCK_CREATE_RULESET_VERSION.
int LandlockAbi() noexcept;

// The bitmask of fixed bugs, 0 before Linux 6.15. LANDLOCK_CREATE_RULESET_ERRATA.
int LandlockErrata() noexcept;

// What a ruleset denies unless a rule allows it. `scoped` needs ABI 6: signals and
// abstract Unix sockets then end at the domain's border.
struct HandledAccess {
  uint64_t fs = 0;
  uint64_t net = 0;
  uint64_t scoped = 0;

  bool Any() const noexcept { return (fs | net | scoped) != 0; }
};

constexpr uint64_t kScopeSignal = 1u << 1;

Result<UniqueFd> CreateRuleset(const HandledAccess& handled) noexcept;

// Allows `access` beneath the opened file or folder (O_PATH suffices). Rights that
// only folders know are taken off for a file, for which the kernel refuses them.
Status AddPathRule(int ruleset_fd, int path_fd, uint64_t access) noexcept;

// The same by name. A grant follows no symbolic link: a writable folder on the way could have
// grown one since the policy was made, and the next task would be granted what it points to.
// A program does, as execve(2) will. `opened`: where to leave what was opened, null: it is closed.
// openat2(2), Linux 5.6.
Status AddPathRuleByName(int ruleset_fd, const char* path, uint64_t access, bool follow, UniqueFd* opened = nullptr) noexcept;

// Irreversible. Scope: the calling thread and what it starts from here on. Needs
// no_new_privs. landlock_restrict_self(2).
Status RestrictSelfOnCurrentThread(int ruleset_fd) noexcept;

}  // namespace kernel
