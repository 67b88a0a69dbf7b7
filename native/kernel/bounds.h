#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "cgroup.h"
#include "disk_usage.h"
#include "pidfd.h"
#include "scratch.h"
#include "usage.h"

namespace kernel {

// A bound that no rlimit can hold for a task as a whole, and that it went past.
enum class Exceeded : int { kNothing, kMemoryBytes, kProcesses, kOpenFiles, kCpuSeconds, kFileBytes, kScratchBytes, kScratchFiles };

// How many processes and threads a task can have by now: as many as were there at the last
// look, and those that it was let start since that look began. Never less than there are, but
// for those that were let start and have not come so far. Any thread.
class ProcessCount {
 public:
  // False: there may be `most` already. Look, and ask again.
  bool Admit(int most) noexcept;
  // Before and after a look.
  uint32_t Begin() noexcept;
  void Looked(uint32_t begun, int found) noexcept;

 private:
  std::mutex mutex_;
  int found_ = 1;
  uint32_t begun_ = 0;
  uint32_t started_ = 0;
};

// What one task is held to. Without its descriptors, so that whoever measures keeps none open.
struct Bounds {
  uint64_t tag = 0;
  uint64_t memory_bytes = 0;  // 0: no bound, each of them
  int processes = 0;
  ProcessCount process_count;
  int64_t open_files = 0;
  uint64_t cpu_seconds = 0;
  uint64_t scratch_bytes = 0;
  int64_t scratch_files = 0;
  Exceeded file_limit = Exceeded::kFileBytes;  // what RLIMIT_FSIZE stands for
  std::weak_ptr<Scratch> scratch;
  DiskUsage disk;                       // the disk watch's
  int64_t disk_due_us = 0;
  std::map<pid_t, uint64_t> cpu_seen;   // the watch's: clock ticks of each process, and of those that are gone
  uint64_t cpu_gone = 0;
  std::shared_ptr<const Cgroup> cgroup;  // null: none
  std::atomic<Exceeded> exceeded{Exceeded::kNothing};
  std::atomic<bool> ended{false};

  // Whether the task has room for one more process; whoever has none is ended, as who went past any
  // other bound. While one asks, all others of the task that want to start one wait: a fork bomb stands still.
  bool MayStart();
  // Holds it to what was measured; the two below are of what it used, and of its scratch folder.
  void HoldTo(const Usage& usage);
  void HoldToDisk(const std::vector<pid_t>& pids);
  // What the kernel itself held it to, and what that did to it: known when its main process has ended.
  void EndedByKernel(const Exit& exit);

 private:
  bool PastCpu(const Usage& usage);
  void EndFor(Exceeded exceeded);
};

// Looks at tasks every 50 ms, as long as they run, and holds them to the bounds that the kernel offers for one
// process or one user only. Two threads' work, neither of which ever returns.
class BoundsWatch {
 public:
  void Add(const std::shared_ptr<Bounds>& bounds);
  // A thread of its own: killing a thousand processes must not keep other tasks' ends waiting.
  [[noreturn]] void LookLoop();
  // And one for scratch folders: a large tree must not keep other looks waiting.
  [[noreturn]] void DiskLoop();

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::list<std::shared_ptr<Bounds>> all_;
  std::list<std::shared_ptr<Bounds>> filling_;  // those with a scratch folder
};

}  // namespace kernel
