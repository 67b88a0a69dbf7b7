// Open descriptors, as many as each of several processes may have. The kernel has one
// table of open files for everybody. open(2)
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "attack.h"

// arguments: descriptors for each process, and how many processes
static void DescriptorHoard(pid_t target, char** arguments) {
  (void)target;
  for (int others = atoi(arguments[1]) - 1; others > 0; others--) {
    if (fork() != 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    break;
  }
  for (int left = atoi(arguments[0]); left > 0; left--) {
    if (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0) continue;
    Refused("open");
    break;
  }
  StayFor(3000);
}

ATTACK("descriptor-hoard", DescriptorHoard)
