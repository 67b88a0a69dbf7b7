#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"

void PrintAll(int fd) {
  char bytes[4096];
  size_t length = 0;
  ssize_t got = 0;
  while (length < sizeof bytes && (got = read(fd, bytes + length, sizeof bytes - length)) > 0) length += (size_t)got;
  if (got < 0) Refused("read");
  if (length > 0) printf("found: %.*s\n", (int)length, bytes);
}

void StayFor(int milliseconds) {
  struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

// No exploit: a program that is there for a while.
static void Stay(pid_t target, char** arguments) {
  (void)target, (void)arguments;
  StayFor(500);
}

ATTACK("stay", Stay)
