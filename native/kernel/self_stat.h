#pragma once

#include <cstdint>

#include "result.h"

namespace kernel {

// What we use of /proc/self/stat. Readable whatever the dumpable flag says, for a
// process may always look at itself. Field numbers as in proc(5).
struct SelfStat {
  uint64_t threads = 0;    // 20 num_threads
  uint64_t arg_start = 0;  // 48
  uint64_t arg_end = 0;    // 49
  uint64_t env_start = 0;  // 50
  uint64_t env_end = 0;    // 51
};

Result<SelfStat> ReadSelfStat() noexcept;

}  // namespace kernel
