#include "bounds.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "clock.h"
#include "leftovers.h"

namespace kernel {
namespace {

constexpr int kMeasureEveryMs = 50;
constexpr int64_t kMostPauseUs = 1'000'000;
constexpr uint64_t kLockBytes = 512;  // twice a struct file_lock: a call in the middle of one makes two of it
constexpr int kMostSessions = 32;
constexpr int64_t kUnseenUs = 4'000;  // of processor time: what starting and ending a small program takes, and a little more
constexpr int64_t kMostBetweenDiskLooksUs = 2'000'000;
constexpr uint64_t kTooManyOnTheirWay = 256;  // descriptors: more than any program sends before it receives
constexpr int kEndBetweenLooksMs = 200;  // a task that takes longer to be gone must not keep the others from being looked at

// What a look costs is the time that it ran, and not how long it waited for a processor: a
// busy host, or a task that keeps it busy, must not have fewer looks.
int64_t SpentUs() noexcept { return MicrosecondsOf(CLOCK_THREAD_CPUTIME_ID); }

// At most a twentieth of one core, however many processes the host has; but no task can make its own look take so
// long that the others are not looked at.
useconds_t PauseAfter(int64_t took_us) noexcept {
  return static_cast<useconds_t>(std::clamp<int64_t>(took_us * 19, kMeasureEveryMs * 1000, kMostPauseUs));
}

}  // namespace

bool Count::Admit(int most) noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  if (found_ + static_cast<int>(started_ - begun_) >= most) return false;
  started_++;
  return true;
}

uint32_t Count::Begin() noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  return started_;
}

void Count::Looked(uint32_t begun, int found) noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  begun_ = begun;
  found_ = found;
}

bool Bounds::MayStart(bool thread) {
  if (exceeded != Exceeded::kNothing) return false;  // it is being ended, and the dead make no room
  if (!thread) forks++;
  if (process_count.Admit(processes)) return true;
  const uint32_t begun = process_count.Begin();
  auto usage = MeasureTagged(OneTag(tag));
  if (!usage) return false;  // it may try again
  process_count.Looked(begun, (*usage)[tag].processes);
  if (process_count.Admit(processes)) return true;
  EndFor(Exceeded::kProcesses);
  return false;
}

bool Bounds::MayStartSession() { return session_count.Admit(kMostSessions); }

// Memory that no process shows as its own: a shared mapping's pages that are not mapped at the moment, and the
// kernel's own for mappings, locks and buffers. Only as far as the host has taken more of it since the task began.
uint64_t Bounds::Hidden(const Usage& usage, const HostMemory& host) {
  host_before = {std::min(host_before.kernel_bytes, host.kernel_bytes), std::min(host_before.shared_bytes, host.shared_bytes)};
  const uint64_t shared_grown = host.shared_bytes - host_before.shared_bytes;
  const uint64_t shared = std::min(shared_bytes.load(), shared_grown - std::min(shared_grown, usage.shared_bytes));
  const uint64_t kernel_grown = host.kernel_bytes - host_before.kernel_bytes;
  if (usage.memory_bytes + shared + kernel_grown <= memory_bytes) return shared;
  std::vector<pid_t> pids;
  for (const auto& process : usage.cpu) pids.push_back(process.first);
  const uint64_t known = usage.memory_bytes + shared;
  const uint64_t enough = known < memory_bytes ? memory_bytes - known + 1 : 1;
  // /proc shows a task's locks, too: all of a file's in one piece, a second for a million. So they are counted as they are asked for.
  const uint64_t for_locks = locks * kLockBytes;
  return shared + std::min(kernel_grown, for_locks >= enough ? for_locks : for_locks + MostHeldByKernel(pids, enough - for_locks));
}

void Bounds::HoldTo(const Usage& usage, const HostMemory& host) {
  // What outlived the last try.
  if (const Exceeded before = exceeded; before != Exceeded::kNothing && usage.processes > 0) return EndFor(before);
  const bool memory = memory_bytes != 0 && usage.memory_bytes + (cgroup_counts_memory ? 0 : Hidden(usage, host)) > memory_bytes;
  const bool many = (processes != 0 && usage.processes > processes) || (cgroup && cgroup->ProcessesExhausted());
  const bool files = open_files != 0 && usage.open_files > open_files;
  const bool cpu = PastCpu(usage);
  if (!memory && !many && !files && !cpu) return;
  EndFor(memory ? Exceeded::kMemoryBytes : many ? Exceeded::kProcesses : files ? Exceeded::kOpenFiles : Exceeded::kCpuSeconds);
}

// Whatever it had used by the time it ended: processes that are gone count as last seen, or as whoever waited for them says.
// What nobody waited for may have come and gone between two looks, or used less than the 10 ms in which /proc counts: for
// that each process counts a little more than it shows.
bool Bounds::PastCpu(const Usage& usage) {
  if (cpu_seconds == 0) return false;
  std::map<pid_t, uint64_t> now(usage.cpu.begin(), usage.cpu.end());
  for (const auto& [pid, ticks] : cpu_seen) {
    auto found = now.find(pid);
    if (found == now.end() || found->second < ticks) cpu_gone += ticks;
  }
  const int64_t now_us = NowUs();
  const uint32_t forks_now = forks;
  if (looked_us != 0) cpu_unseen_us += std::min((forks_now - forks_seen) * kUnseenUs, now_us - looked_us);
  looked_us = now_us;
  forks_seen = forks_now;
  const uint64_t ticks_per_second = static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
  uint64_t total = std::max(cpu_gone + static_cast<uint64_t>(cpu_unseen_us) * ticks_per_second / 1'000'000, usage.waited_cpu);
  for (const auto& [pid, ticks] : now) total += ticks;
  cpu_seen = std::move(now);
  return total >= cpu_seconds * ticks_per_second;
}

void Bounds::HoldToDisk(const std::vector<pid_t>& pids) {
  const int64_t before = SpentUs();
  const auto folder = scratch.lock();
  if (!folder || ended) return;
  MeasureDisk(folder->folder(), folder->path(), pids, scratch_files, &disk);
  const bool bytes = disk.bytes > scratch_bytes;
  if (bytes || disk.files > scratch_files) {
    EndFor(bytes ? Exceeded::kScratchBytes : Exceeded::kScratchFiles);
  }
  // At most a twentieth of one core for each; more often as it comes near its bound, when much can happen in little time.
  const int64_t took = SpentUs() - before;
  const bool near = disk.bytes > scratch_bytes / 4 * 3 || disk.files > scratch_files / 2;
  const int64_t now = NowUs();
  disk_due_us = now + std::min(took * (near ? 4 : 19), kMostBetweenDiskLooksUs);
  disk_soonest_us = now + took * 4;
}

bool Bounds::DiskIsDue(int64_t now) {
  if (now >= disk_due_us) return true;
  if (now < disk_soonest_us) return false;
  const auto folder = scratch.lock();
  return folder && UsedBytesOf(folder->folder()) > disk.used_last + scratch_bytes / 8;
}

void Bounds::EndedByKernel(const Exit& exit) {
  if (exceeded != Exceeded::kNothing) return;
  if (exit.signal == SIGXFSZ) exceeded = file_limit;
  // RLIMIT_CPU kills where soft and hard are one. It counts whole ticks as they fall, which for a short time differs from what was really used.
  const bool spent = cpu_seconds != 0 && exit.cpu_us >= static_cast<int64_t>(cpu_seconds) * 750'000;
  if (spent && (exit.signal == SIGXCPU || exit.signal == SIGKILL)) exceeded = Exceeded::kCpuSeconds;
  if (!cgroup || exceeded != Exceeded::kNothing) return;
  if (cgroup->MemoryExhausted()) exceeded = Exceeded::kMemoryBytes;
  else if (cgroup->ProcessesExhausted()) exceeded = Exceeded::kProcesses;
}

void Bounds::EndFor(Exceeded why) {
  Exceeded nothing = Exceeded::kNothing;
  exceeded.compare_exchange_strong(nothing, why);
  if (!cgroup || !cgroup->End(kEndBetweenLooksMs)) (void)EndTagged(OneTag(tag), kEndBetweenLooksMs);
}

void BoundsWatch::Add(const std::shared_ptr<Bounds>& bounds) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    all_.push_back(bounds);
    if (!bounds->scratch.expired()) filling_.push_back(bounds);
  }
  wake_.notify_all();
}

bool BoundsWatch::EndWhoHoardsDescriptors() {
  std::vector<std::shared_ptr<Bounds>> now;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    now.assign(all_.begin(), all_.end());
  }
  auto pids = PidsByTag(OwnTags());
  std::shared_ptr<Bounds> hoarder;
  uint64_t most = kTooManyOnTheirWay;
  for (const auto& bounds : now) {
    const uint64_t sent = bounds->ended ? 0 : DescriptorsOnTheirWay(pids[bounds->tag]);
    if (sent <= most) continue;
    most = sent;
    hoarder = bounds;
  }
  if (!hoarder) return false;
  hoarder->EndForDescriptors();
  return true;
}

void BoundsWatch::LookLoop() {
  for (;;) {
    std::vector<std::shared_ptr<Bounds>> now;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return !all_.empty(); });
      all_.remove_if([](const auto& bounds) { return bounds->ended.load(); });
      now.assign(all_.begin(), all_.end());
    }
    if (now.empty()) continue;
    std::vector<std::pair<uint32_t, uint32_t>> begun;
    for (const auto& bounds : now) begun.emplace_back(bounds->process_count.Begin(), bounds->session_count.Begin());
    const int64_t before = SpentUs();
    const auto usage = MeasureTagged(OwnTags());
    const HostMemory host = ReadHostMemory();
    const int64_t took = SpentUs() - before;
    for (size_t i = 0; usage && i < now.size(); i++) {
      auto found = usage->find(now[i]->tag);
      const Usage& used = found != usage->end() ? found->second : Usage{};
      now[i]->process_count.Looked(begun[i].first, used.processes);
      now[i]->session_count.Looked(begun[i].second, static_cast<int>(used.sessions.size()));
      now[i]->HoldTo(used, host);
    }
    usleep(PauseAfter(took));
  }
}

void BoundsWatch::DiskLoop() {
  for (;;) {
    std::vector<std::shared_ptr<Bounds>> now;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return !filling_.empty(); });
      filling_.remove_if([](const auto& bounds) { return bounds->ended.load(); });
      now.assign(filling_.begin(), filling_.end());
    }
    const int64_t at = NowUs();
    const int64_t before = SpentUs();
    std::vector<bool> due;
    for (const auto& bounds : now) due.push_back(bounds->DiskIsDue(at));
    // Once for all of them: it is the same look at every process of the host.
    const auto pids = std::count(due.begin(), due.end(), true) > 0 ? PidsByTag(OwnTags()) : std::map<uint64_t, std::vector<pid_t>>();
    const int64_t took = SpentUs() - before;
    for (size_t i = 0; i < now.size(); i++) {
      auto found = pids.find(now[i]->tag);
      if (due[i]) now[i]->HoldToDisk(found != pids.end() ? found->second : std::vector<pid_t>());
    }
    now.clear();
    usleep(PauseAfter(took));
  }
}

}  // namespace kernel
