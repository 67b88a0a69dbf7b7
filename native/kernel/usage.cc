#include "usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "unique_fd.h"

namespace kernel {
namespace {

// The number behind "Name:" at the start of a line of /proc/<pid>/status, 0 when it has none.
uint64_t Field(const char* status, const char* name) noexcept {
  const char* line = strstr(status, name);
  return line == nullptr ? 0 : strtoull(line + strlen(name), nullptr, 10);
}

void AddProcess(const char* pid, Usage* usage) noexcept {
  char path[64];
  snprintf(path, sizeof(path), "/proc/%s/status", pid);
  UniqueFd file(open(path, O_RDONLY | O_CLOEXEC));
  char status[4096];
  const ssize_t length = file ? read(file.get(), status, sizeof(status) - 1) : -1;
  if (length <= 0) return;  // it has ended
  status[length] = '\0';
  usage->processes += static_cast<int>(Field(status, "\nThreads:"));
  for (const char* kind : {"\nRssAnon:", "\nRssShmem:", "\nVmSwap:", "\nVmPTE:"})
    usage->memory_bytes += Field(status, kind) * 1024;
  // The folder's size is the number of its entries (Linux 6.2).
  struct stat folder;
  snprintf(path, sizeof(path), "/proc/%s/fd", pid);
  if (stat(path, &folder) == 0) usage->open_files += folder.st_size;
}

}  // namespace

std::map<uint64_t, Usage> MeasureTagged(TagFamily family) {
  std::map<uint64_t, Usage> found;
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return found;
  while (dirent* entry = readdir(proc)) {
    const long pid = strtol(entry->d_name, nullptr, 10);
    const uint64_t tag = pid > 0 ? TagOf(static_cast<pid_t>(pid)) : 0;
    if (family.Holds(tag)) AddProcess(entry->d_name, &found[tag]);
  }
  closedir(proc);
  return found;
}

}  // namespace kernel
