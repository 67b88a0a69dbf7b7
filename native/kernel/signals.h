#pragma once

#include "result.h"

namespace kernel {

enum class Disposition { kDefault, kIgnore, kHandler };

// Discards `signal` from now on, and what is pending of it. Unlike a JavaScript
// listener it leaves no moment without protection. Inherited by execve(2).
// Scope: process. sigaction(2).
Status IgnoreSignal(int signal) noexcept;

// What the kernel would do with `signal` now.
Result<Disposition> GetDisposition(int signal) noexcept;

}  // namespace kernel
