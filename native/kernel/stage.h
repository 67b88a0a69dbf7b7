#pragma once

#include <string>
#include <vector>

#include "clone.h"
#include "exec.h"
#include "pidfd.h"
#include "result.h"
#include "unique_fd.h"

namespace kernel {

// A Landlock rule that only the stage can make: on a mount that is there inside alone.
struct StageRule {
  std::string path;
  uint64_t access;
  bool optional;
};

// How a task gets namespaces of its own. The child that shares our memory cannot make them: our
// memory is not dumpable, so nobody but root could write its uid_map, and mounting takes too long
// to stand still for. So a small program of ours, the stage, is pid 1 of a new PID namespace. It
// makes the other namespaces, mounts a /proc of its own, starts the task under all of
// `work`'s restrictions, and ends with it: then the kernel ends whatever else is inside.
struct StageRequest {
  std::string program;          // the stage's path
  bool user_namespace = false;  // for a supervisor without CAP_SYS_ADMIN
  ExecWork* work = nullptr;     // what the task is to be
  std::vector<StageRule> rules;
};

struct Staged {
  Child init;           // the stage: ours to wait for
  UniqueFd control;     // its reports
  pid_t pid = 0;        // the task's main process, as we number it
  UniqueFd pidfd;
  std::string path;     // of a failure
};

// Starts the stage on `stack` and waits until the task runs. On failure nothing is left.
// user_namespaces(7), pid_namespaces(7).
Failure StartStaged(const StageRequest& request, char* stack, size_t stack_bytes, int cgroup_fd, Staged* staged) noexcept;

// Does all of that but for the task, in a child, to see what this host allows.
Failure TryStage(const std::string& program, bool user_namespace) noexcept;

// How the task's main process ended, once the stage has. False when the stage could not say:
// it was killed itself.
bool StagedExit(const Staged& staged, Exit* exit) noexcept;

}  // namespace kernel
