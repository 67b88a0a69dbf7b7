#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bounds.h"
#include "calls.h"
#include "cgroup.h"
#include "landlock.h"
#include "pidfd.h"
#include "restrict.h"
#include "stage.h"
#include "result.h"
#include "scratch.h"
#include "unique_fd.h"

namespace kernel {

// One Landlock file rule.
struct PathRule {
  std::string path;  // without symbolic links: one that turns up later was put there since
  uint64_t access;
  // A folder of the system, the same for most plans: opened once for this process, which
  // saves some twenty opens a launch. All else is opened for each launch anew: a folder
  // that was made again under its old name, or a file that was replaced, is what is meant.
  std::shared_ptr<const UniqueFd> opened;
  bool optional = false;  // of the system: may have gone since the plan was made
};

// What is the same for every launch of one plan, made ready once. Immutable once built,
// shared by threads.
struct PreparedPlan {
  bool confined = false;  // false: a plain launch, for measuring and for controls
  HandledAccess handled;
  std::vector<PathRule> path_rules;
  uint64_t own_proc_access = 0;
  std::string unlisted;         // a folder that no rule lets a task list; empty: each one may be
  uint64_t program_access = 0;  // on the launched file itself
  std::vector<sock_filter> filter;
  std::vector<Limit> limits;
  uint64_t memory_bytes = 0;  // of all its processes together; 0: no bound
  int processes = 0;          // and threads, likewise
  int64_t open_files = 0;     // of all its processes together, likewise
  uint64_t cpu_seconds = 0;   // likewise
  uint64_t scratch_bytes = 0;
  int64_t scratch_files = 0;
  bool file_limit_is_scratch = false;  // RLIMIT_FSIZE comes from scratch_bytes
  std::string cgroup_folder;  // where this host lets tasks have cgroups; empty: nowhere
  bool own_cgroup = false;    // the task gets one
  CgroupLimits cgroup_limits;
  std::string sweeper;  // the program of that name; started once, for all tasks of this process
  std::string stage;    // the program of that name, for a task in namespaces of its own; empty: in ours
  bool user_namespace = false;  // one of them, for a supervisor without CAP_SYS_ADMIN
  std::optional<Identity> identity;  // none: the supervisor's
  std::string cwd;      // empty: the supervisor's
  int umask = -1;       // -1: the supervisor's
  bool asks_to_start = false;  // each new process or thread, so that there are never more than `processes`
  bool own_modes = false;  // chmod, chown and utime of what it may write are made for it
  std::vector<std::string> environment;

  // A folder of the task's own. Where the temporary folders are; empty: no scratch folder.
  std::string scratch_in;
  uint64_t scratch_access = 0;
  std::vector<std::pair<std::string, std::string>> scratch_variables;  // name, and what follows the folder's path

  void AddPath(const std::string& path, uint64_t access) { path_rules.push_back({path, access, nullptr, false}); }
  Status AddSystemPath(const std::string& path, uint64_t access);
};

// A failed launch; `path` is set when the step failed over a file.
struct LaunchFailure {
  Failure failure;
  std::string path;
};

// A running task as the native side holds it.
struct RunningTask {
  pid_t pid = 0;
  UniqueFd pidfd;
  UniqueFd proc;     // /proc/<pid>, held so that its Landlock rule stays bound to it
  Staged staged;     // of a task in namespaces of its own: who started it, and ends with it
  uint64_t tag = 0;  // 0: nothing to sweep
  std::shared_ptr<Bounds> bounds;  // null: none
  std::shared_ptr<const Cgroup> cgroup;  // null: none
  std::shared_ptr<Scratch> scratch;  // null: none; there until whoever was told of the end removes it

  Status Signal(int signal, bool to_group = false) const noexcept { return PidfdSendSignal(pidfd.get(), signal, to_group); }

  // Readable once nothing of a staged task is left, or the main process of another has ended.
  int end_fd() const noexcept { return staged.init.pidfd ? staged.init.pidfd.get() : pidfd.get(); }

  // Ends all that it started, and waits for it: by its namespace, its cgroup, or its tag. How many still live.
  int EndAll(int timeout_ms) const noexcept;
};

struct TaskEnd {
  Exit exit;
  bool exit_known = false;  // another waiter of this process may have taken it
  Exceeded exceeded = Exceeded::kNothing;
  int survivors = 0;  // descendants that outlived SIGKILL and the time allowed
};

struct LaunchRequest {
  std::shared_ptr<const PreparedPlan> plan;
  std::string path;
  std::vector<std::string> argv;
  std::vector<UniqueFd> descriptors;  // index: number in the task; empty: /dev/null
  std::shared_ptr<const CallPlan> calls;  // null: the plan's filter leaves none to us

  // Both are called on a native thread; `ended` only after `started`, once no process
  // of the task is left.
  std::function<void(std::shared_ptr<RunningTask>)> started;
  std::function<void(LaunchFailure)> failed;
  std::function<void(TaskEnd)> ended;
};

// Removes a task's scratch folder with all that is in it, on a thread of its own unless it is empty, and
// then says what became of it. The task must have ended.
void RemoveScratch(std::shared_ptr<Scratch> scratch, std::function<void(Emptied)> removed);

// Queues a launch for the launcher thread and returns at once. That thread alone stands
// still until the child has exec'ed (CLONE_VFORK), and it lives as long as the process,
// which is what PR_SET_PDEATHSIG is bound to. clone(2), execve(2).
Status Launch(LaunchRequest request);

}  // namespace kernel
