#include "attack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
  const char* name;
  void (*run)(pid_t target);
} attacks[] = {
    {"left-behind", AttackLeftBehind},
    {"pidfd-getfd", AttackPidfdGetfd},
    {"prlimit", AttackPrlimit},
    {"proc-environ", AttackProcEnviron},
    {"proc-mem", AttackProcMem},
    {"process-vm-readv", AttackProcessVmReadv},
    {"ptrace", AttackPtrace},
};

void Refused(const char* call) {
  printf("refused: %s: %s\n", call, strerror(errno));
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: attack NAME PID\n");
    return 2;
  }
  const pid_t target = (pid_t)atoi(argv[2]);
  if (target <= 1) return 2;
  // Whatever happens, this process is gone soon.
  alarm(12);
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
    if (strcmp(attacks[i].name, argv[1]) != 0) continue;
    attacks[i].run(target);
    return 0;
  }
  fprintf(stderr, "attack: no attack is called %s\n", argv[1]);
  return 2;
}
