// Leaves another process without a single new descriptor. The kernel asks for equal
// uids and nothing else. prlimit(2)
#define _GNU_SOURCE
#include "attack.h"

#include <sys/resource.h>

static void Prlimit(pid_t target, char** arguments) {
  (void)arguments;
  const struct rlimit none = {0, 0};
  if (prlimit(target, RLIMIT_NOFILE, &none, NULL) != 0) Refused("prlimit(RLIMIT_NOFILE)");
}

ATTACK("prlimit", Prlimit)
