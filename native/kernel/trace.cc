#include "trace.h"

#include <limits.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

namespace kernel {
namespace {

constexpr size_t kMostKinds = 1024;  // between two takes, which happen on the event loop

std::string FolderOf(const Notification& call, int descriptor) {
  char link[64], target[PATH_MAX];
  if (descriptor == -100) {  // AT_FDCWD
    snprintf(link, sizeof(link), "/proc/%u/cwd", call.pid);
  } else {
    snprintf(link, sizeof(link), "/proc/%u/fd/%d", call.pid, descriptor);
  }
  const ssize_t length = readlink(link, target, sizeof(target));
  return length <= 0 ? "" : std::string(target, static_cast<size_t>(length));
}

}  // namespace

uint32_t RunFilter(const std::vector<sock_filter>& program, const seccomp_data& data) noexcept {
  uint32_t accumulator = 0;
  for (size_t pc = 0; pc < program.size(); pc++) {
    const sock_filter& op = program[pc];
    switch (op.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (op.k > sizeof(data) - sizeof(accumulator)) return SECCOMP_RET_KILL_PROCESS;
        memcpy(&accumulator, reinterpret_cast<const char*>(&data) + op.k, sizeof(accumulator));
        break;
      case BPF_ALU | BPF_AND | BPF_K: accumulator &= op.k; break;
      case BPF_JMP | BPF_JEQ | BPF_K: pc += accumulator == op.k ? op.jt : op.jf; break;
      case BPF_JMP | BPF_JGE | BPF_K: pc += accumulator >= op.k ? op.jt : op.jf; break;
      case BPF_JMP | BPF_JA: pc += op.k; break;
      case BPF_RET | BPF_K: return op.k;
      default: return SECCOMP_RET_KILL_PROCESS;  // src/kernel/seccomp.ts makes no others
    }
  }
  return SECCOMP_RET_KILL_PROCESS;
}

Trace::Trace(std::vector<TracedCall> calls) noexcept : calls_(std::move(calls)) {}

const TracedCall* Trace::Find(int nr) const noexcept {
  for (const TracedCall& traced : calls_) {
    if (traced.nr == nr) return &traced;
  }
  return nullptr;
}

std::string Trace::Path(const Notification& call) const {
  const TracedCall* traced = Find(call.data.nr);
  return traced != nullptr && traced->path >= 0 ? PathOf(call, *traced) : "";
}

void Trace::Record(const Notification& call, int err, std::string text) {
  const TracedCall* traced = Find(call.data.nr);
  std::array<uint64_t, 6> numbers{};
  for (size_t i = 0; traced != nullptr && i < numbers.size(); i++) {
    if ((traced->numbers & (1 << i)) != 0) numbers[i] = static_cast<uint32_t>(call.data.args[i]);
  }
  if (text.empty()) text = Path(call);
  std::lock_guard<std::mutex> lock(mutex_);
  Key key{numbers, {{call.data.nr, err}, std::move(text)}};
  auto found = seen_.find(key);
  if (found != seen_.end()) {
    found->second.count++;
  } else if (seen_.size() < kMostKinds) {
    seen_.insert({std::move(key), {1, seen_.size()}});
  } else {
    dropped_++;
  }
}

std::vector<TraceEntry> Trace::Take(uint64_t* dropped) {
  std::map<Key, Seen> taken;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    taken.swap(seen_);
    *dropped = dropped_;
    dropped_ = 0;
  }
  std::vector<TraceEntry> entries(taken.size());
  for (const auto& [key, seen] : taken)
    entries[seen.order] = {key.second.first.first, key.second.first.second, key.first, key.second.second, seen.count};
  return entries;
}

std::string PathOf(const Notification& call, const TracedCall& traced) {
  char path[PATH_MAX];
  auto got = ReadMemory(static_cast<pid_t>(call.pid), call.data.args[traced.path], path, sizeof(path));
  if (!got.ok()) return "";
  const char* end = static_cast<const char*>(memchr(path, '\0', got.value));
  if (end == nullptr || end == path) return "";
  std::string text(path, static_cast<size_t>(end - path));
  if (text[0] == '/') return text;
  const std::string folder = FolderOf(call, traced.folder < 0 ? -100 : static_cast<int>(call.data.args[traced.folder]));
  return folder.empty() ? "" : folder + "/" + text;
}

}  // namespace kernel
