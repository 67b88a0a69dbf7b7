#include "launch.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <iterator>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <map>
#include <mutex>

#include "capabilities.h"
#include "clone.h"
#include "descriptors.h"
#include "exec.h"
#include "leftovers.h"
#include "uapi.h"

namespace kernel {
namespace {

constexpr size_t kChildStackBytes = 128 * 1024;
constexpr int kLeftoversTimeoutMs = 5000;
constexpr int kMostTries = 4;
constexpr uint64_t kWriteFile = 1ull << 1;  // LANDLOCK_ACCESS_FS_WRITE_FILE
constexpr int kRemovalTimeoutMs = 120'000;

// A rule is about a file, not about its name: the /proc inside is not ours.
bool IsOfProc(const std::string& path) noexcept { return path == "/proc" || path.compare(0, 6, "/proc/") == 0; }

// Every signal stays blocked in our threads: the process's own handlers belong to Node's, and a
// child cloned from one of them starts with none pending.
Status StartThread(const char* name, void* (*body)(void*), void* argument) noexcept {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const int err = pthread_create(&thread, nullptr, body, argument);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (err != 0) return Status::Error(err, "pthread_create");
  pthread_setname_np(thread, name);
  pthread_detach(thread);
  return Status::Ok();
}

UniqueFd OpenNullDevice() noexcept { return UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC)); }

// CAP_KILL. Asked for each launch: a supervisor can drop what it had.
bool MaySignalAnyone() noexcept {
  auto now = GetCapabilitiesOnCurrentThread();
  return now.ok() && (now.value.effective & (uint64_t{1} << CAP_KILL)) != 0;
}

class Launcher {
 public:
  static Result<Launcher*> Get() noexcept {
    static std::mutex mutex;
    // Never destroyed, for its threads run until the process ends. One that could not be started
    // whole, for want of threads say, is started further by the next launch.
    static auto* launcher = new Launcher();
    std::lock_guard<std::mutex> lock(mutex);
    Status started = launcher->Start();
    return started.ok() ? Result<Launcher*>::Of(launcher) : Result<Launcher*>::Error(started);
  }

  void Queue(LaunchRequest request) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      queue_.push_back(std::move(request));
    }
    wake_.notify_one();
  }

 private:
  struct Watched {
    std::shared_ptr<RunningTask> task;
    std::function<void(TaskEnd)> ended;
    TaskEnd end;
  };

  Status Start() noexcept {
    if (!epoll_) epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
    if (!epoll_) return Status::FromErrno("epoll_create1");
    if (stack_ == nullptr) {
      const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
      void* map = mmap(nullptr, kChildStackBytes + page, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
      if (map == MAP_FAILED) return Status::FromErrno("mmap");
      if (mprotect(map, page, PROT_NONE) != 0) {
        Status failed = Status::FromErrno("mprotect");
        munmap(map, kChildStackBytes + page);
        return failed;
      }
      stack_ = static_cast<char*>(map) + page;
    }
    struct {
      const char* name;
      void* (*body)(void*);
    } constexpr kThreads[] = {
        {"sallyport-launch", [](void* self) -> void* { static_cast<Launcher*>(self)->LaunchLoop(); }},
        {"sallyport-reap", [](void* self) -> void* { static_cast<Launcher*>(self)->ReapLoop(); }},
        {"sallyport-watch", [](void* self) -> void* { static_cast<Launcher*>(self)->watch_.LookLoop(); }},
        {"sallyport-disk", [](void* self) -> void* { static_cast<Launcher*>(self)->watch_.DiskLoop(); }},
    };
    for (; threads_ < std::size(kThreads); threads_++) {
      Status started = StartThread(kThreads[threads_].name, kThreads[threads_].body, this);
      if (!started.ok()) return started;
    }
    return Status::Ok();
  }

  [[noreturn]] void LaunchLoop() {
    for (;;) {
      LaunchRequest request;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [this] { return !queue_.empty(); });
        request = std::move(queue_.front());
        queue_.pop_front();
      }
      LaunchOne(std::move(request));
    }
  }

  void LaunchOne(LaunchRequest request) {
    const PreparedPlan& plan = *request.plan;
    ExecWork work{};
    Restrictions& restrictions = work.restrictions;
    restrictions.supervisor = getpid();
    if (!plan.cwd.empty()) restrictions.cwd = plan.cwd.c_str();
    restrictions.umask = plan.umask;
    if (plan.identity) {
      // A task that we could not signal must not be started.
      if (!MaySignalAnyone()) return request.failed({{Step::kIdentity, Status::Error(EPERM, "capget")}, ""});
      restrictions.identity = &*plan.identity;
    }

    std::vector<Limit> limits = plan.limits;
    auto task = std::make_shared<RunningTask>();
    UniqueFd ruleset;
    // Whoever is told finds nothing of it left.
    const auto fail = [&](LaunchFailure failure) {
      ruleset.reset();
      task->scratch.reset();
      task->pidfd.reset();
      request.descriptors.clear();
      request.failed(std::move(failure));
    };
    sock_fprog filter{};
    if (plan.confined || !plan.scratch_in.empty()) {
      Status guarded = EnsureSweeper(plan);
      if (!guarded.ok()) return fail({{Step::kSweeper, guarded}, plan.sweeper});
    }
    if (!plan.scratch_in.empty()) {
      auto made = MakeScratch(plan);
      if (!made.ok()) return fail({{Step::kScratch, made.status}, plan.scratch_in});
      task->scratch = std::move(made.value);
      // By name where the task has mounts of its own: a folder held open here is one of ours, with all above it.
      if (plan.cwd.empty() && !plan.stage.empty()) restrictions.cwd = task->scratch->path().c_str();
      else if (plan.cwd.empty()) restrictions.cwd_fd = task->scratch->folder();
    }
    std::shared_ptr<OwnPlaces> places;
    if (plan.confined) {
      if (plan.own_modes) {
        places = std::make_shared<OwnPlaces>();
        places->uid = plan.identity ? plan.identity->uid : geteuid();
      }
      task->tag = NewTag();
      limits.push_back({kTagResource, task->tag, task->tag, true});
      restrictions.new_keyring = restrictions.no_capabilities = restrictions.no_new_privs = true;
      if (plan.handled.Any()) {
        std::string path;
        auto built = BuildRuleset(plan, request.path, task->scratch.get(), places.get(), &path);
        if (!built.ok()) return fail({{Step::kLandlock, built.status}, path});
        ruleset = std::move(built.value);
        restrictions.ruleset_fd = ruleset.get();
        restrictions.own_proc_access = plan.own_proc_access;
        if (!plan.unlisted.empty()) restrictions.unlisted = plan.unlisted.c_str();
        restrictions.scoped_signals = (plan.handled.scoped & kScopeSignal) != 0;
      }
      const bool traced = request.calls != nullptr && request.calls->trace != nullptr;
      const std::vector<sock_filter>& installed = traced ? request.calls->traced_filter : plan.filter;
      if (!installed.empty()) {
        filter.len = static_cast<unsigned short>(installed.size());
        filter.filter = const_cast<sock_filter*>(installed.data());
        restrictions.filter = &filter;
      }
    }
    restrictions.limits = limits.data();
    restrictions.limit_count = limits.size();

    std::vector<int> descriptors;
    for (UniqueFd& fd : request.descriptors) {
      // Each task's own: flags of a shared one would be a channel between tasks.
      if (!fd) fd = OpenNullDevice();
      if (!fd) return fail({{Step::kDescriptors, Status::FromErrno("open")}, "/dev/null"});
      descriptors.push_back(fd.get());
    }
    std::vector<char*> argv, envp;
    for (const std::string& word : request.argv) argv.push_back(const_cast<char*>(word.c_str()));
    std::vector<std::string> environment = plan.environment;
    if (task->scratch) {
      for (const auto& [name, below] : plan.scratch_variables) environment.push_back(name + "=" + task->scratch->path() + below);
    }
    for (const std::string& entry : environment) envp.push_back(const_cast<char*>(entry.c_str()));
    argv.push_back(nullptr);
    envp.push_back(nullptr);
    work.path = request.path.c_str();
    work.argv = argv.data();
    work.envp = envp.data();

    UniqueFd cgroup_fd;
    if (plan.own_cgroup) {
      Status made = MakeCgroup(plan, task.get(), &cgroup_fd);
      if (!made.ok()) return fail({{Step::kCgroup, made}, plan.cgroup_folder});
    }
    if (task->tag != 0) task->bounds = BoundsOf(*task, plan);

    restrictions.sends_listener = restrictions.filter != nullptr && (request.calls != nullptr || places != nullptr || plan.asks_to_start);
    if (restrictions.sends_listener) descriptors.push_back(-1);
    restrictions.descriptors = descriptors.data();
    restrictions.descriptor_count = descriptors.size();

    LaunchFailure failure;
    for (int tries = 0; tries < kMostTries; tries++) {
      UniqueFd listener_socket;  // closed when this returns: the thread at its other end learns of a child that failed
      if (restrictions.sends_listener) {
        auto socket = AnswerFrom(request, places, task->bounds);
        if (!socket.ok()) {
          if (task->cgroup) (void)task->cgroup->Remove();
          return fail({{Step::kSeccomp, socket.status}, ""});
        }
        listener_socket = std::move(socket.value);
        descriptors.back() = listener_socket.get();
      }
      failure = plan.stage.empty() ? Start(&work, cgroup_fd.get(), task.get()) : StartInNamespaces(plan, &work, cgroup_fd.get(), task.get());
      // Another task has descriptors on their way, so many that this one may send none.
      if (failure.failure.status.err != ETOOMANYREFS || !watch_.EndWhoHoardsDescriptors()) break;
    }
    if (!failure.failure.status.ok()) {
      if (task->cgroup) (void)task->cgroup->End(kLeftoversTimeoutMs);  // rmdir(2) can find it busy for a moment yet
      if (failure.failure.step == Step::kCwd && failure.path.empty()) failure.path = plan.cwd;
      if (failure.failure.step == Step::kExecve) failure.path = request.path;
      return fail(std::move(failure));
    }

    if (task->bounds) watch_.Add(task->bounds);
    request.descriptors.clear();  // the task has its own now: ours would hide its end of file
    request.started(task);
    Watch(std::move(task), std::move(request.ended));
  }

  LaunchFailure Start(ExecWork* work, int cgroup_fd, RunningTask* task) {
    CloneOptions options;
    options.cgroup_fd = cgroup_fd;
    auto child = CloneChild(RestrictAndExec, work, stack_, kChildStackBytes, options);
    if (!child.ok()) return {{Step::kClone, child.status}, ""};
    task->pid = child.value.pid;
    task->pidfd = std::move(child.value.pidfd);
    if (work->failed_errno != 0) {
      (void)PidfdWait(task->pidfd.get(), true);
      return {work->failure(), ""};
    }
    const std::string proc = "/proc/" + std::to_string(task->pid);
    task->proc.reset(open(proc.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    return {};
  }

  LaunchFailure StartInNamespaces(const PreparedPlan& plan, ExecWork* work, int cgroup_fd, RunningTask* task) {
    StageRequest request;
    request.program = plan.stage;
    request.user_namespace = plan.user_namespace;
    request.work = work;
    for (const PathRule& rule : plan.path_rules) {
      if (IsOfProc(rule.path)) request.rules.push_back({rule.path, rule.access, rule.optional});
    }
    Failure failure = StartStaged(request, stack_, kChildStackBytes, cgroup_fd, &task->staged);
    if (!failure.status.ok()) return {failure, task->staged.path};
    task->pid = task->staged.pid;
    task->pidfd = std::move(task->staged.pidfd);
    return {};
  }

  // Starts the thread that answers the task's calls, and returns the socket by which the
  // child sends it their descriptor: this thread stands still then, the other one does not.
  Result<UniqueFd> AnswerFrom(const LaunchRequest& request, std::shared_ptr<const OwnPlaces> places, const std::shared_ptr<Bounds>& bounds) {
    struct Work {
      UniqueFd socket;
      std::shared_ptr<const CallPlan> calls;
      std::shared_ptr<const OwnPlaces> places;
      std::shared_ptr<const PreparedPlan> plan;
      Room room;
    };
    auto pair = ListenerSocketPair();
    if (!pair.ok()) return Result<UniqueFd>::Error(pair.status);
    auto* work = new Work{std::move(pair.value.ours), request.calls ? request.calls : std::make_shared<CallPlan>(), std::move(places), request.plan, {}};
    if (request.plan->asks_to_start) {
      work->room = {[bounds](bool thread) { return bounds->MayStart(thread); }, [bounds] { return bounds->MayStartSession(); }, [bounds](uint64_t bytes) { bounds->shared_bytes += bytes; }, [bounds] { bounds->locks++; }};
    }
    Status started = StartThread("sallyport-calls", [](void* argument) -> void* {
      std::unique_ptr<Work> work(static_cast<Work*>(argument));
      auto listener = ReceiveListener(work->socket.get());
      work->socket.reset();
      if (listener.ok()) AnswerCalls(std::move(listener.value), *work->calls, work->places.get(), work->room, work->plan->filter);
      return nullptr;
    }, work);
    if (started.ok()) return {Status::Ok(), std::move(pair.value.theirs)};
    delete work;
    return Result<UniqueFd>::Error(started);
  }

  static Status MakeCgroup(const PreparedPlan& plan, RunningTask* task, UniqueFd* folder) {
    auto made = Cgroup::Create(plan.cgroup_folder, task->tag, plan.cgroup_limits);
    if (!made.ok()) return made.status;
    auto opened = made.value->Open();
    if (!opened.ok()) {
      (void)made.value->Remove();
      return opened.status;
    }
    task->cgroup = std::move(made.value);
    *folder = std::move(opened.value);
    return Status::Ok();
  }

  // Before a task is started there must be someone who ends what it starts, should we be
  // killed. One sweeper serves all tasks of this process.
  Status EnsureSweeper(const PreparedPlan& plan) {
    const std::string& program = plan.sweeper;
    if (sweeper_.pidfd && !PidfdExited(sweeper_.pidfd.get(), 0)) return Status::Ok();
    if (sweeper_.pidfd) (void)PidfdWait(sweeper_.pidfd.get(), true);
    swept_root_ = nullptr;
    auto pair = SocketPair();
    if (!pair.ok()) return pair.status;
    const TagFamily family = OwnTags();
    char tag[20], mask[20];
    snprintf(tag, sizeof(tag), "%llx", static_cast<unsigned long long>(family.tag));
    snprintf(mask, sizeof(mask), "%llx", static_cast<unsigned long long>(family.mask));
    char* const argv[] = {const_cast<char*>(program.c_str()), tag, mask, const_cast<char*>(plan.cgroup_folder.c_str()), nullptr};
    char* const envp[] = {nullptr};
    const UniqueFd null_device = OpenNullDevice();
    if (!null_device) return Status::FromErrno("open");
    int descriptors[] = {pair.value.theirs.get(), null_device.get(), null_device.get()};
    ExecWork work{};
    work.restrictions.outlives_supervisor = true;
    work.restrictions.cwd = "/";
    work.restrictions.descriptors = descriptors;
    work.restrictions.descriptor_count = 3;
    work.path = program.c_str();
    work.argv = argv;
    work.envp = envp;
    auto child = CloneChild(RestrictAndExec, &work, stack_, kChildStackBytes);
    if (!child.ok()) return child.status;
    if (work.failed_errno != 0) {
      (void)PidfdWait(child.value.pidfd.get(), true);
      return Status::Error(work.failed_errno, work.failed_syscall);
    }
    sweeper_ = std::move(child.value);
    lifeline_ = std::move(pair.value.ours);
    return Status::Ok();
  }

  // The sweeper gets our scratch root as a descriptor, before there is anything in it: no path that
  // somebody could have put something else at by the time it looks.
  Result<std::shared_ptr<Scratch>> MakeScratch(const PreparedPlan& plan) {
    auto root = ScratchRoot::Get(plan.scratch_in);
    if (!root.ok()) return Result<std::shared_ptr<Scratch>>::Error(root.status);
    if (swept_root_ != root.value) {
      const std::string& name = root.value->name();
      auto told = SendDescriptor(lifeline_.get(), root.value->folder(), name.c_str(), name.size());
      if (!told.ok()) return Result<std::shared_ptr<Scratch>>::Error(told.status);
      swept_root_ = root.value;
    }
    return Scratch::Make(std::move(root.value), plan.identity ? &*plan.identity : nullptr);
  }

  // A ruleset is per launch: the child adds its own /proc/<pid> to it, and one domain
  // shared by two tasks would let them trace each other.
  Result<UniqueFd> BuildRuleset(const PreparedPlan& plan, const std::string& program, const Scratch* scratch, OwnPlaces* places, std::string* path) {
    auto ruleset = CreateRuleset(plan.handled);
    if (!ruleset.ok()) return ruleset;
    for (const PathRule& rule : plan.path_rules) {
      if (!plan.stage.empty() && IsOfProc(rule.path)) continue;
      UniqueFd opened;
      Status added = rule.opened ? AddPathRule(ruleset.value.get(), rule.opened->get(), rule.access)
                                 : AddPathRuleByName(ruleset.value.get(), rule.path.c_str(), rule.access, false, &opened);
      if (added.err == ENOENT && rule.optional) continue;
      if (!added.ok()) {
        *path = rule.path;
        return {added, UniqueFd()};
      }
      // The very folder that the rule is on, whatever has its name by then.
      if (places != nullptr && opened && !rule.optional && (rule.access & kWriteFile) != 0) places->opened.push_back(std::move(opened));
    }
    Status runnable = AddPathRuleByName(ruleset.value.get(), program.c_str(), plan.program_access, true);
    if (!runnable.ok()) {
      *path = program;
      return {runnable, UniqueFd()};
    }
    if (scratch != nullptr) {
      Status own = AddPathRule(ruleset.value.get(), scratch->folder(), plan.scratch_access);
      if (!own.ok()) {
        *path = scratch->path();
        return {own, UniqueFd()};
      }
      if (places != nullptr) places->opened.emplace_back(fcntl(scratch->folder(), F_DUPFD_CLOEXEC, 0));
    }
    return ruleset;
  }

  static std::shared_ptr<Bounds> BoundsOf(const RunningTask& task, const PreparedPlan& plan) {
    auto bounds = std::make_shared<Bounds>();
    bounds->tag = task.tag;
    bounds->memory_bytes = plan.memory_bytes;
    bounds->processes = plan.processes;
    bounds->open_files = plan.open_files;
    bounds->cgroup = task.cgroup;
    bounds->cgroup_counts_memory = task.cgroup && plan.cgroup_limits.memory_bytes != 0;
    bounds->cpu_seconds = plan.cpu_seconds;
    bounds->scratch_bytes = plan.scratch_bytes;
    bounds->scratch_files = plan.scratch_files;
    bounds->scratch = task.scratch;
    if (plan.file_limit_is_scratch) bounds->file_limit = Exceeded::kScratchBytes;
    return bounds;
  }

  void Watch(std::shared_ptr<RunningTask> task, std::function<void(TaskEnd)> ended) {
    const int fd = task->end_fd();
    auto* watched = new Watched{std::move(task), std::move(ended), {}};
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = watched;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0) return;
    // Out of watches (fs.epoll.max_user_watches): the task must not run unseen.
    (void)watched->task->Signal(SIGKILL);
    Finish(watched);
  }

  [[noreturn]] void ReapLoop() {
    for (;;) {
      epoll_event event;
      if (epoll_wait(epoll_.get(), &event, 1, -1) != 1) continue;
      auto* watched = static_cast<Watched*>(event.data.ptr);
      epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, watched->task->end_fd(), nullptr);
      Finish(watched);
    }
  }

  void Finish(Watched* watched) {
    const RunningTask& task = *watched->task;
    const bool staged = static_cast<bool>(task.staged.init.pidfd);
    // With pid 1 the kernel has ended all of its namespace: nobody can be left.
    const bool alone = task.tag == 0 || staged || NothingStartedSince(task.pid);
    auto exit = PidfdWait(task.end_fd(), true);
    watched->end.exit_known = exit.ok();
    if (exit.ok()) watched->end.exit = exit.value;
    if (staged && StagedExit(task.staged, &watched->end.exit)) watched->end.exit_known = true;
    if (task.bounds) task.bounds->EndedByKernel(watched->end.exit);
    if (task.cgroup ? task.cgroup->Remove() && (alone || !AdoptsOrphans()) : alone) return Tell(watched);
    // On a thread of its own: a task that will not be gone must not keep others waiting.
    auto sweep = [](void* argument) -> void* {
      auto* watched = static_cast<Watched*>(argument);
      watched->end.survivors = watched->task->EndAll(kLeftoversTimeoutMs);
      Tell(watched);
      return nullptr;
    };
    if (!StartThread("sallyport-sweep", sweep, watched).ok()) sweep(watched);
  }

  // Last of all, so that nothing of the task is open any more when it is told.
  static void Tell(Watched* watched) {
    if (const auto& bounds = watched->task->bounds) {
      watched->end.exceeded = bounds->exceeded;
      bounds->ended = true;
    }
    const TaskEnd end = watched->end;
    const auto ended = std::move(watched->ended);
    delete watched;
    ended(end);
  }

  UniqueFd epoll_;
  char* stack_ = nullptr;
  size_t threads_ = 0;  // that run
  Child sweeper_;      // the launcher thread's
  UniqueFd lifeline_;  // closes when this process ends, which is what the sweeper waits for
  std::shared_ptr<const ScratchRoot> swept_root_;  // the one that the sweeper knows of
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<LaunchRequest> queue_;
  BoundsWatch watch_;
};

}  // namespace

Status PreparedPlan::AddSystemPath(const std::string& path, uint64_t access) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<const UniqueFd>> opened;
  std::lock_guard<std::mutex> lock(mutex);
  auto& entry = opened[path];
  if (!entry) {
    UniqueFd fd(open(path.c_str(), O_PATH | O_CLOEXEC));
    struct stat st;
    if (!fd || fstat(fd.get(), &st) != 0) return Status::FromErrno("open");
    // Files of the system are replaced, /etc/passwd with every new user.
    if (!S_ISDIR(st.st_mode)) {
      path_rules.push_back({path, access, nullptr, true});
      return Status::Ok();
    }
    entry = std::make_shared<const UniqueFd>(std::move(fd));
  }
  path_rules.push_back({path, access, entry, true});
  return Status::Ok();
}

int RunningTask::EndAll(int timeout_ms) const noexcept {
  if (staged.init.pidfd) {
    (void)PidfdSendSignal(staged.init.pidfd.get(), SIGKILL);
    if (!PidfdExited(staged.init.pidfd.get(), timeout_ms)) return 1;
  }
  if (cgroup && cgroup->End(timeout_ms) && !AdoptsOrphans()) return 0;
  return tag == 0 ? 0 : EndTagged(OneTag(tag), timeout_ms);
}

void RemoveScratch(std::shared_ptr<Scratch> scratch, std::function<void(Emptied)> removed) {
  if (scratch->RemoveIfEmpty()) return removed({true, false, 0});
  struct Work {
    std::shared_ptr<Scratch> scratch;
    std::function<void(Emptied)> removed;
  };
  auto remove = [](void* argument) -> void* {
    std::unique_ptr<Work> work(static_cast<Work*>(argument));
    // Removing a million files is work: the event loop goes first.
    (void)setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), 10);
    const Emptied emptied = work->scratch->Remove(kRemovalTimeoutMs);
    work->scratch.reset();
    work->removed(emptied);
    return nullptr;
  };
  auto* work = new Work{std::move(scratch), std::move(removed)};
  // Not on the caller's thread, which may be the event loop's: what stays is the sweeper's.
  if (StartThread("sallyport-remove", remove, work).ok()) return;
  work->removed({false, true, 0});
  delete work;
}

Status Launch(LaunchRequest request) {
  auto launcher = Launcher::Get();
  if (!launcher.ok()) return launcher.status;
  launcher.value->Queue(std::move(request));
  return Status::Ok();
}

}  // namespace kernel
