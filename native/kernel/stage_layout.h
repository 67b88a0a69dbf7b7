#pragma once

// What launcher and stage hand each other. Both are built from this file, and numbers are the
// machine's own: the two never come from different builds.

#include <cstddef>
#include <cstdint>

namespace kernel {

constexpr uint32_t kStageMagic = 0x53616c31;

// Descriptors of the stage: the request, a file in memory; the socket for reports; the Landlock
// ruleset, or the null device; then the task's own.
enum StageDescriptor : int { kRequestFd, kReportFd, kRulesetFd, kFirstTaskFd };

enum StageFlags : uint32_t {
  kStageUserNamespace = 1,  // map its one user and group
  kStageOnlyTry = 2,        // set up, report and end: start nothing
  kStageHasRuleset = 4,
  kStageHasIdentity = 8,
  kStageSendsListener = 16,
  kStageScopedSignals = 32,
};

// Behind it, each at a multiple of 8: `limits` times Limit, `rules` times a uint64_t (bit 63: the
// path may be absent), `filter` times sock_filter, and the strings, each with its NUL: path, cwd,
// unlisted (empty: none), the rules' paths, argv, envp.
struct StageHeader {
  uint32_t magic;
  uint32_t bytes;  // of all of it
  uint32_t flags;
  int32_t umask;
  uint32_t uid, gid;            // of the supervisor: the only ones that are mapped
  uint32_t task_uid, task_gid;  // with kStageHasIdentity
  uint64_t own_proc_access;
  uint32_t descriptors;
  uint32_t limits, rules, filter, argc, envc;
};

constexpr uint64_t kStageRuleOptional = uint64_t{1} << 63;

constexpr size_t StageAligned(size_t bytes) { return (bytes + 7) & ~size_t{7}; }

// The first answer: err 0 with the task's pidfd attached, or what failed and over which path.
struct StageReport {
  int32_t step;
  int32_t err;
  char syscall[32];
  char path[256];
};

// The second one, when the task's main process has ended.
struct StageEnd {
  int32_t code;
  int32_t signal;
};

}  // namespace kernel
