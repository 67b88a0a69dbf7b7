// The environment a process was started with, and its arguments. proc_pid_environ(5)
#include "attack.h"

void AttackProcEnviron(pid_t target) {
  HuntFile(target, "environ");
  HuntFile(target, "cmdline");
}
