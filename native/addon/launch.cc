#include "../kernel/launch.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <mutex>

#include "../kernel/cgroup.h"
#include "../kernel/leftovers.h"
#include "convert.h"

namespace addon {
namespace {

// dispatch(id, 'started', pid, scratch) | (id, 'failed', step, systemError) | (id, 'ended', code, signal, survivors, exceeded) |
// (id, 'removed', whether all of it)
struct Event {
  enum Kind { kStarted, kFailed, kEnded, kRemoved } kind;
  uint32_t id;
  pid_t pid;
  kernel::LaunchFailure failure;
  kernel::TaskEnd end;
  std::string scratch;
  bool removed;
};

constexpr int kRemovalAtExitMs = 500;

// What one JavaScript environment has running. The launcher's threads come here with
// their news, also when that environment, a worker thread's say, has ended meanwhile.
class Tasks {
 public:
  void Open(Napi::Env env, Napi::Function dispatch) {
    std::lock_guard<std::mutex> lock(mutex_);
    dispatch_ = Napi::ThreadSafeFunction::New(env, dispatch, "sallyport", 0, 1);
    dispatch_.Unref(env);
    open_ = true;
  }

  bool IsOpen() {
    std::lock_guard<std::mutex> lock(mutex_);
    return open_;
  }

  // No news from here on. Ends what runs, and all that it started.
  void Close() {
    std::lock_guard<std::mutex> lock(mutex_);
    open_ = false;
    EndAllLocked();
  }

  // `last`: no other environment of this process goes on.
  void EndAll(bool last) {
    std::lock_guard<std::mutex> lock(mutex_);
    EndAllLocked();
    const auto root = last ? kernel::ScratchRoot::Current() : nullptr;
    if (root) root->RemoveIfEmpty();
  }

  // While tasks are pending the event loop has a reason to go on. JavaScript thread only.
  void Launched(Napi::Env env) {
    if (pending_++ == 0) dispatch_.Ref(env);
  }

  bool Signal(uint32_t id, int signal, bool to_group, kernel::Status* status) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = running_.find(id);
    if (found == running_.end()) return false;
    *status = found->second->Signal(signal, to_group);
    if (status->err == ESRCH) *status = kernel::Status::Ok();
    return true;
  }

  void Started(uint32_t id, std::shared_ptr<kernel::RunningTask> task) {
    std::lock_guard<std::mutex> lock(mutex_);
    running_[id] = task;
    if (!open_) return (void)task->Signal(SIGKILL);  // nobody is left to supervise it
    const pid_t pid = task->pid;
    const std::string scratch = task->scratch ? task->scratch->path() : "";
    PostLocked(new Event{Event::kStarted, id, pid, {}, {}, scratch, false});
  }

  void Failed(uint32_t id, kernel::LaunchFailure failure) {
    std::lock_guard<std::mutex> lock(mutex_);
    PostLocked(new Event{Event::kFailed, id, 0, std::move(failure), {}, "", false});
  }

  void Ended(uint32_t id, kernel::TaskEnd end) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = running_.find(id);
    if (found != running_.end()) {
      if (open_ && found->second->scratch) scratches_[id] = found->second->scratch;
      if (!open_ && found->second->scratch) kernel::RemoveScratch(found->second->scratch, [](kernel::Emptied) {});
      running_.erase(found);
    }
    PostLocked(new Event{Event::kEnded, id, 0, {}, end, "", false});
  }

  // Whoever was told of a task's end has taken what it wants from the scratch folder. JavaScript thread only.
  void RemoveScratch(Napi::Env env, uint32_t id, std::shared_ptr<Tasks> self) {
    std::shared_ptr<kernel::Scratch> scratch;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      auto found = scratches_.find(id);
      if (found == scratches_.end()) return;
      scratch = std::move(found->second);
      scratches_.erase(found);
    }
    Launched(env);
    kernel::RemoveScratch(std::move(scratch), [self, id](kernel::Emptied emptied) { self->Removed(id, emptied.empty); });
  }

  void Removed(uint32_t id, bool all) {
    std::lock_guard<std::mutex> lock(mutex_);
    PostLocked(new Event{Event::kRemoved, id, 0, {}, {}, "", all});
  }

 private:
  void PostLocked(Event* event) {
    auto deliver = [this](Napi::Env env, Napi::Function dispatch, Event* posted) {
      Deliver(env, dispatch, posted);
    };
    if (!open_ || dispatch_.NonBlockingCall(event, deliver) != napi_ok) delete event;
  }

  void Deliver(Napi::Env env, Napi::Function dispatch, Event* event) {
    std::unique_ptr<Event> owned(event);
    auto id = Napi::Number::New(env, event->id);
    auto number = [env](int value) { return Napi::Number::New(env, value); };
    if (event->kind == Event::kStarted) {
      dispatch.Call({id, Napi::String::New(env, "started"), number(event->pid), Napi::String::New(env, event->scratch)});
      return;
    }
    if (--pending_ == 0) dispatch_.Unref(env);
    if (event->kind == Event::kRemoved) {
      dispatch.Call({id, Napi::String::New(env, "removed"), Napi::Boolean::New(env, event->removed)});
      return;
    }
    if (event->kind == Event::kFailed) {
      dispatch.Call({id, Napi::String::New(env, "failed"),
                     Napi::String::New(env, kernel::StepName(event->failure.failure.step)),
                     SystemError(env, event->failure.failure.status, event->failure.path).Value()});
    } else {
      const kernel::TaskEnd& end = event->end;
      dispatch.Call({id, Napi::String::New(env, "ended"), number(end.exit_known ? end.exit.code : -1), number(end.exit.signal),
                     number(end.survivors), number(static_cast<int>(end.exceeded))});
    }
  }

  void EndAllLocked() {
    for (auto& [id, task] : running_) (void)task->Signal(SIGKILL);
    for (auto& [id, task] : running_) {
      (void)task->EndAll(1000);
      if (task->scratch) (void)task->scratch->Remove(kRemovalAtExitMs);
    }
    // What takes longer is the sweeper's, as soon as this process has ended.
    for (auto& [id, scratch] : scratches_) (void)scratch->Remove(kRemovalAtExitMs);
    scratches_.clear();
  }

  std::mutex mutex_;
  bool open_ = false;
  Napi::ThreadSafeFunction dispatch_;
  std::map<uint32_t, std::shared_ptr<kernel::RunningTask>> running_;
  std::map<uint32_t, std::shared_ptr<kernel::Scratch>> scratches_;  // of tasks that have ended
  uint32_t pending_ = 0;
};

// Shared with the launcher's threads, so it outlives the environment when it must.
using SharedTasks = std::shared_ptr<Tasks>;

SharedTasks& TasksOf(const Napi::CallbackInfo& info) { return *static_cast<SharedTasks*>(info.Data()); }

Napi::Value OnTaskEvent(const Napi::CallbackInfo& info) {
  if (TasksOf(info)->IsOpen()) {
    Napi::Error::New(info.Env(), "another copy of this package launches tasks in this environment").ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  TasksOf(info)->Open(info.Env(), info[0].As<Napi::Function>());
  // After Open: hooks run last in, first out, so ours comes before dispatch is torn down.
  info.Env().AddCleanupHook([](SharedTasks* tasks) { (*tasks)->Close(); }, &TasksOf(info));
  return info.Env().Undefined();
}

uint64_t Bits(const Napi::Value& value) { return static_cast<uint64_t>(value.As<Napi::Number>().Int64Value()); }

std::vector<sock_filter> FilterOf(const Napi::Value& value) {
  auto bytes = value.As<Napi::Uint8Array>();
  std::vector<sock_filter> filter(bytes.ByteLength() / sizeof(sock_filter));
  if (!filter.empty()) memcpy(filter.data(), bytes.Data(), filter.size() * sizeof(sock_filter));
  return filter;
}

// prepare({ confined, handled: [fs, net, scoped], paths: [[path, access, system]],
//           ownProcAccess, unlisted, programAccess, filter: Uint8Array, limits: [[resource, soft, hard]], memoryBytes, processes, openFiles,
//           cgroup: [folder, own, memoryBytes, processes, cpuWeight], sweeper, stage, userNamespace, identity?: [uid, gid], cwd, umask, asksToStart, ownModes, environment: [string],
//           cpuSeconds, scratchIn, scratchBytes, scratchFiles, fileLimitIsScratch, scratchAccess, scratchVariables: [[name, below]] })
Napi::Value Prepare(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Object from = info[0].As<Napi::Object>();
  auto plan = std::make_shared<kernel::PreparedPlan>();
  plan->confined = from.Get("confined").ToBoolean();
  plan->memory_bytes = Bits(from.Get("memoryBytes"));
  plan->open_files = static_cast<int64_t>(Bits(from.Get("openFiles")));
  plan->processes = from.Get("processes").As<Napi::Number>().Int32Value();
  Napi::Array cgroup = from.Get("cgroup").As<Napi::Array>();
  plan->cgroup_folder = cgroup.Get(0u).As<Napi::String>().Utf8Value();
  plan->own_cgroup = cgroup.Get(1u).ToBoolean();
  plan->cgroup_limits = {Bits(cgroup.Get(2u)), static_cast<int>(Bits(cgroup.Get(3u))), static_cast<int>(Bits(cgroup.Get(4u)))};
  plan->stage = from.Get("stage").As<Napi::String>().Utf8Value();
  plan->user_namespace = from.Get("userNamespace").ToBoolean();
  plan->sweeper = from.Get("sweeper").As<Napi::String>().Utf8Value();
  plan->asks_to_start = from.Get("asksToStart").ToBoolean();
  plan->own_modes = from.Get("ownModes").ToBoolean();
  plan->umask = from.Get("umask").As<Napi::Number>().Int32Value();
  if (Napi::Value identity = from.Get("identity"); identity.IsArray()) {
    Napi::Array ids = identity.As<Napi::Array>();
    plan->identity = {ids.Get(0u).As<Napi::Number>().Uint32Value(), ids.Get(1u).As<Napi::Number>().Uint32Value()};
  }
  plan->cwd = from.Get("cwd").As<Napi::String>().Utf8Value();
  if (!StringsOf(env, from.Get("environment"), &plan->environment)) return env.Undefined();

  plan->scratch_in = from.Get("scratchIn").As<Napi::String>().Utf8Value();
  plan->scratch_bytes = Bits(from.Get("scratchBytes"));
  plan->scratch_files = static_cast<int64_t>(Bits(from.Get("scratchFiles")));
  plan->file_limit_is_scratch = from.Get("fileLimitIsScratch").ToBoolean();
  plan->cpu_seconds = Bits(from.Get("cpuSeconds"));
  plan->scratch_access = Bits(from.Get("scratchAccess"));
  Napi::Array variables = from.Get("scratchVariables").As<Napi::Array>();
  for (uint32_t i = 0; i < variables.Length(); i++) {
    Napi::Array variable = variables.Get(i).As<Napi::Array>();
    plan->scratch_variables.emplace_back(variable.Get(0u).As<Napi::String>().Utf8Value(), variable.Get(1u).As<Napi::String>().Utf8Value());
  }

  Napi::Array handled = from.Get("handled").As<Napi::Array>();
  plan->handled = {Bits(handled.Get(0u)), Bits(handled.Get(1u)), Bits(handled.Get(2u))};
  plan->own_proc_access = Bits(from.Get("ownProcAccess"));
  plan->unlisted = from.Get("unlisted").As<Napi::String>().Utf8Value();
  plan->program_access = Bits(from.Get("programAccess"));

  Napi::Array paths = from.Get("paths").As<Napi::Array>();
  for (uint32_t i = 0; i < paths.Length(); i++) {
    Napi::Array rule = paths.Get(i).As<Napi::Array>();
    const std::string path = rule.Get(0u).As<Napi::String>().Utf8Value();
    if (!rule.Get(2u).ToBoolean()) {
      plan->AddPath(path, Bits(rule.Get(1u)));
      continue;
    }
    kernel::Status added = plan->AddSystemPath(path, Bits(rule.Get(1u)));
    if (!added.ok()) return ReturnOrThrow(env, added, path);
  }
  Napi::Array limits = from.Get("limits").As<Napi::Array>();
  for (uint32_t i = 0; i < limits.Length(); i++) {
    Napi::Array limit = limits.Get(i).As<Napi::Array>();
    plan->limits.push_back({limit.Get(0u).As<Napi::Number>().Int32Value(), Bits(limit.Get(1u)), Bits(limit.Get(2u))});
  }
  plan->filter = FilterOf(from.Get("filter"));

  using Shared = std::shared_ptr<const kernel::PreparedPlan>;
  return Napi::External<Shared>::New(env, new Shared(std::move(plan)), [](Napi::Env, Shared* shared) { delete shared; });
}

bool EndpointsOf(Napi::Env env, const Napi::Value& value, std::vector<kernel::Endpoint>* out) {
  Napi::Array rows = value.As<Napi::Array>();
  for (uint32_t i = 0; i < rows.Length(); i++) {
    Napi::Array row = rows.Get(i).As<Napi::Array>();
    const std::string address = row.Get(0u).As<Napi::String>().Utf8Value();
    auto endpoint = kernel::EndpointOf(address.c_str(), static_cast<uint16_t>(Bits(row.Get(1u))));
    if (!endpoint.ok()) return ReturnOrThrow(env, endpoint.status, address), false;
    out->push_back(endpoint.value);
  }
  return true;
}

// { connect: [[address, port]], listen: likewise, hosts: string, trace?: External, tracedFilter?: Uint8Array }
std::shared_ptr<const kernel::CallPlan> CallsOf(Napi::Env env, const Napi::Object& from) {
  auto calls = std::make_shared<kernel::CallPlan>();
  if (!EndpointsOf(env, from.Get("connect"), &calls->network.connect) || !EndpointsOf(env, from.Get("listen"), &calls->network.listen)) return nullptr;
  calls->hosts = from.Get("hosts").As<Napi::String>().Utf8Value();
  if (from.Get("trace").IsUndefined()) return calls;
  calls->trace = *from.Get("trace").As<Napi::External<std::shared_ptr<kernel::Trace>>>().Data();
  calls->traced_filter = FilterOf(from.Get("tracedFilter"));
  return calls;
}

// launch(prepared, id, path, argv, descriptors, calls?): takes the descriptors over, -1 for /dev/null.
Napi::Value Launch(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  SharedTasks tasks = TasksOf(info);
  kernel::LaunchRequest request;

  // First, so that the descriptors are ours to close whatever is wrong with the rest.
  Napi::Array descriptors = info[4].As<Napi::Array>();
  for (uint32_t i = 0; i < descriptors.Length(); i++)
    request.descriptors.emplace_back(descriptors.Get(i).As<Napi::Number>().Int32Value());
  request.plan = *info[0].As<Napi::External<std::shared_ptr<const kernel::PreparedPlan>>>().Data();
  const uint32_t id = info[1].As<Napi::Number>().Uint32Value();
  if (!StringArgument(info, 2, &request.path) || !StringsOf(env, info[3], &request.argv)) return env.Undefined();

  if (info.Length() > 5 && info[5].IsObject()) {
    request.calls = CallsOf(env, info[5].As<Napi::Object>());
    if (request.calls == nullptr) return env.Undefined();
  }

  request.started = [tasks, id](std::shared_ptr<kernel::RunningTask> task) { tasks->Started(id, std::move(task)); };
  request.failed = [tasks, id](kernel::LaunchFailure failure) { tasks->Failed(id, std::move(failure)); };
  request.ended = [tasks, id](kernel::TaskEnd end) { tasks->Ended(id, end); };
  kernel::Status queued = kernel::Launch(std::move(request));
  if (!queued.ok()) return ReturnOrThrow(env, queued);
  tasks->Launched(env);
  return env.Undefined();
}

// removeScratch(id): of a task that has ended; 'removed' follows.
Napi::Value RemoveScratch(const Napi::CallbackInfo& info) {
  int32_t id;
  if (IntArgument(info, 0, &id)) TasksOf(info)->RemoveScratch(info.Env(), static_cast<uint32_t>(id), TasksOf(info));
  return info.Env().Undefined();
}

// signalTask(id, signal, toGroup): false when the task has ended.
Napi::Value SignalTask(const Napi::CallbackInfo& info) {
  int32_t id, signal;
  if (!IntArgument(info, 0, &id) || !IntArgument(info, 1, &signal)) return info.Env().Undefined();
  kernel::Status status;
  const bool runs = TasksOf(info)->Signal(static_cast<uint32_t>(id), signal, info[2].ToBoolean(), &status);
  if (!status.ok()) return ReturnOrThrow(info.Env(), status);
  return Napi::Boolean::New(info.Env(), runs);
}

// endTasks(last): every task of this environment and what it started, before it returns.
Napi::Value EndTasks(const Napi::CallbackInfo& info) {
  TasksOf(info)->EndAll(info[0].ToBoolean());
  return info.Env().Undefined();
}

// tryCgroup(folder): throws what a task's cgroup below it would fail with.
Napi::Value TryCgroup(const Napi::CallbackInfo& info) {
  std::string folder;
  if (!StringArgument(info, 0, &folder)) return info.Env().Undefined();
  return ReturnOrThrow(info.Env(), kernel::TryCgroup(folder), folder);
}

// tryNamespaces(stage, user): undefined, or [step, systemError] of what this host refuses.
Napi::Value TryNamespaces(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string stage;
  if (!StringArgument(info, 0, &stage)) return env.Undefined();
  const kernel::Failure failure = kernel::TryStage(stage, info[1].ToBoolean());
  if (failure.status.ok()) return env.Undefined();
  Napi::Array found = Napi::Array::New(env, 2);
  found.Set(0u, Napi::String::New(env, kernel::StepName(failure.step)));
  found.Set(1u, SystemError(env, failure.status, "").Value());
  return found;
}

Napi::Value CgroupDelegated(const Napi::CallbackInfo& info) {
  std::string folder;
  if (!StringArgument(info, 0, &folder)) return info.Env().Undefined();
  return Napi::Boolean::New(info.Env(), kernel::CgroupDelegated(folder));
}

Napi::Value ProcIsWhole(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), kernel::ProcIsWhole());
}

}  // namespace

void InitLaunch(Napi::Env env, Napi::Object exports) {
  // Outlives the environment by a few bytes: the hook that closes it runs at its end.
  auto* tasks = new SharedTasks(std::make_shared<Tasks>());
  exports.Set("onTaskEvent", Napi::Function::New(env, OnTaskEvent, "onTaskEvent", tasks));
  exports.Set("prepare", Napi::Function::New(env, Prepare));
  exports.Set("launch", Napi::Function::New(env, Launch, "launch", tasks));
  exports.Set("removeScratch", Napi::Function::New(env, RemoveScratch, "removeScratch", tasks));
  exports.Set("signalTask", Napi::Function::New(env, SignalTask, "signalTask", tasks));
  exports.Set("procIsWhole", Napi::Function::New(env, ProcIsWhole));
  exports.Set("cgroupDelegated", Napi::Function::New(env, CgroupDelegated));
  exports.Set("tryNamespaces", Napi::Function::New(env, TryNamespaces));
  exports.Set("tryCgroup", Napi::Function::New(env, TryCgroup));
  exports.Set("endTasks", Napi::Function::New(env, EndTasks, "endTasks", tasks));
}

}  // namespace addon
