// The environment a process was started with, and its arguments. proc_pid_environ(5)
#include "attack.h"

static void ProcEnviron(pid_t target, char** arguments) {
  (void)arguments;
  HuntFile(target, "environ");
  HuntFile(target, "cmdline");
}

ATTACK("proc-environ", ProcEnviron)
