#pragma once

#include <cstdint>

#include "result.h"

namespace kernel {

struct Rlimit {
  uint64_t soft = 0;  // RLIM_INFINITY is UINT64_MAX here
  uint64_t hard = 0;
};

// Scope: process; inherited over fork(2) and execve(2). getrlimit(2).
Result<Rlimit> GetRlimit(int resource) noexcept;
Status SetRlimit(int resource, Rlimit limit) noexcept;

}  // namespace kernel
