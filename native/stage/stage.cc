// sallyport-stage: pid 1 of a task's PID namespace. Makes the other namespaces and a /proc that
// shows this one alone, starts the task under its restrictions, takes away what is orphaned, and
// ends when the task's main process does, which ends everything else inside. What it is to do lies in
// the file at descriptor 0: stage_layout.h. Reads nothing that a task could write.

#include <fcntl.h>
#include <linux/filter.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../kernel/capabilities.h"
#include "../kernel/clone.h"
#include "../kernel/descriptors.h"
#include "../kernel/dumpable.h"
#include "../kernel/exec.h"
#include "../kernel/landlock.h"
#include "../kernel/stage_layout.h"
#include "../kernel/uapi.h"

namespace {

using kernel::Failure;
using kernel::Status;
using kernel::Step;

constexpr size_t kStackBytes = 128 * 1024;

// Walks the request, which our own launcher wrote.
class Reader {
 public:
  explicit Reader(char* at) : at_(at) {}
  template <typename T>
  T* Take(size_t count) {
    T* taken = reinterpret_cast<T*>(at_);
    at_ += kernel::StageAligned(count * sizeof(T));
    return taken;
  }
  char* String() {
    char* text = at_;
    at_ += strlen(text) + 1;
    return text;
  }
  // With a null pointer behind the last one, as execve(2) takes it.
  std::vector<char*> Strings(size_t count) {
    std::vector<char*> texts;
    for (size_t i = 0; i < count; i++) texts.push_back(String());
    texts.push_back(nullptr);
    return texts;
  }

 private:
  char* at_;
};

[[noreturn]] void Fail(const Failure& failure, const char* path = "") {
  kernel::StageReport report{};
  report.step = static_cast<int32_t>(failure.step);
  report.err = failure.status.err;
  snprintf(report.syscall, sizeof(report.syscall), "%s", failure.status.syscall);
  snprintf(report.path, sizeof(report.path), "%s", path);
  (void)send(kernel::kReportFd, &report, sizeof(report), MSG_NOSIGNAL);
  _exit(1);
}

Status WriteFile(const char* path, const char* text) {
  kernel::UniqueFd file(open(path, O_WRONLY | O_CLOEXEC));
  if (!file) return Status::FromErrno("open");
  const ssize_t length = static_cast<ssize_t>(strlen(text));
  return write(file.get(), text, static_cast<size_t>(length)) == length ? Status::Ok() : Status::FromErrno("write");
}

// The supervisor's user and group, as themselves, and nobody else: files keep their owners, and
// there is no uid 0 inside that it is not outside. user_namespaces(7).
void MapUser(uint32_t uid, uint32_t gid) {
  char map[40];
  const auto write = [](const char* path, const char* text) {
    Status written = WriteFile(path, text);
    if (!written.ok()) Fail({Step::kUserMap, written}, path);
  };
  write("/proc/self/setgroups", "deny");
  snprintf(map, sizeof(map), "%u %u 1", uid, uid);
  write("/proc/self/uid_map", map);
  snprintf(map, sizeof(map), "%u %u 1", gid, gid);
  write("/proc/self/gid_map", map);
}

void MakeNamespaces() {
  // The network's has a loopback device that is down, and no other.
  if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP) != 0)
    Fail({Step::kNamespaces, Status::FromErrno("unshare")});
  // Nothing that is mounted here shows outside, and nothing outside from now on in here.
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) Fail({Step::kMounts, Status::FromErrno("mount")}, "/");
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) Fail({Step::kProc, Status::FromErrno("mount")}, "/proc");
  char self[8] = {};
  if (readlink("/proc/self", self, sizeof(self) - 1) != 1 || self[0] != '1') Fail({Step::kProc, Status::Error(EPERM, "readlink")}, "/proc/self");
}

void AddRules(Reader& strings, const uint64_t* access, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const char* path = strings.String();
    Status added = kernel::AddPathRuleByName(kernel::kRulesetFd, path, access[i] & ~kernel::kStageRuleOptional, false);
    if (added.ok() || (added.err == ENOENT && (access[i] & kernel::kStageRuleOptional) != 0)) continue;
    Fail({Step::kLandlock, added}, path);
  }
}

kernel::Child Start(kernel::ExecWork& work) {
  void* stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) Fail({Step::kClone, Status::FromErrno("mmap")});
  auto child = kernel::CloneChild(kernel::RestrictAndExec, &work, static_cast<char*>(stack), kStackBytes);
  if (!child.ok()) Fail({Step::kClone, child.status});
  if (work.failed_errno == 0) return std::move(child.value);
  const Failure failure = work.failure();
  Fail(failure, failure.step == Step::kExecve ? work.path : failure.step == Step::kCwd ? work.restrictions.cwd : "");
}

// Until the task's main process has ended: what its orphans end as is nobody's business.
kernel::StageEnd WaitFor(pid_t task) {
  for (;;) {
    siginfo_t info{};
    if (waitid(P_ALL, 0, &info, WEXITED | __WALL) != 0) {
      if (errno == EINTR) continue;
      return {0, SIGKILL};  // cannot be: it is ours
    }
    if (info.si_pid != task) continue;
    return info.si_code == CLD_EXITED ? kernel::StageEnd{info.si_status, 0} : kernel::StageEnd{0, info.si_status};
  }
}

}  // namespace

int main() {
  // Signals from inside never reach pid 1 without a handler, and from outside only SIGKILL and SIGSTOP.
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  // Set too late when the supervisor has ended meanwhile: then the socket's other end is closed.
  pollfd alive{kernel::kReportFd, 0, 0};
  if (poll(&alive, 1, 0) != 0) return 1;

  struct stat st;
  if (getpid() != 1 || fstat(kernel::kRequestFd, &st) != 0 || static_cast<size_t>(st.st_size) < sizeof(kernel::StageHeader)) return 2;
  void* map = mmap(nullptr, static_cast<size_t>(st.st_size), PROT_READ | PROT_WRITE, MAP_PRIVATE, kernel::kRequestFd, 0);
  if (map == MAP_FAILED) Fail({Step::kStage, Status::FromErrno("mmap")});
  Reader reader(static_cast<char*>(map));
  const auto& header = *reader.Take<kernel::StageHeader>(1);
  if (header.magic != kernel::kStageMagic || header.bytes != st.st_size) Fail({Step::kStage, Status::Error(EINVAL, "mmap")});
  const auto has = [&](uint32_t flag) { return (header.flags & flag) != 0; };

  if (has(kernel::kStageUserNamespace)) MapUser(header.uid, header.gid);
  // Not before: the map's files belong to root once this process cannot be looked into.
  if (Status closed = kernel::DisableDumpable(); !closed.ok()) Fail({Step::kStage, closed});
  MakeNamespaces();
  if (has(kernel::kStageOnlyTry)) Fail({Step::kStage, Status::Error(0, "")});

  const auto* limits = reader.Take<kernel::Limit>(header.limits);
  const auto* access = reader.Take<uint64_t>(header.rules);
  sock_fprog filter{};
  filter.len = static_cast<unsigned short>(header.filter);
  filter.filter = reader.Take<sock_filter>(header.filter);
  kernel::ExecWork work{};
  kernel::Restrictions& task = work.restrictions;
  const kernel::Identity identity{header.task_uid, header.task_gid};
  work.path = reader.String();
  task.cwd = reader.String();
  if (const char* unlisted = reader.String(); unlisted[0] != '\0') task.unlisted = unlisted;
  AddRules(reader, access, header.rules);
  const auto argv = reader.Strings(header.argc);
  const auto envp = reader.Strings(header.envc);
  work.argv = argv.data();
  work.envp = envp.data();
  task.supervisor = 1;
  task.identity = has(kernel::kStageHasIdentity) ? &identity : nullptr;
  task.umask = header.umask;
  task.limits = limits;
  task.limit_count = header.limits;
  task.new_keyring = task.no_capabilities = task.no_new_privs = true;
  task.ruleset_fd = has(kernel::kStageHasRuleset) ? kernel::kRulesetFd : -1;
  task.own_proc_access = header.own_proc_access;
  task.scoped_signals = has(kernel::kStageScopedSignals);
  task.filter = header.filter == 0 ? nullptr : &filter;
  task.sends_listener = has(kernel::kStageSendsListener);
  std::vector<int> descriptors;
  for (uint32_t i = 0; i < header.descriptors; i++) descriptors.push_back(kernel::kFirstTaskFd + static_cast<int>(i));
  task.descriptors = descriptors.data();
  task.descriptor_count = descriptors.size();

  const kernel::Child started = Start(work);
  // Held so that the task's Landlock rule on it stays bound to it.
  char proc[24];
  snprintf(proc, sizeof(proc), "/proc/%d", started.pid);
  const kernel::UniqueFd held(open(proc, O_PATH | O_DIRECTORY | O_CLOEXEC));
  kernel::StageReport report{};
  auto sent = kernel::SendDescriptor(kernel::kReportFd, started.pidfd.get(), &report, sizeof(report));
  if (!sent.ok()) Fail({Step::kStage, sent.status});

  // The task's end of a pipe is the task's alone, and what could be done with capabilities is done.
  for (uint32_t i = 0; i < header.descriptors; i++) close(kernel::kFirstTaskFd + static_cast<int>(i));
  close(kernel::kRulesetFd);
  close(kernel::kRequestFd);
  munmap(map, static_cast<size_t>(st.st_size));
  if (!kernel::DropCapabilitiesOnCurrentThread(0).ok()) return 1;

  // Until the launcher has asked for the task's number, the task keeps it.
  char heard;
  if (recv(kernel::kReportFd, &heard, 1, 0) != 1) return 1;

  const kernel::StageEnd end = WaitFor(started.pid);
  (void)send(kernel::kReportFd, &end, sizeof(end), MSG_NOSIGNAL);
  return 0;
}
