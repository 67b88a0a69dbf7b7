// Signals that the kernel sends by itself when a descriptor has something to say: its
// owner and the signal are whatever was set. fcntl(2) F_SETOWN, F_SETSIG, F_SETLEASE
#define _GNU_SOURCE
#include "attack.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef F_SETSIG
#define F_SETSIG 10
#endif

static void Pair(int ends[2]) {
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0) return;
  Refused("socketpair");
  _exit(0);
}

static void Trigger(int ends[2]) {
  if (fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK) != 0) Refused("fcntl(O_ASYNC)");
  if (write(ends[1], "", 1) != 1) Refused("write");
  usleep(100 * 1000);  // until the signal has arrived: closing would end the ownership
}

static void SetOwn(pid_t owner) {
  int ends[2];
  Pair(ends);
  if (fcntl(ends[0], F_SETSIG, SIGKILL) != 0) Refused("fcntl(F_SETSIG)");
  if (fcntl(ends[0], F_SETOWN, owner) != 0) Refused("fcntl(F_SETOWN)");
  Trigger(ends);
}

static void Sigio(pid_t target, char** arguments) {
  (void)arguments;
  SetOwn(target);
}

static void SigioGroup(pid_t target, char** arguments) {
  (void)arguments;
  SetOwn(-target);
}

static void SigioThread(pid_t target, char** arguments) {
  (void)arguments;
  int ends[2];
  Pair(ends);
  struct f_owner_ex owner = {F_OWNER_TID, target};
  if (fcntl(ends[0], F_SETSIG, SIGKILL) != 0) Refused("fcntl(F_SETSIG)");
  if (fcntl(ends[0], F_SETOWN_EX, &owner) != 0) Refused("fcntl(F_SETOWN_EX)");
  Trigger(ends);
}

// By ioctl, and with SIGIO itself, whose default is to end the process.
static void SigioIoctl(pid_t target, char** arguments) {
  (void)arguments;
  int ends[2];
  Pair(ends);
  int owner = target;
  if (ioctl(ends[0], FIOSETOWN, &owner) != 0) Refused("ioctl(FIOSETOWN)");
  Trigger(ends);
}

// A lease on a file tells its owner when another process opens it.
static void SigioLease(pid_t target, char** arguments) {
  const char* path = arguments[0];
  if (path == NULL) return;
  const int file = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) {
    Refused(path);
    return;
  }
  if (fcntl(file, F_SETSIG, SIGKILL) != 0) Refused("fcntl(F_SETSIG)");
  if (fcntl(file, F_SETLEASE, F_RDLCK) != 0) Refused("fcntl(F_SETLEASE)");
  if (fcntl(file, F_SETOWN, target) != 0) Refused("fcntl(F_SETOWN)");
  const pid_t child = fork();
  if (child == 0) _exit(open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC) < 0);
  if (child > 0) waitpid(child, NULL, 0);
  usleep(100 * 1000);
  close(file);
}

ATTACK("sigio", Sigio)
ATTACK("sigio-group", SigioGroup)
ATTACK("sigio-thread", SigioThread)
ATTACK("sigio-ioctl", SigioIoctl)
ATTACK("sigio-lease", SigioLease)
