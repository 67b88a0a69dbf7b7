#include "bounds.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "clock.h"
#include "leftovers.h"

namespace kernel {
namespace {

constexpr int kMeasureEveryMs = 50;
constexpr int kEndBetweenLooksMs = 200;  // a task that takes longer to be gone must not keep the others from being looked at

// What a look costs is the time that it ran, and not how long it waited for a processor: a
// busy host, or a task that keeps it busy, must not have fewer looks.
int64_t SpentUs() noexcept { return MicrosecondsOf(CLOCK_THREAD_CPUTIME_ID); }

// At most a twentieth of one core, however many processes the host has.
useconds_t PauseAfter(int64_t took_us) noexcept {
  return static_cast<useconds_t>(std::max<int64_t>(kMeasureEveryMs * 1000, took_us * 19));
}

}  // namespace

bool ProcessCount::Admit(int most) noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  if (found_ + static_cast<int>(started_ - begun_) >= most) return false;
  started_++;
  return true;
}

uint32_t ProcessCount::Begin() noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  return started_;
}

void ProcessCount::Looked(uint32_t begun, int found) noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  begun_ = begun;
  found_ = found;
}

bool Bounds::MayStart() {
  if (exceeded != Exceeded::kNothing) return false;  // it is being ended, and the dead make no room
  if (process_count.Admit(processes)) return true;
  const uint32_t begun = process_count.Begin();
  auto usage = MeasureTagged(OneTag(tag));
  if (!usage) return false;  // it may try again
  process_count.Looked(begun, (*usage)[tag].processes);
  if (process_count.Admit(processes)) return true;
  EndFor(Exceeded::kProcesses);
  return false;
}

void Bounds::HoldTo(const Usage& usage) {
  // What outlived the last try.
  if (const Exceeded before = exceeded; before != Exceeded::kNothing && usage.processes > 0) return EndFor(before);
  const bool memory = memory_bytes != 0 && usage.memory_bytes > memory_bytes;
  const bool many = (processes != 0 && usage.processes > processes) || (cgroup && cgroup->ProcessesExhausted());
  const bool files = open_files != 0 && usage.open_files > open_files;
  const bool cpu = PastCpu(usage);
  if (!memory && !many && !files && !cpu) return;
  EndFor(memory ? Exceeded::kMemoryBytes : many ? Exceeded::kProcesses : files ? Exceeded::kOpenFiles : Exceeded::kCpuSeconds);
}

// Whatever it had used by the time it ended: processes that are gone count as last seen, or as whoever waited for them says.
bool Bounds::PastCpu(const Usage& usage) {
  if (cpu_seconds == 0) return false;
  std::map<pid_t, uint64_t> now(usage.cpu.begin(), usage.cpu.end());
  for (const auto& [pid, ticks] : cpu_seen) {
    auto found = now.find(pid);
    if (found == now.end() || found->second < ticks) cpu_gone += ticks;
  }
  uint64_t total = std::max(cpu_gone, usage.waited_cpu);
  for (const auto& [pid, ticks] : now) total += ticks;
  cpu_seen = std::move(now);
  return total >= cpu_seconds * static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
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
  disk_due_us = NowUs() + took * (near ? 4 : 19);
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
    std::vector<uint32_t> begun;
    for (const auto& bounds : now) begun.push_back(bounds->process_count.Begin());
    const int64_t before = SpentUs();
    const auto usage = MeasureTagged(OwnTags());
    const int64_t took = SpentUs() - before;
    for (size_t i = 0; usage && i < now.size(); i++) {
      auto found = usage->find(now[i]->tag);
      const Usage& used = found != usage->end() ? found->second : Usage{};
      now[i]->process_count.Looked(begun[i], used.processes);
      now[i]->HoldTo(used);
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
    const bool due = std::any_of(now.begin(), now.end(), [at](const auto& bounds) { return at >= bounds->disk_due_us; });
    // Once for all of them: it is the same look at every process of the host.
    const auto pids = due ? PidsByTag(OwnTags()) : std::map<uint64_t, std::vector<pid_t>>();
    const int64_t took = SpentUs() - before;
    for (const auto& bounds : now) {
      auto found = pids.find(bounds->tag);
      if (at >= bounds->disk_due_us) bounds->HoldToDisk(found != pids.end() ? found->second : std::vector<pid_t>());
    }
    now.clear();
    usleep(PauseAfter(took));
  }
}

}  // namespace kernel
