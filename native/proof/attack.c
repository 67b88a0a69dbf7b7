#include "attack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct Attack* attacks;

void Register(struct Attack* attack) {
  attack->next = attacks;
  attacks = attack;
}

void Refused(const char* call) {
  printf("refused: %s: %s\n", call, strerror(errno));
}

int main(int argc, char** argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: attack NAME PID [ARGUMENT...]\n");
    return 2;
  }
  const pid_t target = (pid_t)atoi(argv[2]);
  if (target <= 1) return 2;
  // Whatever happens, this process is gone soon.
  alarm(12);
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (const struct Attack* attack = attacks; attack != NULL; attack = attack->next) {
    if (strcmp(attack->name, argv[1]) != 0) continue;
    attack->run(target, argv + 3);
    return 0;
  }
  fprintf(stderr, "attack: no attack is called %s\n", argv[1]);
  return 2;
}
