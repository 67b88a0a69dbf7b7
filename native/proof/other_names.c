// One file by names that a check of paths may not know: from the root of its own /proc,
// from a folder opened for nothing but its name, by way of a link, by an empty path.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attack.h"

static void Try(int folder, const char* path, int flags, const char* what) {
  const int fd = openat(folder, path, flags | O_CLOEXEC);
  if (fd < 0) return Refused(what);
  PrintAll(fd);
  close(fd);
}

// arguments: the file's folder and its name there
static void OtherNames(pid_t target, char** arguments) {
  const char* folder = arguments[0];
  const char* name = arguments[1];
  char path[4096];
  snprintf(path, sizeof path, "/proc/self/root%s/%s", folder, name);
  Try(AT_FDCWD, path, O_RDONLY, "open /proc/self/root");
  snprintf(path, sizeof path, "/proc/%d/root%s/%s", (int)target, folder, name);
  Try(AT_FDCWD, path, O_RDONLY, "open /proc/<pid>/root");
  snprintf(path, sizeof path, "/proc/self/cwd/../../../../../../..%s/%s", folder, name);
  Try(AT_FDCWD, path, O_RDONLY, "open /proc/self/cwd");

  const int place = open(folder, O_PATH | O_CLOEXEC);
  if (place < 0) return Refused("open(O_PATH)");
  Try(place, name, O_RDONLY, "openat");
  if (fchdir(place) == 0) Try(AT_FDCWD, name, O_RDONLY, "open after fchdir");
  const int file = openat(place, name, O_PATH | O_CLOEXEC);
  if (file < 0) return Refused("openat(O_PATH)");
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  Try(AT_FDCWD, path, O_RDONLY, "open /proc/self/fd");
  const uint64_t how[3] = {O_RDONLY | O_CLOEXEC, 0, 0};
  const int again = (int)syscall(437 /* openat2, Linux 5.6 */, place, name, how, sizeof how);
  if (again < 0) return Refused("openat2");
  PrintAll(again);
}

ATTACK("other-names", OtherNames)
