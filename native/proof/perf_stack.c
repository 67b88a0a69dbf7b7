// Samples another process as a profiler does: each time its first thread goes to sleep or
// wakes, a copy of its stack from there up. The environment lies at the top.
// perf_event_open(2) PERF_SAMPLE_STACK_USER
#define _GNU_SOURCE
#include "attack.h"

#include <linux/perf_event.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { pages = 256 };

static void PerfStack(pid_t target, char** arguments) {
  (void)arguments;
  struct perf_event_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.size = sizeof attributes;
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.config = PERF_COUNT_SW_CONTEXT_SWITCHES;
  attributes.sample_period = 1;
  attributes.sample_type = PERF_SAMPLE_STACK_USER;
  attributes.sample_stack_user = 65528;  // the most there is: below 64 KiB, and a multiple of 8
  const int event = (int)syscall(SYS_perf_event_open, &attributes, target, -1, -1, PERF_FLAG_FD_CLOEXEC);
  if (event < 0) {
    Refused("perf_event_open");
    return;
  }
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  char* ring = mmap(NULL, (pages + 1) * page, PROT_READ | PROT_WRITE, MAP_SHARED, event, 0);
  if (ring == MAP_FAILED) {
    Refused("mmap of the samples");
    return;
  }
  for (int wakes = 0; wakes < 8; wakes++) {
    kill(target, SIGCHLD);  // harmless, and it wakes
    usleep(50 * 1000);
  }
  Hunt(ring + page, pages * page);
}

ATTACK("perf-stack", PerfStack)
