#include "usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "folder.h"
#include "small_file.h"
#include "unique_fd.h"

namespace kernel {
namespace {

// The number behind "Name:" at the start of a line of /proc/<pid>/status, 0 when it has none.
uint64_t Field(const char* status, const char* name) noexcept {
  const char* line = strstr(status, name);
  return line == nullptr ? 0 : strtoull(line + strlen(name), nullptr, 10);
}

// Why something of a process could not be read: it has ended, or there is nothing left to open it with.
bool Starved() noexcept { return errno == EMFILE || errno == ENFILE || errno == ENOMEM; }

// session, utime, stime, cutime and cstime: the 6th and the 14th to 17th field of /proc/<pid>/stat, which stand for all its threads.
bool AddTime(const char* pid, Usage* usage) {
  char path[64], text[1024];
  snprintf(path, sizeof(path), "/proc/%s/stat", pid);
  errno = 0;
  if (!ReadSmallFile(path, text)) return !Starved();
  const char* rest = strrchr(text, ')');  // the name before it may hold anything
  unsigned long long own[2] = {}, children[2] = {};
  int session = 0;
  if (rest == nullptr || sscanf(rest + 1, " %*c %*d %*d %d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu", &session, own, own + 1, children, children + 1) != 5) return true;
  usage->sessions.insert(session);
  usage->cpu.emplace_back(static_cast<pid_t>(strtol(pid, nullptr, 10)), own[0] + own[1]);
  usage->waited_cpu += children[0] + children[1];
  return true;
}

// A main thread that has ended takes the view of its process with it, though others go on: any of those will do.
std::string LivingThread(const char* pid) {
  const std::string threads = std::string("/proc/") + pid + "/task";
  UniqueFd folder(open(threads.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::string living;
  if (folder) {
    (void)ForEachEntry(folder.get(), [&](const char* tid, uint8_t, uint64_t) {
      if (strcmp(tid, pid) != 0) living = threads.substr(6) + "/" + tid;
      return living.empty();
    });
  }
  return living;
}

// False when it could not be told.
bool AddProcess(const char* pid, Usage* usage, bool main_thread = true) {
  if (main_thread && !AddTime(pid, usage)) return false;
  char path[96];
  snprintf(path, sizeof(path), "/proc/%s/status", pid);
  char status[65536];  // groups come first, and there may be thousands
  errno = 0;
  if (!ReadSmallFile(path, status)) return !Starved();
  if (main_thread && strstr(status, "\nState:\tZ") != nullptr && Field(status, "\nThreads:") > 1) {
    const std::string other = LivingThread(pid);
    if (!other.empty()) return AddProcess(other.c_str(), usage, false);
  }
  usage->processes += static_cast<int>(Field(status, "\nThreads:"));
  usage->shared_bytes += Field(status, "\nRssShmem:") * 1024;
  for (const char* kind : {"\nRssAnon:", "\nRssShmem:", "\nVmSwap:", "\nVmPTE:"})
    usage->memory_bytes += Field(status, kind) * 1024;
  // The folder's size is the number of its entries (Linux 6.2).
  struct stat folder;
  snprintf(path, sizeof(path), "/proc/%s/fd", pid);
  if (stat(path, &folder) == 0) usage->open_files += folder.st_size;
  return true;
}

}  // namespace

std::optional<std::map<uint64_t, Usage>> MeasureTagged(TagFamily family) {
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return std::nullopt;
  std::map<uint64_t, Usage> found;
  bool told = true;
  while (dirent* entry = told ? readdir(proc) : nullptr) {
    const long pid = strtol(entry->d_name, nullptr, 10);
    const uint64_t tag = pid > 0 ? TagOf(static_cast<pid_t>(pid)) : 0;
    if (family.Holds(tag)) told = AddProcess(entry->d_name, &found[tag]);
  }
  closedir(proc);
  if (!told) return std::nullopt;
  return found;
}

}  // namespace kernel
