#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "result.h"

namespace kernel {

// Whom a program is to run as.
struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  const gid_t* groups = nullptr;  // supplementary ones; `gid` must be among them
  size_t group_count = 0;
};

struct Move {
  int source;
  int target;
};

// The program that this process turns into, and how.
struct Successor {
  const char* path = nullptr;
  char* const* argv = nullptr;
  char* const* envp = nullptr;
  const User* user = nullptr;  // null: whoever we are
  uint64_t keep = 0;           // capabilities that it keeps; all others go, from the bounding set too
  Move* moves = nullptr;       // by target; it has these descriptors and no other
  size_t move_count = 0;
};

// Everything that must be so before a secret may go along: the user, no capability but
// `keep`, no_new_privs; read back. A failure leaves the thread half way: let the process end.
//
// With a user, the effective group is another one than the real one. An image that is executed so
// is not dumpable from its first instruction, its AT_SECURE is 1, and no process of that user can
// open its memory, ever. Linux until 2025 makes the effective group the real one in that execve, as
// no_new_privs is set, and clears the flag for it; since then that is left to the program, which
// may: the real group is the right one. execve(2), credentials(7).
// Scope: the calling thread, which must be the one that calls Become().
Status PrepareToBecome(const Successor& successor) noexcept;

// Arranges the descriptors and executes. Returns only why it could not, and by then
// there is no descriptor left that the process would need to go on.
Status Become(const Successor& successor) noexcept;

}  // namespace kernel
