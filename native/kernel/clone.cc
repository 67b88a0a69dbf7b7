#include "clone.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

#include "pidfd.h"
#include "uapi.h"

namespace kernel {
namespace {

constexpr uint64_t kFlags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD;

struct Clone3Args {
  uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

// clone3 with a stack of the child's own needs the jump to the child's function to be
// made before anything touches the stack, so a few instructions are ours.
long Clone3(Clone3Args* args, void (*function)(void*) noexcept, void* argument) noexcept {
#if defined(__x86_64__)
  long result;
  register void (*fn)(void*) noexcept asm("r12") = function;
  register void* arg asm("r13") = argument;
  asm volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"
      "mov %%r13, %%rdi\n\t"
      "call *%%r12\n\t"
      "hlt\n"
      "1:"
      : "=a"(result)
      : "a"(__NR_clone3), "D"(args), "S"(sizeof(*args)), "r"(fn), "r"(arg)
      : "rcx", "r11", "memory", "cc");
  return result;
#elif defined(__aarch64__)
  register long x8 asm("x8") = __NR_clone3;
  register long x0 asm("x0") = reinterpret_cast<long>(args);
  register long x1 asm("x1") = sizeof(*args);
  register void (*fn)(void*) noexcept asm("x9") = function;
  register void* arg asm("x10") = argument;
  asm volatile(
      "svc #0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x29, xzr\n\t"
      "mov x0, x10\n\t"
      "blr x9\n\t"
      "brk #0\n"
      "1:"
      : "+r"(x0)
      : "r"(x8), "r"(x1), "r"(fn), "r"(arg)
      : "memory", "cc");
  return x0;
#else
#error "Sallyport runs on x86_64 and aarch64"
#endif
}

struct Entry {
  void (*main)(void*) noexcept;
  void* argument;
  int cgroup_fd;
  volatile int cgroup_errno;
};

// What CLONE_INTO_CGROUP does, done by the child itself: "0" is whoever writes it.
bool EnterCgroup(int cgroup_fd) noexcept {
  const int procs = openat(cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
  return procs >= 0 && write(procs, "0", 1) == 1;
}

int EnterFromClone(void* given) {
  auto* entry = static_cast<Entry*>(given);
  if (entry->cgroup_fd >= 0 && !EnterCgroup(entry->cgroup_fd)) {
    entry->cgroup_errno = errno;
    _exit(127);
  }
  entry->main(entry->argument);
  return 127;
}

}  // namespace

Result<Child> CloneChild(void (*main)(void*) noexcept, void* argument, char* stack, size_t stack_bytes, const CloneOptions& options) noexcept {
  int pidfd = -1;
  Clone3Args args{};
  args.flags = kFlags | options.namespaces;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  args.stack = reinterpret_cast<uint64_t>(stack);
  args.stack_size = stack_bytes;
  if (options.cgroup_fd >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(options.cgroup_fd);
  }
  long pid = Clone3(&args, main, argument);
  if (pid == -ENOSYS || pid == -EPERM) {
    Entry entry{main, argument, options.cgroup_fd, 0};
    pid = clone(EnterFromClone, stack + stack_bytes, static_cast<int>(kFlags | options.namespaces) | SIGCHLD, &entry, &pidfd);
    if (pid < 0) return {Status::FromErrno("clone"), {}};
    if (entry.cgroup_errno != 0) {
      UniqueFd ended(pidfd);
      (void)PidfdWait(ended.get(), true);
      return {Status::Error(entry.cgroup_errno, "cgroup.procs"), {}};
    }
  }
  if (pid < 0) return {Status::Error(static_cast<int>(-pid), "clone3"), {}};
  return {Status::Ok(), {static_cast<pid_t>(pid), UniqueFd(pidfd)}};
}

Result<Child> CloneChildOnce(void (*main)(void*) noexcept, void* argument, const CloneOptions& options) noexcept {
  constexpr size_t kStackBytes = 64 * 1024;
  void* stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return {Status::FromErrno("mmap"), {}};
  uint64_t all = ~uint64_t{0}, before = 0;  // by the call's own number: libc keeps two signals out of its sets
  syscall(__NR_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
  auto child = CloneChild(main, argument, static_cast<char*>(stack), kStackBytes, options);
  syscall(__NR_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof(before));
  munmap(stack, kStackBytes);
  return child;
}

}  // namespace kernel
