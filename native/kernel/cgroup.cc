#include "cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "clock.h"

namespace kernel {
namespace {

constexpr char kPrefix[] = "sallyport.";

}  // namespace

Result<std::shared_ptr<const Cgroup>> Cgroup::Create(const std::string& folder, uint64_t tag, const CgroupLimits& limits) {
  char name[40];
  snprintf(name, sizeof(name), "/%s%" PRIx64, kPrefix, tag);
  auto made = std::make_shared<const Cgroup>(folder + name, limits);
  if (mkdir(made->path_.c_str(), 0755) != 0) return {Status::FromErrno("mkdir"), nullptr};
  Status set;
  if (limits.memory_bytes != 0) {
    set = made->Set("memory.max", limits.memory_bytes);
    if (set.ok()) set = made->Set("memory.oom.group", 1);
    // Absent where the kernel does not count swap.
    if (set.ok() && (set = made->Set("memory.swap.max", 0)).err == ENOENT) set = Status::Ok();
  }
  if (set.ok() && limits.processes != 0) set = made->Set("pids.max", static_cast<uint64_t>(limits.processes));
  if (set.ok() && limits.cpu_weight != 0) set = made->Set("cpu.weight", static_cast<uint64_t>(limits.cpu_weight));
  if (set.ok()) return {set, std::move(made)};
  (void)made->Remove();
  return {set, nullptr};
}

Status Cgroup::Set(const char* file, uint64_t value) const noexcept {
  char text[24];
  const int length = snprintf(text, sizeof(text), "%" PRIu64, value);
  UniqueFd fd(open((path_ + "/" + file).c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return Status::FromErrno("open");
  return write(fd.get(), text, static_cast<size_t>(length)) == length ? Status::Ok() : Status::FromErrno("write");
}

Result<UniqueFd> Cgroup::Open() const noexcept {
  UniqueFd fd(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return {Status::FromErrno("open"), UniqueFd()};
  return {Status::Ok(), std::move(fd)};
}

// The number behind `name` in a file of lines "name number"; 0 when it cannot be read.
uint64_t Cgroup::Event(const char* file, const char* name) const noexcept {
  UniqueFd fd(open((path_ + "/" + file).c_str(), O_RDONLY | O_CLOEXEC));
  char text[512] = "\n";
  const ssize_t length = fd ? read(fd.get(), text + 1, sizeof(text) - 2) : -1;
  if (length <= 0) return 0;
  text[length + 1] = '\0';
  const std::string wanted = "\n" + std::string(name) + " ";
  const char* line = strstr(text, wanted.c_str());
  return line == nullptr ? 0 : strtoull(line + wanted.size(), nullptr, 10);
}

// `oom` as well: the host's own shortage kills too, and is no limit of the task's.
bool Cgroup::MemoryExhausted() const noexcept {
  return limits_.memory_bytes != 0 && Event("memory.events", "oom_kill") > 0 && Event("memory.events", "oom") > 0;
}

bool Cgroup::ProcessesExhausted() const noexcept { return limits_.processes != 0 && Event("pids.events", "max") > 0; }

bool Cgroup::Remove() const noexcept { return rmdir(path_.c_str()) == 0 || errno == ENOENT; }

// Until it may have become empty. The file is read first: what changed since wakes poll(2).
void Cgroup::WaitForChange(int timeout_ms) const noexcept {
  UniqueFd events(open((path_ + "/cgroup.events").c_str(), O_RDONLY | O_CLOEXEC));
  char text[128];
  const ssize_t length = events ? read(events.get(), text, sizeof(text) - 1) : -1;
  if (length <= 0) return;
  text[length] = '\0';
  if (strstr(text, "populated 0") != nullptr) return;
  pollfd entry{events.get(), POLLPRI, 0};
  poll(&entry, 1, timeout_ms);
}

bool Cgroup::End(int timeout_ms) const noexcept {
  const int64_t deadline = NowMs() + timeout_ms;
  for (bool killed = false; !Remove(); killed = true) {
    const int64_t left = deadline - NowMs();
    if (left <= 0) return false;
    if (!killed) (void)Set("cgroup.kill", 1);
    WaitForChange(static_cast<int>(left));
    if (killed) usleep(200);  // empty to cgroup.events a moment before rmdir(2) thinks so
  }
  return true;
}

int EndCgroups(const std::string& folder, TagFamily family, int timeout_ms) noexcept {
  DIR* entries = opendir(folder.c_str());
  if (entries == nullptr) return 0;
  int left = 0;
  while (dirent* entry = readdir(entries)) {
    if (strncmp(entry->d_name, kPrefix, strlen(kPrefix)) != 0) continue;
    char* end;
    const uint64_t tag = strtoull(entry->d_name + strlen(kPrefix), &end, 16);
    if (*end != '\0' || !family.Holds(tag)) continue;
    if (!Cgroup(folder + "/" + entry->d_name, {}).End(timeout_ms)) left++;
  }
  closedir(entries);
  return left;
}

}  // namespace kernel
