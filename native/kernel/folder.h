#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

#include "uapi.h"
#include "unique_fd.h"

namespace kernel {

// Opens a folder that lies in `parent`, by name or by a path: never what a symbolic link points to, what is
// mounted there, or another kind of file (a FIFO would block). openat2(2), Linux 5.6.
inline UniqueFd OpenFolderIn(int parent, const char* name, uint64_t flags) noexcept {
  constexpr uint64_t kNoXdev = 0x01, kNoMagiclinks = 0x02, kNoSymlinks = 0x04, kBeneath = 0x08;
  struct {
    uint64_t flags, mode, resolve;
  } how{flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0, kNoXdev | kNoMagiclinks | kNoSymlinks | kBeneath};
  return UniqueFd(static_cast<int>(syscall(__NR_openat2, parent, name, &how, sizeof(how))));
}

// Gives its owner these rights on a folder made without them, and takes none. By way of the descriptor: it is
// the folder that was opened and no other. fchmod(2) refuses O_PATH, which alone opens such a folder.
inline void GiveOwner(mode_t rights, int folder) noexcept {
  struct stat status;
  if (fstat(folder, &status) != 0 || (status.st_mode & rights) == rights) return;
  char path[40];
  snprintf(path, sizeof(path), "/proc/self/fd/%d", folder);
  (void)chmod(path, (status.st_mode & 07777) | rights);
}

// Calls visit(name, type, inode) for each entry of an open folder, from its beginning, until it returns
// false. `type` may be DT_UNKNOWN. False when the folder could not be read to where the visit ended.
template <typename Visit>
bool ForEachEntry(int folder, Visit visit) noexcept {
  struct Entry {  // linux_dirent64 of getdents64(2)
    uint64_t inode;
    int64_t next;
    uint16_t length;
    uint8_t type;
    char name[];
  };
  if (lseek(folder, 0, SEEK_SET) != 0) return false;
  alignas(8) char buffer[32 * 1024];
  for (;;) {
    const long got = syscall(SYS_getdents64, folder, buffer, sizeof(buffer));
    if (got <= 0) return got == 0;
    for (long at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const Entry*>(buffer + at);
      at += entry->length;
      if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0) continue;
      if (!visit(entry->name, entry->type, entry->inode)) return true;
    }
  }
}

}  // namespace kernel
