#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "result.h"

namespace kernel {

// The steps between clone and execve, in the order in which they are taken.
// docs/errors.md has the list that users see.
enum class Step : int {
  kSweeper,
  kScratch,
  kCgroup,
  kClone,
  kStage,
  kUserMap,
  kNamespaces,
  kMounts,
  kProc,
  kSignals,
  kSession,
  kIdentity,
  kParentDeath,
  kKeyring,
  kCapabilities,
  kNoNewPrivs,
  kCwd,
  kLandlock,
  kDescriptors,
  kLimits,
  kVerify,
  kSeccomp,
  kExecve,
};

const char* StepName(Step step) noexcept;

// Who the task runs as: these as real, effective and saved ids, and no other group.
struct Identity {
  uid_t uid;
  gid_t gid;
};

struct Limit {
  int resource;
  uint64_t soft;
  uint64_t hard;
  bool exact = false;  // refuse to run with a lower one
};

// All that the child needs, made ready before the clone: it shares our memory, so it
// may neither allocate nor take a lock.
struct Restrictions {
  pid_t supervisor = 0;         // the parent it must still have, and ends with
  bool outlives_supervisor = false;
  bool sets_up_namespaces = false;  // pid 1 of a new PID namespace: sees no parent, and keeps its capabilities over execve
  const Identity* identity = nullptr;  // null: the supervisor's
  const char* cwd = nullptr;    // null: stay
  int cwd_fd = -1;              // an open folder instead, -1: none
  int umask = -1;               // -1: keep
  const Limit* limits = nullptr;
  size_t limit_count = 0;
  bool new_keyring = false;
  bool no_capabilities = false;
  bool no_new_privs = false;
  int ruleset_fd = -1;          // -1: no Landlock domain
  uint64_t own_proc_access = 0; // Landlock rights on the child's own /proc/<pid>
  const char* unlisted = nullptr; // a folder that the domain does not let it list; null: it may list any
  bool scoped_signals = false;    // whether the domain keeps its signals in
  const sock_fprog* filter = nullptr;  // null: no seccomp filter
  int* descriptors = nullptr;
  size_t descriptor_count = 0;
  bool sends_listener = false;  // through the last descriptor, which the program does not get
};

struct Failure {
  Step step = Step::kClone;
  Status status;
};

// Locks the calling process in. Everything is read back from the kernel where it can
// be asked. Runs in a CLONE_VM child: async-signal-safe, changes nothing of the parent.
// Scope: the calling process, inherited by execve(2). A failure leaves it half locked:
// the caller must end.
Failure RestrictForExec(const Restrictions& restrictions) noexcept;

}  // namespace kernel
