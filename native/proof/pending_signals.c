// Signals that are sent and never taken: the kernel keeps each of them, out of a number
// that all processes of the user share. sigqueue(3), setrlimit(2): RLIMIT_SIGPENDING
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "attack.h"

static void PendingSignals(pid_t target, char** arguments) {
  (void)target;
  sigset_t kept;
  sigemptyset(&kept);
  sigaddset(&kept, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &kept, NULL);
  for (int left = atoi(arguments[0]); left > 0; left--) {
    if (sigqueue(getpid(), SIGRTMIN, (union sigval){0}) == 0) continue;
    Refused("sigqueue");
    break;
  }
  StayFor(3000);
}

ATTACK("pending-signals", PendingSignals)
