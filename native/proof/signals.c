// The ways a signal takes to a process: kill(2), to its group as well; tgkill(2) to each of
// its threads; with a value, sigqueue(3); by a descriptor of it, pidfd_send_signal(2). The
// argument is the signal's number.
#define _GNU_SOURCE
#include "attack.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424  // Linux 5.1
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434  // Linux 5.3
#endif

static int number;

static int Number(char** arguments) {
  return number = arguments[0] == NULL ? SIGKILL : atoi(arguments[0]);
}

static void Kill(pid_t target, char** arguments) {
  if (kill(target, Number(arguments)) != 0) Refused("kill");
}

static void KillGroup(pid_t target, char** arguments) {
  if (kill(-target, Number(arguments)) != 0) Refused("kill of the process group");
}

static void SignalThread(pid_t target, pid_t thread) {
  if (syscall(SYS_tgkill, target, thread, number) != 0) Refused("tgkill");
}

static void Tgkill(pid_t target, char** arguments) {
  Number(arguments);
  ForEachThread(target, SignalThread);
}

static void Sigqueue(pid_t target, char** arguments) {
  const union sigval value = {0};
  if (sigqueue(target, Number(arguments), value) != 0) Refused("sigqueue");
}

static void PidfdSendSignal(pid_t target, char** arguments) {
  const int pidfd = (int)syscall(SYS_pidfd_open, target, 0);
  if (pidfd < 0) {
    Refused("pidfd_open");
    return;
  }
  if (syscall(SYS_pidfd_send_signal, pidfd, Number(arguments), NULL, 0) != 0) Refused("pidfd_send_signal");
  close(pidfd);
}

ATTACK("kill", Kill)
ATTACK("kill-group", KillGroup)
ATTACK("tgkill", Tgkill)
ATTACK("sigqueue", Sigqueue)
ATTACK("pidfd-send-signal", PidfdSendSignal)
