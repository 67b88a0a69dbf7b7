#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "leftovers.h"

namespace kernel {

// What the processes of one tag use together, now.
struct Usage {
  int processes = 0;          // and threads, as pids.max counts them
  int64_t open_files = 0;     // descriptors, each process's for itself
  std::vector<std::pair<pid_t, uint64_t>> cpu;  // processor time of each, in clock ticks
  uint64_t waited_cpu = 0;    // and of children that they have waited for
  uint64_t memory_bytes = 0;  // their own: anonymous, shared memory, swapped out, page tables
  uint64_t shared_bytes = 0;  // shared memory of these, as far as it is mapped
  std::set<pid_t> sessions;
};

// One look at every process, for all tags of the family. Pages that processes share after a
// fork count for each of them: an upper bound. None where it could not be told for want of
// descriptors or memory: a process that was not seen would look like one that has ended. proc(5).
std::optional<std::map<uint64_t, Usage>> MeasureTagged(TagFamily family);

}  // namespace kernel
