#pragma once

#include <time.h>

#include <cstdint>

namespace kernel {

// clock_gettime(2)
inline int64_t MicrosecondsOf(clockid_t clock) noexcept {
  timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

inline int64_t NowUs() noexcept { return MicrosecondsOf(CLOCK_MONOTONIC); }
inline int64_t NowMs() noexcept { return NowUs() / 1000; }

}  // namespace kernel
