// Sets another process's limits. The kernel asks for equal uids and nothing else. prlimit(2)
#define _GNU_SOURCE
#include "attack.h"

#include <sys/resource.h>

static void Limit(pid_t target, int resource, rlim_t soft, rlim_t hard, const char* name) {
  const struct rlimit limit = {soft, hard};
  if (prlimit(target, resource, &limit, NULL) != 0) Refused(name);
}

// Without a single new descriptor.
static void OpenFiles(pid_t target, char** arguments) {
  (void)arguments;
  Limit(target, RLIMIT_NOFILE, 0, 0, "prlimit(RLIMIT_NOFILE)");
}

// SIGKILL at its next tick: a second of processor time is spent at the start.
static void Cpu(pid_t target, char** arguments) {
  (void)arguments;
  Limit(target, RLIMIT_CPU, 1, 1, "prlimit(RLIMIT_CPU)");
}

// Not a byte more.
static void Memory(pid_t target, char** arguments) {
  (void)arguments;
  Limit(target, RLIMIT_DATA, 0, 0, "prlimit(RLIMIT_DATA)");
}

// Nothing can be written to any file.
static void FileSize(pid_t target, char** arguments) {
  (void)arguments;
  Limit(target, RLIMIT_FSIZE, 0, 0, "prlimit(RLIMIT_FSIZE)");
}

ATTACK("prlimit", OpenFiles)
ATTACK("prlimit-cpu", Cpu)
ATTACK("prlimit-memory", Memory)
ATTACK("prlimit-fsize", FileSize)
