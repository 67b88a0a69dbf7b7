// Opens what another process has open once more, by its links in /proc, and reads it
// from the start. Unlinked files are found there as well. proc_pid_fd(5)
#define _GNU_SOURCE
#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void ProcFd(pid_t target, char** arguments) {
  (void)arguments;
  for (int number = 0; number < 64; number++) {
    char path[64];
    struct stat file;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)target, number);
    if (stat(path, &file) != 0) {
      if (errno == ENOENT) continue;
      Refused(path);
      return;
    }
    if (S_ISREG(file.st_mode)) HuntPath(path);  // a pipe or a terminal would hold us up
  }
}

ATTACK("proc-fd", ProcFd)
