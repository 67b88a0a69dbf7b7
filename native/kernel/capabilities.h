#pragma once

#include <cstdint>

#include "each_thread.h"
#include "result.h"

namespace kernel {

// One bit a capability, as capabilities(7) numbers them.
struct Capabilities {
  uint64_t effective = 0;
  uint64_t permitted = 0;
  uint64_t inheritable = 0;
  uint64_t ambient = 0;
  uint64_t bounding = 0;
  int securebits = 0;
};

// Scope: the calling thread.
Result<Capabilities> GetCapabilitiesOnCurrentThread() noexcept;

// Takes every capability that is not in `keep` out of all five sets, and with
// CAP_SETPCAP sets the securebits that keep uid 0 and ambient sets from bringing any
// back. Without CAP_SETPCAP the bounding set and securebits stay as they are.
// Async-signal-safe. Irreversible. Scope: the calling thread, and what it starts later.
Status DropCapabilitiesOnCurrentThread(uint64_t keep) noexcept;

// Makes every permitted capability ambient, so that an execve as whatever user leaves it.
// Async-signal-safe. Scope: the calling thread. capabilities(7).
Status KeepCapabilitiesOverExec() noexcept;

// DropCapabilitiesOnCurrentThread on every thread of this process.
EachThreadResult DropCapabilities(uint64_t keep) noexcept;

}  // namespace kernel
