#include "launch.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <deque>
#include <list>
#include <map>
#include <mutex>

#include "clone.h"
#include "descriptors.h"
#include "leftovers.h"
#include "usage.h"

namespace kernel {
namespace {

constexpr size_t kChildStackBytes = 128 * 1024;
constexpr int kLeftoversTimeoutMs = 5000;
constexpr int kMeasureEveryMs = 50;

// What the child reads and where it leaves why it failed. Lives on the launcher's stack:
// that thread stands still until the child has exec'ed or ended.
struct ChildWork {
  Restrictions restrictions;
  const char* path;
  char* const* argv;
  char* const* envp;
  volatile int failed_step;
  volatile int failed_errno;
  const char* volatile failed_syscall;
};

void ChildMain(void* argument) noexcept {
  auto* work = static_cast<ChildWork*>(argument);
  Failure failure = RestrictForExec(work->restrictions);
  if (failure.status.ok()) {
    execve(work->path, work->argv, work->envp);
    failure = {Step::kExecve, Status::FromErrno("execve")};
  }
  work->failed_step = static_cast<int>(failure.step);
  work->failed_syscall = failure.status.syscall;
  work->failed_errno = failure.status.err;
  _exit(127);
}

Status AddPathByName(int ruleset_fd, const std::string& path, uint64_t access) noexcept {
  UniqueFd fd(open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!fd) return Status::FromErrno("open");
  return AddPathRule(ruleset_fd, fd.get(), access);
}

class Launcher {
 public:
  static Result<Launcher*> Get() noexcept {
    // Never destroyed: its threads run until the process ends.
    static Launcher* const launcher = new Launcher();
    if (!launcher->ready_.ok()) return Result<Launcher*>::Error(launcher->ready_);
    return Result<Launcher*>::Of(launcher);
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
  };

  Launcher() noexcept { ready_ = Start(); }

  Status Start() noexcept {
    null_device_.reset(open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!null_device_) return Status::FromErrno("open");
    epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
    if (!epoll_) return Status::FromErrno("epoll_create1");
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    void* map = mmap(nullptr, kChildStackBytes + page, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (map == MAP_FAILED) return Status::FromErrno("mmap");
    if (mprotect(map, page, PROT_NONE) != 0) return Status::FromErrno("mprotect");
    stack_ = static_cast<char*>(map) + page;
    Status started = StartThread("sallyport-launch", [](void* self) -> void* {
      static_cast<Launcher*>(self)->LaunchLoop();
    });
    if (!started.ok()) return started;
    started = StartThread("sallyport-reap", [](void* self) -> void* {
      static_cast<Launcher*>(self)->ReapLoop();
    });
    if (!started.ok()) return started;
    return StartThread("sallyport-watch", [](void* self) -> void* {
      static_cast<Launcher*>(self)->WatchLoop();
    });
  }

  // Every signal stays blocked in these threads: the process's own handlers belong to
  // Node's, and a child cloned from here starts with none pending.
  Status StartThread(const char* name, void* (*loop)(void*)) noexcept {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    const int err = pthread_create(&thread, nullptr, loop, this);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (err != 0) return Status::Error(err, "pthread_create");
    pthread_setname_np(thread, name);
    pthread_detach(thread);
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
    ChildWork work{};
    Restrictions& restrictions = work.restrictions;
    restrictions.supervisor = getpid();
    if (!plan.cwd.empty()) restrictions.cwd = plan.cwd.c_str();
    restrictions.umask = plan.umask;

    std::vector<Limit> limits = plan.limits;
    auto task = std::make_shared<RunningTask>();
    UniqueFd ruleset;
    sock_fprog filter{};
    if (plan.confined) {
      Status guarded = EnsureSweeper(plan.sweeper);
      if (!guarded.ok()) return request.failed({{Step::kSweeper, guarded}, plan.sweeper});
      task->tag = NewTag();
      limits.push_back({kTagResource, task->tag, task->tag, true});
      restrictions.new_keyring = restrictions.no_capabilities = restrictions.no_new_privs = true;
      if (plan.handled.Any()) {
        std::string path;
        auto built = BuildRuleset(plan, request.path, &path);
        if (!built.ok()) return request.failed({{Step::kLandlock, built.status}, path});
        ruleset = std::move(built.value);
        restrictions.ruleset_fd = ruleset.get();
        restrictions.own_proc_access = plan.own_proc_access;
      }
      if (!plan.filter.empty()) {
        filter.len = static_cast<unsigned short>(plan.filter.size());
        filter.filter = const_cast<sock_filter*>(plan.filter.data());
        restrictions.filter = &filter;
      }
    }
    restrictions.limits = limits.data();
    restrictions.limit_count = limits.size();

    std::vector<int> descriptors;
    for (const UniqueFd& fd : request.descriptors) descriptors.push_back(fd ? fd.get() : null_device_.get());
    restrictions.descriptors = descriptors.data();
    restrictions.descriptor_count = descriptors.size();

    std::vector<char*> argv, envp;
    for (const std::string& word : request.argv) argv.push_back(const_cast<char*>(word.c_str()));
    for (const std::string& entry : plan.environment) envp.push_back(const_cast<char*>(entry.c_str()));
    argv.push_back(nullptr);
    envp.push_back(nullptr);
    work.path = request.path.c_str();
    work.argv = argv.data();
    work.envp = envp.data();

    auto child = CloneChild(ChildMain, &work, stack_, kChildStackBytes);
    if (!child.ok()) return request.failed({{Step::kClone, child.status}, ""});
    task->pid = child.value.pid;
    task->pidfd = std::move(child.value.pidfd);
    if (work.failed_errno != 0) {
      (void)PidfdWait(task->pidfd.get(), true);
      Failure failure{static_cast<Step>(work.failed_step), Status::Error(work.failed_errno, work.failed_syscall)};
      const std::string& path = failure.step == Step::kCwd ? plan.cwd : request.path;
      return request.failed({failure, failure.step == Step::kCwd || failure.step == Step::kExecve ? path : ""});
    }
    const std::string proc = "/proc/" + std::to_string(task->pid);
    task->proc.reset(open(proc.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));

    task->memory_bytes = plan.memory_bytes;
    task->processes = plan.processes;
    if (task->Bounded()) Bound(task);
    request.descriptors.clear();  // the task has its own now: ours would hide its end of file
    request.started(task);
    Watch(std::move(task), std::move(request.ended));
  }

  // Before a task is started there must be someone who ends what it starts, should we be
  // killed. One sweeper serves all tasks of this process.
  Status EnsureSweeper(const std::string& program) {
    if (sweeper_.pidfd && !PidfdExited(sweeper_.pidfd.get(), 0)) return Status::Ok();
    if (sweeper_.pidfd) (void)PidfdWait(sweeper_.pidfd.get(), true);
    auto pipe = Pipe(false);
    if (!pipe.ok()) return pipe.status;
    const TagFamily family = OwnTags();
    char tag[20], mask[20];
    snprintf(tag, sizeof(tag), "%llx", static_cast<unsigned long long>(family.tag));
    snprintf(mask, sizeof(mask), "%llx", static_cast<unsigned long long>(family.mask));
    char* const argv[] = {const_cast<char*>(program.c_str()), tag, mask, nullptr};
    char* const envp[] = {nullptr};
    int descriptors[] = {pipe.value.theirs.get(), null_device_.get(), null_device_.get()};
    ChildWork work{};
    work.restrictions.outlives_supervisor = true;
    work.restrictions.cwd = "/";
    work.restrictions.descriptors = descriptors;
    work.restrictions.descriptor_count = 3;
    work.path = program.c_str();
    work.argv = argv;
    work.envp = envp;
    auto child = CloneChild(ChildMain, &work, stack_, kChildStackBytes);
    if (!child.ok()) return child.status;
    if (work.failed_errno != 0) {
      (void)PidfdWait(child.value.pidfd.get(), true);
      return Status::Error(work.failed_errno, work.failed_syscall);
    }
    sweeper_ = std::move(child.value);
    lifeline_ = std::move(pipe.value.ours);
    return Status::Ok();
  }

  // A ruleset is per launch: the child adds its own /proc/<pid> to it, and one domain
  // shared by two tasks would let them trace each other.
  Result<UniqueFd> BuildRuleset(const PreparedPlan& plan, const std::string& program, std::string* path) {
    auto ruleset = CreateRuleset(plan.handled);
    if (!ruleset.ok()) return ruleset;
    for (const PathRule& rule : plan.path_rules) {
      Status added = rule.opened ? AddPathRule(ruleset.value.get(), rule.opened->get(), rule.access)
                                 : AddPathByName(ruleset.value.get(), rule.path, rule.access);
      if (!added.ok()) {
        *path = rule.path;
        return {added, UniqueFd()};
      }
    }
    Status runnable = AddPathByName(ruleset.value.get(), program, plan.program_access);
    if (!runnable.ok()) {
      *path = program;
      return {runnable, UniqueFd()};
    }
    for (const auto& [port, access] : plan.port_rules) {
      Status added = AddPortRule(ruleset.value.get(), port, access);
      if (!added.ok()) return {added, UniqueFd()};
    }
    return ruleset;
  }

  void Bound(std::shared_ptr<RunningTask> task) {
    {
      std::lock_guard<std::mutex> lock(bounded_mutex_);
      bounded_.push_back(std::move(task));
    }
    bounded_wake_.notify_one();
  }

  // Holds tasks to the bounds that the kernel offers for one process or one user only. Its
  // own thread: killing a thousand processes must not keep other tasks' ends waiting.
  [[noreturn]] void WatchLoop() {
    for (;;) {
      std::vector<std::shared_ptr<RunningTask>> now;
      {
        std::unique_lock<std::mutex> lock(bounded_mutex_);
        bounded_wake_.wait(lock, [this] { return !bounded_.empty(); });
        bounded_.remove_if([](const auto& task) { return PidfdExited(task->pidfd.get(), 0); });
        now.assign(bounded_.begin(), bounded_.end());
      }
      if (now.empty()) continue;
      const auto usage = MeasureTagged(OwnTags());
      for (const auto& task : now) {
        auto found = usage.find(task->tag);
        if (found != usage.end()) HoldToBounds(*task, found->second);
      }
      usleep(kMeasureEveryMs * 1000);
    }
  }

  static void HoldToBounds(RunningTask& task, const Usage& usage) {
    const bool memory = task.memory_bytes != 0 && usage.memory_bytes > task.memory_bytes;
    const bool processes = task.processes != 0 && usage.processes > task.processes;
    if (!memory && !processes) return;
    task.exceeded = memory ? Exceeded::kMemoryBytes : Exceeded::kProcesses;
    (void)EndTagged(OneTag(task.tag), kLeftoversTimeoutMs);
  }

  void Watch(std::shared_ptr<RunningTask> task, std::function<void(TaskEnd)> ended) {
    const int fd = task->pidfd.get();
    auto* watched = new Watched{std::move(task), std::move(ended)};
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
      epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, watched->task->pidfd.get(), nullptr);
      Finish(watched);
    }
  }

  void Finish(Watched* watched) {
    TaskEnd end;
    const RunningTask& task = *watched->task;
    const bool alone = NothingStartedSince(task.pid);
    auto exit = PidfdWait(task.pidfd.get(), true);
    if (exit.ok()) end.exit = exit.value;
    if (task.tag != 0 && !alone) end.survivors = EndTagged(OneTag(task.tag), kLeftoversTimeoutMs);
    end.exceeded = task.exceeded;
    watched->ended(end);
    delete watched;
  }

  Status ready_;
  UniqueFd null_device_;
  UniqueFd epoll_;
  char* stack_ = nullptr;
  Child sweeper_;      // the launcher thread's
  UniqueFd lifeline_;  // closes when this process ends, which is what the sweeper waits for
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<LaunchRequest> queue_;
  std::mutex bounded_mutex_;
  std::condition_variable bounded_wake_;
  std::list<std::shared_ptr<RunningTask>> bounded_;
};

}  // namespace

Status PreparedPlan::AddSystemPath(const std::string& path, uint64_t access) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<const UniqueFd>> opened;
  std::lock_guard<std::mutex> lock(mutex);
  auto& entry = opened[path];
  if (!entry) {
    UniqueFd fd(open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!fd) return Status::FromErrno("open");
    entry = std::make_shared<const UniqueFd>(std::move(fd));
  }
  path_rules.push_back({path, access, entry});
  return Status::Ok();
}

Status Launch(LaunchRequest request) {
  auto launcher = Launcher::Get();
  if (!launcher.ok()) return launcher.status;
  launcher.value->Queue(std::move(request));
  return Status::Ok();
}

}  // namespace kernel
