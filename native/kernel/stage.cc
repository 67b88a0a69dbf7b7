#include "stage.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>

#include "descriptors.h"
#include "small_file.h"
#include "stage_layout.h"
#include "uapi.h"

namespace kernel {
namespace {

constexpr int kReportTimeoutMs = 60'000;  // a host so busy that this is too short runs nothing else either

class Packed {
 public:
  template <typename T>
  void Add(const T* from, size_t count) {
    bytes_.append(reinterpret_cast<const char*>(from), count * sizeof(T));
    bytes_.resize(StageAligned(bytes_.size()));
  }
  void AddString(const char* text) { bytes_.append(text, strlen(text) + 1); }

  Result<UniqueFd> ToFile() {
    const uint32_t bytes = static_cast<uint32_t>(bytes_.size());
    memcpy(&bytes_[offsetof(StageHeader, bytes)], &bytes, sizeof(bytes));
    auto made = MemoryFile("sallyport-stage");
    if (!made.ok()) return made;
    UniqueFd file = std::move(made.value);
    for (size_t done = 0; done < bytes_.size();) {
      const ssize_t written = write(file.get(), bytes_.data() + done, bytes_.size() - done);
      if (written < 0) return {Status::FromErrno("write"), UniqueFd()};
      done += static_cast<size_t>(written);
    }
    return {Status::Ok(), std::move(file)};
  }

 private:
  std::string bytes_;
};

size_t Count(char* const* list) noexcept {
  size_t count = 0;
  while (list[count] != nullptr) count++;
  return count;
}

Packed Pack(const StageRequest& request) {
  StageHeader header{};
  header.magic = kStageMagic;
  header.uid = geteuid();
  header.gid = getegid();
  header.flags = (request.user_namespace ? kStageUserNamespace : 0u) | (request.work == nullptr ? kStageOnlyTry : 0u);
  Packed packed;
  if (request.work == nullptr) {
    packed.Add(&header, 1);
    return packed;
  }
  const ExecWork& work = *request.work;
  const Restrictions& r = work.restrictions;
  header.flags |= (r.ruleset_fd >= 0 ? kStageHasRuleset : 0u) | (r.sends_listener ? kStageSendsListener : 0u) | (r.scoped_signals ? kStageScopedSignals : 0u);
  if (r.identity != nullptr) {
    header.flags |= kStageHasIdentity;
    header.task_uid = r.identity->uid;
    header.task_gid = r.identity->gid;
  }
  header.umask = r.umask;
  header.own_proc_access = r.own_proc_access;
  header.descriptors = static_cast<uint32_t>(r.descriptor_count);
  header.limits = static_cast<uint32_t>(r.limit_count);
  header.rules = static_cast<uint32_t>(request.rules.size());
  header.filter = r.filter == nullptr ? 0 : r.filter->len;
  header.argc = static_cast<uint32_t>(Count(work.argv));
  header.envc = static_cast<uint32_t>(Count(work.envp));
  packed.Add(&header, 1);
  packed.Add(r.limits, r.limit_count);
  for (const StageRule& rule : request.rules) {
    const uint64_t access = rule.access | (rule.optional ? kStageRuleOptional : 0);
    packed.Add(&access, 1);
  }
  if (r.filter != nullptr) packed.Add(r.filter->filter, r.filter->len);
  packed.AddString(work.path);
  packed.AddString(r.cwd == nullptr ? "/" : r.cwd);
  packed.AddString(r.unlisted == nullptr ? "" : r.unlisted);
  for (const StageRule& rule : request.rules) packed.AddString(rule.path.c_str());
  for (size_t i = 0; i < header.argc; i++) packed.AddString(work.argv[i]);
  for (size_t i = 0; i < header.envc; i++) packed.AddString(work.envp[i]);
  return packed;
}

// A Status points to a name that stays. The names are the stage's own, a handful.
const char* Kept(const char* name) {
  static std::mutex mutex;
  static std::set<std::string> names;
  std::lock_guard<std::mutex> lock(mutex);
  return names.emplace(name).first->c_str();
}

// The number by which we know the process, one that has ended included until it was waited for.
pid_t PidOf(int pidfd) noexcept {
  char path[40], text[256];
  snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
  if (!ReadSmallFile(path, text)) return 0;
  const char* line = strstr(text, "\nPid:");
  return line == nullptr ? 0 : static_cast<pid_t>(strtol(line + 5, nullptr, 10));
}

// Waits for the stage's first word. ENODATA: it ended without one.
Status ReceiveReport(int control, StageReport* report, UniqueFd* pidfd) noexcept {
  pollfd entry{control, POLLIN, 0};
  int ready;
  do {
    ready = poll(&entry, 1, kReportTimeoutMs);
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) return Status::Error(ETIMEDOUT, "poll");
  auto got = ReceiveDescriptor(control, report, sizeof(*report), pidfd);
  if (!got.ok()) return got.status;
  return got.value == sizeof(*report) ? Status::Ok() : Status::Error(ENODATA, "recvmsg");
}

Failure Start(const StageRequest& request, char* stack, size_t stack_bytes, int cgroup_fd, Staged* staged) {
  auto file = Pack(request).ToFile();
  if (!file.ok()) return {Step::kStage, file.status};
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) return {Step::kStage, Status::FromErrno("socketpair")};
  staged->control.reset(sockets[0]);
  UniqueFd theirs(sockets[1]);
  const UniqueFd null_device(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null_device) return {Step::kDescriptors, Status::FromErrno("open")};

  std::vector<int> descriptors{file.value.get(), theirs.get(), null_device.get()};
  if (request.work != nullptr) {
    const Restrictions& task = request.work->restrictions;
    if (task.ruleset_fd >= 0) descriptors[kRulesetFd] = task.ruleset_fd;
    descriptors.insert(descriptors.end(), task.descriptors, task.descriptors + task.descriptor_count);
  }
  char* const argv[] = {const_cast<char*>("sallyport-stage"), nullptr};
  char* const envp[] = {nullptr};
  ExecWork work{};
  work.restrictions.supervisor = getpid();
  work.restrictions.sets_up_namespaces = true;
  work.restrictions.no_new_privs = true;
  work.restrictions.cwd = "/";
  work.restrictions.descriptors = descriptors.data();
  work.restrictions.descriptor_count = descriptors.size();
  work.path = request.program.c_str();
  work.argv = argv;
  work.envp = envp;
  CloneOptions options;
  options.namespaces = CLONE_NEWPID | (request.user_namespace ? CLONE_NEWUSER : 0);
  options.cgroup_fd = cgroup_fd;
  auto init = stack == nullptr ? CloneChildOnce(RestrictAndExec, &work, options) : CloneChild(RestrictAndExec, &work, stack, stack_bytes, options);
  theirs.reset();
  if (!init.ok()) return {Step::kNamespaces, init.status};
  staged->init = std::move(init.value);
  if (work.failed_errno != 0) return {work.failure().step == Step::kExecve ? Step::kStage : work.failure().step, work.failure().status};

  StageReport report;
  Status received = ReceiveReport(staged->control.get(), &report, &staged->pidfd);
  if (!received.ok()) return {Step::kStage, received};
  if (report.err != 0) {
    report.path[sizeof(report.path) - 1] = report.syscall[sizeof(report.syscall) - 1] = '\0';
    staged->path = report.path;
    return {static_cast<Step>(report.step), Status::Error(report.err, Kept(report.syscall))};
  }
  if (request.work == nullptr) return {};
  if (!staged->pidfd) return {Step::kStage, Status::Error(ENODATA, "recvmsg")};
  staged->pid = PidOf(staged->pidfd.get());
  // The stage leaves the task its number until it hears this.
  if (send(staged->control.get(), "", 1, MSG_NOSIGNAL) != 1) return {Step::kStage, Status::FromErrno("send")};
  return {};
}

}  // namespace

Failure StartStaged(const StageRequest& request, char* stack, size_t stack_bytes, int cgroup_fd, Staged* staged) noexcept {
  Failure failure = Start(request, stack, stack_bytes, cgroup_fd, staged);
  if (failure.status.ok() || !staged->init.pidfd) return failure;
  (void)PidfdSendSignal(staged->init.pidfd.get(), SIGKILL);
  (void)PidfdWait(staged->init.pidfd.get(), true);
  return failure;
}

Failure TryStage(const std::string& program, bool user_namespace) noexcept {
  StageRequest request;
  request.program = program;
  request.user_namespace = user_namespace;
  Staged staged;
  Failure failure = StartStaged(request, nullptr, 0, -1, &staged);
  if (failure.status.ok()) (void)PidfdWait(staged.init.pidfd.get(), true);
  return failure;
}

bool StagedExit(const Staged& staged, Exit* exit) noexcept {
  StageEnd end;
  if (recv(staged.control.get(), &end, sizeof(end), MSG_DONTWAIT) != sizeof(end)) return false;
  *exit = {end.code, end.signal};
  return true;
}

}  // namespace kernel
