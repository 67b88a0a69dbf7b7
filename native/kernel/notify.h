#pragma once

#include <linux/seccomp.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "result.h"
#include "unique_fd.h"

namespace kernel {

// One call of a task that stands still until it is answered. What it points to is the
// task's memory, which other threads of the task rewrite as they like: only the numbers
// in `data` are fixed.
using Notification = seccomp_notif;

// The supervisor's end of a filter that was installed with a listener. A call is answered
// by an errno, a value or a descriptor; whoever does not answer because it has died leaves
// ENOSYS behind. Scope: one filter, all processes under it. seccomp_unotify(2). Linux 5.14
// for descriptors that are the answer.
class Listener {
 public:
  explicit Listener(UniqueFd fd) noexcept;

  int fd() const noexcept { return fd_.get(); }

  // Call it when poll(2) says POLLIN, and only then: it would wait. ENOENT when the caller
  // has ended or was interrupted meanwhile.
  Status Receive(Notification* into) const noexcept;

  // Whether the caller still waits. To be asked behind every look at its memory or /proc
  // entry: its number may belong to another process by then.
  bool Waits(const Notification& call) const noexcept;

  // The call returns `value`, or fails with -value when it is negative.
  void Answer(uint64_t id, int64_t value) const noexcept;

  // Lets the kernel make the call, with whatever the task's memory holds by then. Only for
  // calls that something else decides about.
  void Continue(uint64_t id) const noexcept;

  // Puts a duplicate of `fd` into the task and makes its number the answer, in one step.
  // On failure the call has not been answered.
  Status AnswerWithDescriptor(uint64_t id, int fd, bool close_on_exec) const noexcept;

 private:
  UniqueFd fd_;
};

// Copies bytes of a thread's memory; fewer than `length` at the end of a mapping. Needs
// what ptrace(2) needs: the same user and a dumpable target, or CAP_SYS_PTRACE.
Result<size_t> ReadMemory(pid_t tid, uint64_t address, void* into, size_t length) noexcept;

// Writes where it can: a task that cannot be looked into is left as it is.
void WriteMemory(pid_t tid, uint64_t address, const void* from, size_t length) noexcept;

// Whether this kernel and what contains us have all of the above.
bool NotificationsAvailable() noexcept;

// A socket pair by which a child sends its listener: `ours` receives.
struct ListenerPair {
  UniqueFd ours;
  UniqueFd theirs;
};
Result<ListenerPair> ListenerSocketPair() noexcept;

// Waits for the listener. ENODATA when the child ended before it had one.
Result<UniqueFd> ReceiveListener(int socket) noexcept;

}  // namespace kernel
