#include "clone.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

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
};

int EnterFromClone(void* entry) {
  auto [main, argument] = *static_cast<Entry*>(entry);
  main(argument);
  return 127;
}

}  // namespace

Result<Child> CloneChild(void (*main)(void*) noexcept, void* argument, char* stack, size_t stack_bytes) noexcept {
  int pidfd = -1;
  Clone3Args args{};
  args.flags = kFlags;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  args.stack = reinterpret_cast<uint64_t>(stack);
  args.stack_size = stack_bytes;
  long pid = Clone3(&args, main, argument);
  if (pid == -ENOSYS || pid == -EPERM) {
    Entry entry{main, argument};
    pid = clone(EnterFromClone, stack + stack_bytes, static_cast<int>(kFlags) | SIGCHLD, &entry, &pidfd);
    if (pid < 0) return {Status::FromErrno("clone"), {}};
  }
  if (pid < 0) return {Status::Error(static_cast<int>(-pid), "clone3"), {}};
  return {Status::Ok(), {static_cast<pid_t>(pid), UniqueFd(pidfd)}};
}

}  // namespace kernel
