#include "each_thread.h"

#include <dirent.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

#include "self_stat.h"

#if defined(__x86_64__)
// x86-64 has no way back from a handler but SA_RESTORER, and libc's restorer is private.
extern "C" void sallyport_sigreturn() __attribute__((visibility("hidden")));
asm(".text\n"
    ".balign 16\n"
    ".hidden sallyport_sigreturn\n"
    ".globl sallyport_sigreturn\n"
    ".type sallyport_sigreturn, @function\n"
    "sallyport_sigreturn:\n"
    "  mov $15, %eax\n"  // __NR_rt_sigreturn
    "  syscall\n"
    ".size sallyport_sigreturn, .-sallyport_sigreturn\n");
#endif

namespace kernel {

namespace {

// SIGSETXID of glibc, SIGCANCEL of musl. The inspector's signal thread blocks every
// signal but the two that libc keeps for itself and lets no program block.
constexpr int kSignal = 33;
constexpr int kAnswerWithinSeconds = 5;
constexpr int kMostLooks = 1000;

// The kernel's struct sigaction; libc's has another layout, and libc's sigaction(3)
// refuses this signal. The same on every architecture that defines SA_RESTORER.
struct KernelSigaction {
  void (*handler)(int, siginfo_t*, void*);
  unsigned long flags;
  void (*restorer)();
  uint64_t mask;
};

struct {
  ThreadCall call;
  const void* argument;
  Status status;
  std::atomic<pid_t> target;  // whose turn it is; taken back to 0 by whoever gets there first
  std::atomic<uint32_t> answered;
  KernelSigaction previous;
} request;
static_assert(sizeof request.answered == sizeof(uint32_t), "a futex is a 32-bit word");

pid_t CurrentThread() noexcept { return static_cast<pid_t>(syscall(SYS_gettid)); }

void Handle(int signal, siginfo_t* info, void* context) {
  if (info->si_code == SI_QUEUE && info->si_value.sival_ptr == &request) {
    int saved = errno;
    pid_t self = CurrentThread();
    if (request.target.compare_exchange_strong(self, 0)) {
      request.status = request.call(request.argument);
      request.answered.store(1, std::memory_order_release);
      syscall(SYS_futex, &request.answered, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }
    errno = saved;
    return;
  }
  // Libc's own use of the signal goes on working meanwhile.
  auto previous = reinterpret_cast<uintptr_t>(request.previous.handler);
  if (previous != reinterpret_cast<uintptr_t>(SIG_DFL) && previous != reinterpret_cast<uintptr_t>(SIG_IGN)) {
    request.previous.handler(signal, info, context);
  }
}

Status Sigaction(const KernelSigaction* next, KernelSigaction* previous) noexcept {
  if (syscall(SYS_rt_sigaction, kSignal, next, previous, sizeof(uint64_t)) != 0) {
    return Status::FromErrno("rt_sigaction");
  }
  return Status::Ok();
}

Status InstallHandler() noexcept {
  KernelSigaction ours{};
  ours.handler = Handle;
  ours.flags = SA_SIGINFO | SA_RESTART;
#if defined(__x86_64__)
  ours.flags |= 0x04000000;  // SA_RESTORER
  ours.restorer = sallyport_sigreturn;
#endif
  KernelSigaction found{};
  Status status = Sigaction(nullptr, &found);
  if (!status.ok()) return status;
  // Ours may still be there, left by a call that one thread never answered.
  if (found.handler != Handle) request.previous = found;
  return Sigaction(&ours, nullptr);
}

// The signal carries a value and SI_QUEUE rather than SI_TKILL: should it be
// delivered after libc's handler is back, that one ignores it.
Status Ask(pid_t tid) noexcept {
  request.answered.store(0);
  request.target.store(tid);
  siginfo_t info;
  memset(&info, 0, sizeof info);
  info.si_signo = kSignal;
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_ptr = &request;
  if (syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, kSignal, &info) != 0) {
    Status status = Status::FromErrno("rt_tgsigqueueinfo");
    request.target.store(0);
    return status;
  }

  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  timespec deadline = {now.tv_sec + kAnswerWithinSeconds, now.tv_nsec};
  while (request.answered.load(std::memory_order_acquire) == 0) {
    long done = syscall(SYS_futex, &request.answered, FUTEX_WAIT_BITSET_PRIVATE, 0, &deadline, nullptr,
                        FUTEX_BITSET_MATCH_ANY);
    bool late = done != 0 && errno == ETIMEDOUT;
    // Taking the turn back means that the thread never will: `argument` may go away.
    if (late && request.target.exchange(0) == tid) {
      bool ended = syscall(SYS_tgkill, getpid(), tid, 0) != 0;
      return Status::Error(ended ? ESRCH : ETIMEDOUT, "rt_tgsigqueueinfo");
    }
    if (late) deadline.tv_sec += kAnswerWithinSeconds;  // it is at work right now
  }
  return request.status;
}

Status ListThreads(std::vector<pid_t>* out) noexcept {
  out->clear();
  DIR* folder = opendir("/proc/self/task");
  if (folder == nullptr) return Status::FromErrno("open");
  errno = 0;
  while (dirent* entry = readdir(folder)) {
    if (entry->d_name[0] != '.') out->push_back(static_cast<pid_t>(strtol(entry->d_name, nullptr, 10)));
  }
  Status status = errno == 0 ? Status::Ok() : Status::FromErrno("getdents64");
  closedir(folder);
  return status;
}

EachThreadResult AskAll(ThreadCall call, const void* argument, bool* unanswered) noexcept {
  pid_t self = CurrentThread();
  EachThreadResult result;
  result.tid = self;
  result.status = call(argument);
  if (!result.status.ok()) return result;

  request.call = call;
  request.argument = argument;
  std::vector<pid_t> reached{self}, listed;
  int quiet = 0;
  for (int look = 0; quiet < 2; look++) {
    auto stat = ReadSelfStat();
    result.status = stat.ok() ? ListThreads(&listed) : stat.status;
    if (result.status.ok() && look == kMostLooks) result.status = Status::Error(EAGAIN, "getdents64");
    if (!result.status.ok()) return result;
    // The kernel cuts the listing short when the thread it stands at ends: only a
    // listing as long as the thread count is a whole one.
    quiet = listed.size() >= stat.value.threads ? quiet + 1 : 0;
    for (pid_t tid : listed) {
      if (std::find(reached.begin(), reached.end(), tid) != reached.end()) continue;
      quiet = 0;
      result.status = Ask(tid);
      if (result.status.err == ESRCH) continue;  // it ended first
      result.tid = tid;
      if (result.status.err == ETIMEDOUT) *unanswered = true;
      if (!result.status.ok()) return result;
      reached.push_back(tid);
    }
  }
  result.status = Status::Ok();
  result.tid = 0;
  result.threads = static_cast<int>(reached.size());
  return result;
}

}  // namespace

EachThreadResult OnEachThread(ThreadCall call, const void* argument) noexcept {
  static std::mutex one_at_a_time;
  std::lock_guard<std::mutex> guard(one_at_a_time);
  EachThreadResult result;
  result.status = InstallHandler();
  if (!result.status.ok()) return result;
  bool unanswered = false;
  result = AskAll(call, argument, &unanswered);
  // A signal still pending on a thread must never meet the default action, which ends the process.
  if (!unanswered) {
    Status restored = Sigaction(&request.previous, nullptr);
    if (result.status.ok()) result.status = restored;
  }
  return result;
}

}  // namespace kernel
