#include "host_memory.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "folder.h"
#include "small_file.h"
#include "unique_fd.h"

namespace kernel {
namespace {

constexpr uint64_t kMappingBytes = 256;         // struct vm_area_struct, and its place in the tree
constexpr uint64_t kSocketBytes = 2 * 212'992;  // net.core.wmem_default, and what skbs take beyond it

uint64_t KiB(const char* meminfo, const char* name) noexcept {
  const char* line = strstr(meminfo, name);
  return line == nullptr ? 0 : strtoull(line + strlen(name), nullptr, 10);
}

// Lines of a file of any length, `most` or a few more.
uint64_t CountLines(const std::string& path, uint64_t most) {
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char text[32768];
  uint64_t lines = 0;
  for (ssize_t got; file && lines <= most && (got = read(file.get(), text, sizeof(text))) > 0;) lines += static_cast<uint64_t>(std::count(text, text + got, '\n'));
  return lines;
}

struct Held {
  uint64_t sockets = 0;
  uint64_t on_their_way = 0;
};

void AddSockets(const std::string& process, Held* held) {
  UniqueFd folder(open((process + "/fd").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return;
  (void)ForEachEntry(folder.get(), [&](const char* name, uint8_t, uint64_t) {
    char target[32];
    const ssize_t length = readlinkat(folder.get(), name, target, sizeof(target));
    if (length <= 7 || memcmp(target, "socket:", 7) != 0) return true;
    held->sockets++;
    char text[1024];
    const char* count = ReadSmallFile((process + "/fdinfo/" + name).c_str(), text) ? strstr(text, "scm_fds:") : nullptr;
    if (count != nullptr) held->on_their_way += strtoull(count + 8, nullptr, 10);
    return true;
  });
}

}  // namespace

HostMemory ReadHostMemory() noexcept {
  char text[8192];
  if (!ReadSmallFile("/proc/meminfo", text)) return {};
  const uint64_t free = KiB(text, "MemFree:");
  const uint64_t total = KiB(text, "MemTotal:");
  uint64_t others = free;
  for (const char* name : {"\nBuffers:", "\nCached:", "\nSwapCached:", "\nAnonPages:", "\nSReclaimable:", "\nPageTables:"}) others += KiB(text, name);
  return {total > others ? (total - others) * 1024 : 0, KiB(text, "\nShmem:") * 1024};
}

uint64_t MostHeldByKernel(const std::vector<pid_t>& pids, uint64_t enough) {
  uint64_t mappings = 0;
  Held held;
  uint64_t bytes = 0;
  for (pid_t pid : pids) {
    const std::string process = "/proc/" + std::to_string(pid);
    AddSockets(process, &held);
    mappings += CountLines(process + "/maps", (enough - bytes) / kMappingBytes);
    bytes = mappings * kMappingBytes + (held.sockets + held.on_their_way) * kSocketBytes;
    if (bytes >= enough) break;
  }
  return bytes;
}

uint64_t DescriptorsOnTheirWay(const std::vector<pid_t>& pids) {
  Held held;
  for (pid_t pid : pids) AddSockets("/proc/" + std::to_string(pid), &held);
  return held.on_their_way;
}

}  // namespace kernel
