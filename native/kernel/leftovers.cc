#include "leftovers.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "pidfd.h"

namespace kernel {
namespace {

bool Carries(pid_t pid, TagFamily family) noexcept {
  rlimit64 value;
  if (syscall(__NR_prlimit64, pid, kTagResource, nullptr, &value) != 0) return false;
  return family.Holds(value.rlim_max);
}

// Stops it from starting more, whatever it does until the kill arrives.
void ForbidFork(pid_t pid) noexcept {
  rlimit64 none{0, 0};
  syscall(__NR_prlimit64, pid, RLIMIT_NPROC, &none, nullptr);
}

// True when a process was there that is not gone yet.
bool EndOne(pid_t pid, TagFamily family) noexcept {
  auto pidfd = PidfdOpen(pid);
  // The pid may have been given to another process since we looked: ask again, now
  // that the descriptor holds it.
  if (!pidfd.ok() || !Carries(pid, family)) return false;
  const int fd = pidfd.value.get();
  if (!PidfdExited(fd, 0)) {
    ForbidFork(pid);
    if (!PidfdSendSignal(fd, SIGKILL).ok()) return false;
    if (!PidfdExited(fd, 20)) return true;
  }
  // A zombie. Ours to take away when we are its new parent: as pid 1 or a subreaper.
  (void)PidfdWait(fd, false);
  return false;
}

int64_t NowMs() noexcept {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

// The number that was last given to a process or thread, the fifth field of /proc/loadavg;
// -1 when it cannot be read.
pid_t LastPid() noexcept {
  static const int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
  char text[128];
  const ssize_t length = pread(fd, text, sizeof(text) - 1, 0);
  if (length <= 0) return -1;
  text[length] = '\0';
  const char* last = strrchr(text, ' ');
  return last == nullptr ? -1 : static_cast<pid_t>(strtol(last + 1, nullptr, 10));
}

// One look at every process: how many carried the tag, and how many of them live on.
struct Pass {
  int found = 0;
  int alive = 0;
};

Pass EndInOnePass(DIR* proc, TagFamily family, pid_t self) noexcept {
  Pass pass;
  rewinddir(proc);
  while (dirent* entry = readdir(proc)) {
    char* end;
    long pid = strtol(entry->d_name, &end, 10);
    if (*end != '\0' || pid <= 0 || pid == self || !Carries(static_cast<pid_t>(pid), family)) continue;
    auto pidfd = PidfdOpen(static_cast<pid_t>(pid));
    if (pidfd.ok() && PidfdExited(pidfd.value.get(), 0)) {
      (void)PidfdWait(pidfd.value.get(), false);
      continue;
    }
    pass.found++;
    if (EndOne(static_cast<pid_t>(pid), family)) pass.alive++;
  }
  return pass;
}

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
  if (proc == nullptr) return 0;
  const pid_t self = getpid();
  const int64_t deadline = NowMs() + timeout_ms;
  Pass pass;
  // An empty look may have been passed by: a process forks behind it and ends before it
  // arrives. So nothing may have been started meanwhile, or a second look must be empty too.
  for (int empty = 0; empty < 2;) {
    const pid_t last = LastPid();
    pass = EndInOnePass(proc, family, self);
    empty = pass.found == 0 ? empty + 1 : 0;
    if (empty > 0 && last > 0 && LastPid() == last) break;
    if (pass.alive > 0 && NowMs() >= deadline) break;
  }
  closedir(proc);
  return pass.alive;
}

}  // namespace kernel
