#pragma once

#include <memory>
#include <string>

#include "remove_tree.h"
#include "restrict.h"
#include "result.h"
#include "unique_fd.h"

namespace kernel {

// The one folder of this process in which its tasks' scratch folders lie. Mode 0700, a name that
// nobody can guess, checked to be ours after it was made.
class ScratchRoot {
 public:
  // In `temporary`, an existing folder. The first call decides where; made anew when it was removed
  // from outside, as cleaners of /tmp do.
  static Result<std::shared_ptr<const ScratchRoot>> Get(const std::string& temporary) noexcept;
  // The one that is in use, null when there is none.
  static std::shared_ptr<const ScratchRoot> Current() noexcept;

  const std::string& path() const noexcept { return path_; }
  const std::string& name() const noexcept { return name_; }
  int folder() const noexcept { return folder_.get(); }

  // Takes the folder away if it is empty.
  void RemoveIfEmpty() const noexcept;

 private:
  std::string path_;
  std::string name_;
  UniqueFd parent_;
  UniqueFd folder_;
};

// One task's folder. Gives the descriptor back when it is destroyed, and removes the folder if it is
// empty: a launch that failed leaves none.
class Scratch {
 public:
  // `owner`: who the task runs as, when that is somebody else. Needs CAP_CHOWN.
  static Result<std::shared_ptr<Scratch>> Make(std::shared_ptr<const ScratchRoot> root, const Identity* owner) noexcept;
  ~Scratch();

  const std::string& path() const noexcept { return path_; }
  int folder() const noexcept { return folder_.get(); }

  // True when it was empty, or is gone, without any work.
  bool RemoveIfEmpty() noexcept;
  // Removes it with all that it holds; what is left stays where it is, for the sweeper to try again.
  Emptied Remove(int timeout_ms) noexcept;

 private:
  std::shared_ptr<const ScratchRoot> root_;
  std::string path_;
  std::string name_;
  UniqueFd folder_;
  bool removed_ = false;
};

// Empties and removes a scratch root whose process is gone, by its descriptor and name. For the sweeper.
bool RemoveScratchRoot(int folder, const char* name, int timeout_ms) noexcept;

}  // namespace kernel
