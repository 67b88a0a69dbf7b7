// Processes that stay when their task has ended. Each says for a while that it is there;
// nothing but its own clock ends it.
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"

enum { kLifeMs = 4000, kPulseMs = 50 };

static int64_t NowMs(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void Pulse(void) {
  if (write(STDOUT_FILENO, "still here\n", 11) < 0) _exit(0);
  StayFor(kPulseMs);
}

static void Live(void) {
  for (const int64_t end = NowMs() + kLifeMs; NowMs() < end;) Pulse();
  _exit(0);
}

// Whether this is the child. The parent waits for nobody.
static int Forked(void) {
  fflush(stdout);
  const pid_t child = fork();
  if (child < 0) Refused("fork");
  return child == 0;
}

// Deaf to every signal that can be ignored or blocked, in a session of its own, with no
// parent that is told of its end.
static void DeafDaemon(pid_t target, char** arguments) {
  (void)target, (void)arguments;
  if (!Forked()) return;
  setsid();
  prctl(PR_SET_PDEATHSIG, 0);
  prctl(PR_SET_NAME, "kworker/0:1");
  for (int number = 1; number < 64; number++) signal(number, SIG_IGN);
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  if (Forked()) Live();
  _exit(0);
}

ATTACK("deaf-daemon", DeafDaemon)

// Never the same process for long: who looks for it finds the one before.
static void ForkHopper(pid_t target, char** arguments) {
  (void)target, (void)arguments;
  if (!Forked()) return;
  for (const int64_t end = NowMs() + kLifeMs; NowMs() < end;) {
    setsid();
    if (!Forked()) _exit(0);
    if (write(STDOUT_FILENO, "still here\n", 11) < 0) _exit(0);
    StayFor(2);
  }
  _exit(0);
}

ATTACK("fork-hopper", ForkHopper)

// A child of its parent's, so that its own end orphans nobody. clone(2): CLONE_PARENT
static void Stepchild(pid_t target, char** arguments) {
  (void)target, (void)arguments;
  fflush(stdout);
  const long child = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
  if (child == 0) {
    setsid();
    // Again, from the child's place: now its parent is the supervisor itself.
    if (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0) == 0) Live();
    Live();
  }
  if (child < 0) Refused("clone(CLONE_PARENT)");
}

ATTACK("stepchild", Stepchild)

static int Thread(void* unused) {
  (void)unused;
  Live();
  return 0;
}

// A process whose first thread has ended: it looks like a zombie, and the others go on.
static void HalfDead(pid_t target, char** arguments) {
  (void)target, (void)arguments;
  if (!Forked()) return;
  setsid();
  const size_t size = 256 << 10;
  char* stack = malloc(size);
  const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
  if (stack == NULL || clone(Thread, stack + size, flags, NULL) < 0) Refused("clone(CLONE_THREAD)");
  syscall(SYS_exit, 0);
}

ATTACK("half-dead", HalfDead)

// Stands still, so that it answers to nothing but SIGKILL; woken once its task should be gone.
static void StoppedChild(pid_t target, char** arguments) {
  (void)target, (void)arguments;
  fflush(stdout);
  const pid_t sleeper = fork();
  if (sleeper < 0) return Refused("fork");
  if (sleeper == 0) {
    setsid();
    raise(SIGSTOP);
    Live();
  }
  int status;
  waitpid(sleeper, &status, WUNTRACED);
  if (!Forked()) return;
  setsid();
  StayFor(600);
  kill(sleeper, SIGCONT);
  raise(SIGKILL);
}

ATTACK("stopped-child", StoppedChild)

// Takes no part in its supervisor's end: it is not told of it, and its task is there until
// then. prctl(2): PR_SET_PDEATHSIG
static void Orphan(pid_t target, char** arguments) {
  (void)target, (void)arguments;
  if (Forked()) {
    setsid();
    prctl(PR_SET_PDEATHSIG, 0);
    if (Forked()) Live();
    _exit(0);
  }
  wait(NULL);
  printf("armed\n");
  StayFor(kLifeMs);
}

ATTACK("orphan", Orphan)
