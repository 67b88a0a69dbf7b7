// Empties a file by its path: a right of its own for Landlock. Argument: the file. truncate(2)
#define _GNU_SOURCE
#include "attack.h"

#include <unistd.h>

static void Truncate(pid_t target, char** arguments) {
  (void)target;
  if (arguments[0] != NULL && truncate(arguments[0], 0) != 0) Refused("truncate");
}

ATTACK("truncate", Truncate)
