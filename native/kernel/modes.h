#pragma once

#include <sys/types.h>

#include <vector>

#include "notify.h"
#include "unique_fd.h"

namespace kernel {

// Where a task may change modes, owners and times: the folders, or files, that it may write,
// each opened when the launch opened it for its rule. And who the task is.
struct OwnPlaces {
  std::vector<UniqueFd> opened;  // O_PATH
  uid_t uid = 0;
};

// Makes chmod, chown and utime for a task, on what lies in one of its places and belongs to
// its user; anything else is refused with EPERM. Landlock does not look at these calls, so
// the task's own are never let through: what is changed is what was opened here, beneath a
// descriptor of ours, whatever the path has become since. No bit that
// gives privileges is set, and an owner never changes.
class FileModes {
 public:
  FileModes(const OwnPlaces& places, const Listener& listener) noexcept : places_(places), listener_(listener) {}

  static bool Is(int nr) noexcept;

  // Answers the call. 0, or the errno it was refused with.
  int Answer(const Notification& call);

 private:
  const OwnPlaces& places_;
  const Listener& listener_;
};

}  // namespace kernel
