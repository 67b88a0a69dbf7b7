#include "remove_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "folder.h"
#include "unique_fd.h"

namespace kernel {
namespace {

class Emptier {
 public:
  Emptier(int top, int64_t deadline) noexcept : top_(top), deadline_(deadline) {}

  // Passes over the folder until one finds nothing, or nothing that could be taken away.
  Emptied Run() noexcept {
    for (;;) {
      const int64_t before = done_;
      int64_t seen = 0;
      const bool whole = ForEachEntry(top_, [&](const char* name, uint8_t, uint64_t) {
        seen++;
        Remove(name);
        return !Late();
      });
      if (whole && seen == 0) return {true, false, removed_};
      if (late_) return {false, true, removed_};
      if (done_ == before) return {false, false, removed_};
    }
  }

 private:
  bool Late() noexcept {
    // The clock costs less than a removal.
    if (!late_) late_ = NowMs() >= deadline_;
    return late_;
  }

  bool Unlink(int parent, const char* name) noexcept {
    if (unlinkat(parent, name, 0) != 0 && unlinkat(parent, name, AT_REMOVEDIR) != 0) return false;
    removed_++;
    done_++;
    return true;
  }

  // An entry of the top folder, with what it holds: of folders in it, what can be moved up is next.
  void Remove(const char* name) noexcept {
    if (Unlink(top_, name) || errno == ENOENT) return;
    UniqueFd handle = OpenFolderIn(top_, name, O_PATH);
    if (!handle) return;
    GiveOwner(S_IRWXU, handle.get());
    UniqueFd folder(openat(handle.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder) return;
    (void)ForEachEntry(folder.get(), [&](const char* inner, uint8_t, uint64_t) {
      if (!Unlink(folder.get(), inner) && errno != ENOENT) MoveUp(folder.get(), inner);
      return !Late();
    });
    (void)Unlink(top_, name);
  }

  void MoveUp(int folder, const char* name) noexcept {
    // To move a folder is to write its `..`: it must be writable itself.
    UniqueFd inner = OpenFolderIn(folder, name, O_PATH);
    if (!inner) return;
    GiveOwner(S_IRWXU, inner.get());
    // A name that is taken, by a folder with something in it or by a file, is one the task thought of.
    char fresh[32];
    int moved;
    do {
      snprintf(fresh, sizeof(fresh), ".up-%llx", static_cast<unsigned long long>(next_++));
      moved = renameat(folder, name, top_, fresh);
    } while (moved != 0 && (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR || errno == EISDIR) && !Late());
    if (moved == 0) done_++;
  }

  const int top_;
  const int64_t deadline_;
  bool late_ = false;
  int64_t removed_ = 0;
  int64_t done_ = 0;  // removed or moved: whether a pass was of any use
  uint64_t next_ = 0;
};

}  // namespace

Emptied EmptyFolder(int folder, int timeout_ms) noexcept {
  GiveOwner(S_IRWXU, folder);
  return Emptier(folder, NowMs() + timeout_ms).Run();
}

}  // namespace kernel
