// As much memory as it is given, every page of it in use; held by several processes, for
// what counts is what they hold together.
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "attack.h"

// arguments: bytes for each process, and how many processes
static void MemoryHog(pid_t target, char** arguments) {
  (void)target;
  for (int others = atoi(arguments[1]) - 1; others > 0; others--) {
    if (fork() != 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    break;
  }
  const long step = 16 << 20;
  for (long left = atol(arguments[0]); left > 0; left -= step) {
    char* memory = mmap(NULL, (size_t)step, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return Refused("mmap");
    memset(memory, 1, (size_t)step);
  }
  StayFor(3000);
}

ATTACK("memory-hog", MemoryHog)
