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
#include "host_memory.h"
#include "pidfd.h"
#include "scratch.h"
#include "usage.h"

namespace kernel {

// A bound that no rlimit can hold for a task as a whole, and that it went past.
enum class Exceeded : int { kNothing, kMemoryBytes, kProcesses, kOpenFiles, kCpuSeconds, kFileBytes, kScratchBytes, kScratchFiles };

// How many of something a task can have by now, processes and threads or sessions: as many as were there at the last
// look, and those that it was let start since that look began. Never less than there are, but
// for those that were let start and have not come so far. Any thread.
class Count {
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
  Count process_count;
  Count session_count;
  std::atomic<uint64_t> shared_bytes{0};  // of all shared mappings that it ever made
  std::atomic<uint64_t> locks{0};         // of parts of files: calls that may have made one
  HostMemory host_before{UINT64_MAX, UINT64_MAX};  // the watch's: the host's at its least since the task began
  int64_t open_files = 0;
  uint64_t cpu_seconds = 0;
  uint64_t scratch_bytes = 0;
  int64_t scratch_files = 0;
  Exceeded file_limit = Exceeded::kFileBytes;  // what RLIMIT_FSIZE stands for
  std::weak_ptr<Scratch> scratch;
  DiskUsage disk;                       // the disk watch's
  int64_t disk_due_us = 0;
  int64_t disk_soonest_us = 0;
  std::map<pid_t, uint64_t> cpu_seen;   // the watch's: clock ticks of each process, of those that are gone, and of those that came and went unseen
  uint64_t cpu_gone = 0;
  int64_t cpu_unseen_us = 0;
  int64_t looked_us = 0;
  std::atomic<uint32_t> forks{0};  // processes that it was let start
  uint32_t forks_seen = 0;
  std::shared_ptr<const Cgroup> cgroup;  // null: none
  bool cgroup_counts_memory = false;     // the kernel's own for it included
  std::atomic<Exceeded> exceeded{Exceeded::kNothing};
  std::atomic<bool> ended{false};

  // Whether the task has room for one more process; whoever has none is ended, as who went past any
  // other bound. While one asks, all others of the task that want to start one wait: a fork bomb stands still.
  bool MayStart(bool thread);
  // And for one more session; whoever has none is refused.
  bool MayStartSession();
  // Holds it to what was measured; the two below are of what it used, and of its scratch folder.
  void HoldTo(const Usage& usage, const HostMemory& host);
  void HoldToDisk(const std::vector<pid_t>& pids);
  // When it is time, or sooner when the file system has filled a good deal since.
  bool DiskIsDue(int64_t now_us);
  // As it went past what it may have open. For who keeps others from being started by it.
  void EndForDescriptors() { EndFor(Exceeded::kOpenFiles); }
  // What the kernel itself held it to, and what that did to it: known when its main process has ended.
  void EndedByKernel(const Exit& exit);

 private:
  bool PastCpu(const Usage& usage);
  uint64_t Hidden(const Usage& usage, const HostMemory& host);
  void EndFor(Exceeded exceeded);
};

// Looks at tasks every 50 ms, as long as they run, and holds them to the bounds that the kernel offers for one
// process or one user only. Two threads' work, neither of which ever returns.
class BoundsWatch {
 public:
  void Add(const std::shared_ptr<Bounds>& bounds);
  // Descriptors on their way count for all of the user's processes, and what one task has too many of keeps
  // every other from being started. Ends who has the most, if that is beyond reason; false: nobody has.
  bool EndWhoHoardsDescriptors();
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
