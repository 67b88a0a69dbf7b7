#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "leftovers.h"
#include "result.h"
#include "unique_fd.h"

namespace kernel {

// What a cgroup holds all processes of a task to, each where it is not 0: memory.max (and no
// swap), pids.max, cpu.weight. The controller must be enabled for children of the folder.
struct CgroupLimits {
  uint64_t memory_bytes = 0;
  int processes = 0;
  int cpu_weight = 0;
};

// A cgroup v2 of one task's own, below `folder`. Keeps a path and no descriptor, so that
// whoever measures the task keeps none open. Its functions may be called by any thread, also
// when another one has removed it meanwhile. cgroups(7), Linux 5.14 (cgroup.kill).
class Cgroup {
 public:
  // Named after the task's tag, by which the sweeper finds it.
  static Result<std::shared_ptr<const Cgroup>> Create(const std::string& folder, uint64_t tag, const CgroupLimits& limits);

  // For CLONE_INTO_CGROUP.
  Result<UniqueFd> Open() const noexcept;

  // Whether memory ran out (and the kernel ended the whole task), or a fork was refused.
  bool MemoryExhausted() const noexcept;
  bool ProcessesExhausted() const noexcept;

  // False as long as any process is in it. A zombie is none.
  bool Remove() const noexcept;

  // Kills every process in it at once, those that fork meanwhile included, and removes it.
  // False when some outlived SIGKILL and the time allowed.
  bool End(int timeout_ms) const noexcept;

  explicit Cgroup(std::string path, const CgroupLimits& limits) : path_(std::move(path)), limits_(limits) {}

 private:
  Status Set(const char* file, uint64_t value) const noexcept;
  uint64_t Event(const char* file, const char* name) const noexcept;
  void WaitForChange(int timeout_ms) const noexcept;

  const std::string path_;
  const CgroupLimits limits_;
};

// Ends and removes the cgroups below `folder` of all tasks of a family. How many are left.
int EndCgroups(const std::string& folder, TagFamily family, int timeout_ms) noexcept;

// Whether the folder carries systemd's mark of a delegated cgroup.
bool CgroupDelegated(const std::string& folder) noexcept;

// Makes a cgroup below `folder`, starts a child in it, and removes it: all that a task needs
// of one. ENOTSUP: it lacks cgroup.kill. Nothing stays behind.
Status TryCgroup(const std::string& folder) noexcept;

}  // namespace kernel
