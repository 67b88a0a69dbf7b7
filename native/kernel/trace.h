#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "notify.h"

namespace kernel {

// What a filter would answer: SECCOMP_RET_* as the kernel would get it. The program is
// ours, and was checked by the kernel when it was installed. Pure.
uint32_t RunFilter(const std::vector<sock_filter>& program, const seccomp_data& data) noexcept;

// Which arguments of a call are worth keeping: numbers by a bit each, and a path.
struct TracedCall {
  int nr;
  uint8_t numbers = 0;
  int8_t folder = -1;  // the argument that is a folder's descriptor; -1: none
  int8_t path = -1;    // and the one that points to a path; -1: none
};

// One kind of call, and how often it was made; in the order in which they came first. `text`: its path or address, the task's own
// bytes; `err` 0: it was not refused here, the path is to be judged.
struct TraceEntry {
  int nr;
  int err;
  std::array<uint64_t, 6> numbers;
  std::string text;
  uint64_t count;
};

// The record of one task, bounded; for its author to read while it runs. Any thread.
class Trace {
 public:
  explicit Trace(std::vector<TracedCall> calls) noexcept;

  const TracedCall* Find(int nr) const noexcept;
  // What path a call that is traced names, as long as it waits.
  std::string Path(const Notification& call) const;
  // `text` instead of the call's own path where it has none.
  void Record(const Notification& call, int err, std::string text);
  // Takes what came since the last time. `dropped`: kinds that found no room.
  std::vector<TraceEntry> Take(uint64_t* dropped);

 private:
  using Key = std::pair<std::array<uint64_t, 6>, std::pair<std::pair<int, int>, std::string>>;

  std::vector<TracedCall> calls_;
  std::mutex mutex_;
  struct Seen {
    uint64_t count;
    size_t order;
  };
  std::map<Key, Seen> seen_;
  uint64_t dropped_ = 0;
};

// The path that a call names, made absolute by the caller's folder where it is not; empty
// where it cannot be read.
std::string PathOf(const Notification& call, const TracedCall& traced);

}  // namespace kernel
