#include "leftovers.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "clock.h"
#include "pidfd.h"
#include "small_file.h"
#include "unique_fd.h"

namespace kernel {
namespace {

// The hard limit as everybody may read it, in /proc/<pid>/limits: for a supervisor whose real and
// effective ids differ, which prlimit(2) refuses. 0 when it cannot be told.
uint64_t TagInLimitsFile(pid_t pid) noexcept {
  char path[40], text[2048];
  snprintf(path, sizeof(path), "/proc/%d/limits", pid);
  if (!ReadSmallFile(path, text)) return 0;
  const char* row = strstr(text, "Max realtime timeout");
  unsigned long long soft = 0, hard = 0;
  return row != nullptr && sscanf(row, "Max realtime timeout %llu %llu", &soft, &hard) == 2 ? hard : 0;
}

// The number that was last given to a process or thread, the fifth field of /proc/loadavg;
// -1 when it cannot be read.
pid_t LastPid() noexcept {
  char text[128];
  if (!ReadSmallFile("/proc/loadavg", text)) return -1;
  const char* last = strrchr(text, ' ');
  return last == nullptr ? -1 : static_cast<pid_t>(strtol(last + 1, nullptr, 10));
}

// True when there was a living process to signal.
bool EndOne(pid_t pid, TagFamily family) noexcept {
  auto pidfd = PidfdOpen(pid);
  // The pid may have been given to another process since we looked: ask again, now that
  // the descriptor holds the process we mean.
  if (!pidfd.ok() || !family.Holds(TagOf(pid))) return false;
  const int fd = pidfd.value.get();
  if (!PidfdExited(fd, 0)) return PidfdSendSignal(fd, SIGKILL).ok();
  // A zombie. Ours to take away when we are its new parent: as pid 1 or a subreaper.
  (void)PidfdWait(fd, false);
  return false;
}

// One look at every process; how many living ones carried a tag of the family.
int EndInOnePass(DIR* proc, TagFamily family, pid_t self) noexcept {
  int found = 0;
  rewinddir(proc);
  while (dirent* entry = readdir(proc)) {
    char* end;
    const long pid = strtol(entry->d_name, &end, 10);
    if (*end != '\0' || pid <= 0 || pid == self || !family.Holds(TagOf(static_cast<pid_t>(pid)))) continue;
    if (EndOne(static_cast<pid_t>(pid), family)) found++;
  }
  return found;
}

// A process can fork behind our look and end before it arrives, again and again: with luck
// it is passed by once, not this often.
constexpr int kEmptyLooks = 64;

}  // namespace

bool NothingStartedSince(pid_t pid) noexcept { return LastPid() == pid; }

// 61: clear of RLIM_INFINITY and of any time; 60 to 30: the supervisor; 29 to 0: the task.
constexpr uint64_t kMark = 1ull << 61;
constexpr int kTaskBits = 30;
constexpr uint64_t kTaskMask = (1ull << kTaskBits) - 1;

TagFamily OwnTags() noexcept {
  static const uint64_t supervisor = [] {
    uint32_t random = 0;
    while (getrandom(&random, sizeof(random), 0) != static_cast<ssize_t>(sizeof(random))) {
    }
    return uint64_t{random >> 1};
  }();
  return {kMark | supervisor << kTaskBits, ~kTaskMask};
}

uint64_t NewTag() noexcept {
  // Comes round after a billion tasks, when those that had these numbers are long gone.
  static std::atomic<uint64_t> next{0};
  return OwnTags().tag | (next.fetch_add(1) & kTaskMask);
}

int EndTagged(TagFamily family, int timeout_ms) noexcept {
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return 1;  // we cannot know
  const pid_t self = getpid();
  const int64_t deadline = NowMs() + timeout_ms;
  int found = 0;
  for (int empty = 0; empty < kEmptyLooks;) {
    const pid_t last = LastPid();
    found = EndInOnePass(proc, family, self);
    empty = found == 0 ? empty + 1 : 0;
    // Nobody was started while we looked, so nobody was passed by.
    if (empty > 0 && last > 0 && LastPid() == last) break;
    if (NowMs() >= deadline) {
      found = found > 0 ? found : 1;  // neither found nor ruled out
      break;
    }
    if (found > 0) usleep(200);  // a killed process takes a moment to end
  }
  closedir(proc);
  return found;
}

bool AdoptsOrphans() noexcept {
  int subreaper = 0;
  return getpid() == 1 || (prctl(PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0) == 0 && subreaper != 0);
}

uint64_t TagOf(pid_t pid) noexcept {
  rlimit64 value;
  if (syscall(__NR_prlimit64, pid, kTagResource, nullptr, &value) == 0) return value.rlim_max;
  return errno == EPERM ? TagInLimitsFile(pid) : 0;
}

std::map<uint64_t, std::vector<pid_t>> PidsByTag(TagFamily family) {
  std::map<uint64_t, std::vector<pid_t>> pids;
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return pids;
  while (dirent* entry = readdir(proc)) {
    const long pid = strtol(entry->d_name, nullptr, 10);
    const uint64_t tag = pid > 0 ? TagOf(static_cast<pid_t>(pid)) : 0;
    if (family.Holds(tag)) pids[tag].push_back(static_cast<pid_t>(pid));
  }
  closedir(proc);
  return pids;
}

bool ProcIsWhole() noexcept {
  char self[24] = {};
  if (readlink("/proc/self", self, sizeof(self) - 1) < 0 || strtol(self, nullptr, 10) != getpid()) return false;
  UniqueFd file(open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  FILE* mounts = file ? fdopen(file.release(), "re") : nullptr;
  if (mounts == nullptr) return false;
  bool whole = true;
  char line[4096];
  while (fgets(line, sizeof(line), mounts) != nullptr) {
    const bool is_proc = strstr(line, " /proc ") != nullptr && strstr(line, " - proc ") != nullptr;
    // hidepid=1 still lists every process.
    if (is_proc) whole = strstr(line, "hidepid=") == nullptr || strstr(line, "hidepid=1") != nullptr || strstr(line, "hidepid=noaccess") != nullptr;
  }
  fclose(mounts);
  return whole;  // of the mount on top
}

}  // namespace kernel
