// Not an exploit: a careless starter. Whoever starts a supervisor may have left a key in
// the session, a terminal, memory or messages that every process of the user can reach.
// `attack starter PID WHAT SECRET FILE PROGRAM...` becomes PROGRAM, and what was made is
// gone when that has ended.
#define _GNU_SOURCE
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434  // Linux 5.3
#endif
static void Fail(const char* call) {
  perror(call);
  exit(1);
}

// Goes on in a process that is no child of the program to be, and returns there when that
// has ended. `serve` is called with each piece of input on `fd` until then.
static void Keep(int fd, void (*serve)(int fd, const char* file), const char* file) {
  struct pollfd of[2] = {{(int)syscall(SYS_pidfd_open, getpid(), 0), POLLIN, 0}, {fd, POLLIN, 0}};
  if (of[0].fd < 0) Fail("pidfd_open");
  const pid_t child = fork();
  if (child < 0) Fail("fork");
  if (child > 0) {
    close(of[0].fd);
    if (fd >= 0) close(fd);
    waitpid(child, NULL, 0);
    return;
  }
  if (fork() != 0) _exit(0);
  setsid();
  if (chdir("/") != 0) _exit(0);
  for (int other = 0; other < 64; other++) {  // those of the supervisor: its output ends with its tasks
    if (other != of[0].fd && (fd < 0 || other < fd)) close(other);
  }
  while (poll(of, fd < 0 ? 1 : 2, 120000) > 0 && of[0].revents == 0) serve(fd, file);
  if (fd < 0 && file != NULL) mq_unlink(file);
  _exit(0);
}

static void AddKey(const char* secret, long keyring, const char* name) {
  if (keyring == -3 && syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL) < 0) Fail("keyctl");
  const long key = syscall(SYS_add_key, "user", name, secret, strlen(secret), keyring);
  if (key < 0) Fail("add_key");
  syscall(SYS_keyctl, 15 /* KEYCTL_SET_TIMEOUT */, key, 120);
}

// What the terminal shows goes to a file, for the runner to see what was typed.
static void Show(int terminal, const char* file) {
  char text[1024];
  const ssize_t got = read(terminal, text, sizeof text);
  if (got <= 0) _exit(0);
  const int log = open(file, O_WRONLY | O_APPEND | O_CLOEXEC);
  if (log < 0 || write(log, text, (size_t)got) != got) _exit(0);
  close(log);
}

// A terminal of the supervisor's own, into which a user has just typed a secret.
static void OpenTerminal(const char* secret, const char* file) {
  setsid();
  const int user = posix_openpt(O_RDWR | O_NOCTTY);
  if (user < 0 || grantpt(user) != 0 || unlockpt(user) != 0) Fail("posix_openpt");
  const int terminal = open(ptsname(user), O_RDWR);
  if (terminal < 0) Fail("open of a terminal");
  if (dprintf(user, "%s\n", secret) < 0) Fail("write to a terminal");
  Keep(user, Show, file);
}

static void MakeSharedMemory(const char* secret) {
  const int segment = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
  char* memory = segment < 0 ? (void*)-1 : shmat(segment, NULL, 0);
  if (memory == (void*)-1) Fail("shmget");
  strncpy(memory, secret, 4095);
  shmctl(segment, IPC_RMID, NULL);  // it goes with the last who has it attached
  Keep(-1, NULL, NULL);
}

static void SendMessage(const char* secret, const char* name) {
  struct mq_attr small = {0, 1, 256, 0, {0}};
  const mqd_t queue = mq_open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &small);
  if (queue == (mqd_t)-1 || mq_send(queue, secret, strlen(secret), 0) != 0) Fail("mq_open");
  Keep(-1, NULL, name);
}

static void Starter(pid_t target, char** arguments) {
  (void)target;
  alarm(0);  // it would pass the execve
  const char* what = arguments[0];
  const char* secret = arguments[1];
  const char* file = arguments[2];
  if (strcmp(what, "session-key") == 0) AddKey(secret, -3, file);
  if (strcmp(what, "user-key") == 0) AddKey(secret, -4, file);
  if (strcmp(what, "terminal") == 0) OpenTerminal(secret, file);
  if (strcmp(what, "shared-memory") == 0) MakeSharedMemory(secret);
  if (strcmp(what, "message-queue") == 0) SendMessage(secret, file);
  execv(arguments[3], arguments + 3);
  Fail("execv");
}

ATTACK("starter", Starter)
