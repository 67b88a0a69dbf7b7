// As many processes as it is given, or as the kernel lets it have. They go when this one
// does. fork(2)
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "attack.h"

static void ForkFlood(pid_t target, char** arguments) {
  (void)target;
  for (int left = atoi(arguments[0]); left > 0; left--) {
    const pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      StayFor(5000);
      _exit(0);
    }
    if (child < 0) {
      Refused("fork");
      break;
    }
  }
  StayFor(3000);
}

ATTACK("fork-flood", ForkFlood)
