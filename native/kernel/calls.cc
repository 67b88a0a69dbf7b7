#include "calls.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <optional>
#include <cstring>

#include "descriptors.h"
#include "uapi.h"

namespace kernel {
namespace {

constexpr char kHostsPath[] = "/etc/hosts";

// A file of its own for each open: two readers of one would share its offset. Sealed, since
// it cannot be opened for reading alone.
UniqueFd HostsFile(const std::string& text) noexcept {
  UniqueFd file = std::move(MemoryFile("hosts").value);
  if (!file) return file;
  const bool made = write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) && lseek(file.get(), 0, SEEK_SET) == 0 &&
                    fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0;
  if (!made) file.reset();
  return file;
}

class Calls {
 public:
  Calls(const Listener& listener, const CallPlan& plan, const OwnPlaces* places, const Room& room,
        const std::vector<sock_filter>& filter)
      : listener_(listener), plan_(plan), room_(room), filter_(filter), network_(plan.network, listener) {
    if (places != nullptr) modes_.emplace(*places, listener);
  }

  void Run() {
    std::vector<pollfd> polled;
    for (;;) {
      polled.assign(1, {listener_.fd(), POLLIN, 0});
      network_.AddPolled(&polled);
      if (poll(polled.data(), polled.size(), -1) < 0) {
        if (errno != EINTR) usleep(1000);  // no memory: it may come back
        continue;
      }
      const short news = polled[0].revents;
      if ((news & POLLIN) == 0 && news != 0) return;  // POLLHUP: nobody is left
      if (news != 0) One();
      for (size_t i = 1; i < polled.size(); i++) {
        if (polled[i].revents != 0) network_.Polled(polled[i].fd);
      }
    }
  }

 private:
  void One() {
    Notification call;
    if (!listener_.Receive(&call).ok()) return;
    // Without a trace whatever comes here is ours to answer: nothing else is sent to us.
    const uint32_t verdict = plan_.trace == nullptr ? SECCOMP_RET_USER_NOTIF : RunFilter(filter_, call.data);
    switch (verdict & SECCOMP_RET_ACTION_FULL) {
      case SECCOMP_RET_USER_NOTIF: return ByPlan(call);
      case SECCOMP_RET_ALLOW:
        // Landlock decides about the path, whatever has become of it since it was read here.
        Record(call, 0, "");
        return listener_.Continue(call.id);
      case SECCOMP_RET_ERRNO: {
        const int err = static_cast<int>(verdict & SECCOMP_RET_DATA);
        Record(call, err, "");
        return listener_.Answer(call.id, -err);
      }
      default: return listener_.Answer(call.id, -EPERM);
    }
  }

  void ByPlan(const Notification& call) {
    std::string target;
    int refused = 0;
    if (modes_ && FileModes::Is(call.data.nr)) {
      if (plan_.trace != nullptr) target = plan_.trace->Path(call);  // whoever has its answer may have another path there
      refused = modes_->Answer(call);
      if (refused != 0) Record(call, refused, std::move(target));
      return;
    }
    switch (call.data.nr) {
#ifdef __NR_fork
      case __NR_fork:
      case __NR_vfork:
#endif
      case __NR_clone: return NewProcess(call);
      case __NR_setsid: return NewSession(call);
      case __NR_fcntl: return Lock(call);
      case __NR_mmap: return SharedMapping(call);
      case __NR_rt_sigaction: return ChildHandler(call);
#ifdef __NR_open
      case __NR_open: return Open(call, 0);
#endif
      case __NR_openat: return Open(call, 1);
      case __NR_socket: refused = network_.Socket(call); break;
      case __NR_connect: refused = network_.Connect(call, &target); break;
      case __NR_bind: refused = network_.Bind(call, &target); break;
      case __NR_listen: refused = network_.Listen(call); break;
      default: refused = EPERM; listener_.Answer(call.id, -EPERM);
    }
    if (refused != 0) Record(call, refused, std::move(target));
  }

  // The kernel makes it: what decides are its flags, in registers, which the filter has examined.
  void NewProcess(const Notification& call) {
    if (room_.process && !room_.process(call.data.nr == __NR_clone && (call.data.args[0] & CLONE_THREAD) != 0)) return listener_.Answer(call.id, -EAGAIN);
    listener_.Continue(call.id);
  }

  void NewSession(const Notification& call) {
    if (room_.session && !room_.session()) return listener_.Answer(call.id, -EPERM);
    listener_.Continue(call.id);
  }

  // Length and flags are in registers, as they were examined.
  void SharedMapping(const Notification& call) {
    if (room_.shared_memory) room_.shared_memory(call.data.args[1]);
    listener_.Continue(call.id);
  }

  void Lock(const Notification& call) {
    if (room_.lock) room_.lock();
    listener_.Continue(call.id);
  }

  // A handler of SIGCHLD that is about to be set is given SA_RESTART. A signal that comes while a
  // call waits for us ends it with EINTR otherwise, which fork(2) never answers: dash, which
  // asks for no restart, gives up then. The memory is the task's own, and so is the harm of
  // having it changed meanwhile.
  void ChildHandler(const Notification& call) {
    struct {
      uint64_t handler;
      uint64_t flags;
    } action;
    const pid_t tid = static_cast<pid_t>(call.pid);
    const uint64_t address = call.data.args[1];
    auto got = ReadMemory(tid, address, &action, sizeof(action));
    if (got.ok() && got.value == sizeof(action) && (action.flags & SA_RESTART) == 0 && listener_.Waits(call)) {
      action.flags |= SA_RESTART;
      WriteMemory(tid, address + offsetof(decltype(action), flags), &action.flags, sizeof(action.flags));
    }
    listener_.Continue(call.id);
  }

  // Opening the hosts file gets ours; any other open is the kernel's to make. Its path may
  // have changed since it was read here, and then Landlock decides about what it has become,
  // as it does about every path: nothing is granted by letting it go on.
  void Open(const Notification& call, int path) {
    char read[sizeof(kHostsPath)];
    const int flags = static_cast<int>(call.data.args[path + 1]);
    const bool reads = (flags & (O_ACCMODE | O_CREAT | O_DIRECTORY | O_PATH)) == O_RDONLY;
    if (reads && !plan_.hosts.empty()) {
      auto got = ReadMemory(static_cast<pid_t>(call.pid), call.data.args[path], read, sizeof(read));
      if (got.ok() && got.value == sizeof(read) && memcmp(read, kHostsPath, sizeof(read)) == 0) {
        const UniqueFd file = HostsFile(plan_.hosts);
        if (!file) return listener_.Answer(call.id, -ENFILE);
        Status added = listener_.AnswerWithDescriptor(call.id, file.get(), (flags & O_CLOEXEC) != 0);
        if (!added.ok()) listener_.Answer(call.id, -added.err);
        return;
      }
    }
    Record(call, 0, "");
    listener_.Continue(call.id);
  }

  void Record(const Notification& call, int err, std::string text) {
    if (plan_.trace != nullptr) plan_.trace->Record(call, err, std::move(text));
  }

  const Listener& listener_;
  const CallPlan& plan_;
  const Room& room_;
  const std::vector<sock_filter>& filter_;
  Network network_;
  std::optional<FileModes> modes_;
};

}  // namespace

void AnswerCalls(UniqueFd fd, const CallPlan& plan, const OwnPlaces* places, const Room& room,
                 const std::vector<sock_filter>& filter) {
  const Listener listener(std::move(fd));
  Calls(listener, plan, places, room, filter).Run();
}

}  // namespace kernel
