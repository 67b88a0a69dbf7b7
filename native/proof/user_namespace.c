// In a user namespace of its own any user has every capability, and with them the parts
// of the kernel that only root was meant to reach. user_namespaces(7)
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

enum { kLookedAtMs = 500 };

static void StayAndReap(pid_t child, const char* call) {
  if (child == 0) {
    StayFor(kLookedAtMs);
    _exit(0);
  }
  if (child < 0) Refused(call);
  else waitpid(child, NULL, 0);
}

static void UserNamespace(pid_t target, char** arguments) {
  (void)target, (void)arguments;
  fflush(stdout);
  StayAndReap((pid_t)syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWNET | SIGCHLD, 0, 0, 0, 0), "clone(CLONE_NEWUSER)");
  if (unshare(CLONE_NEWUSER) != 0) return Refused("unshare(CLONE_NEWUSER)");
  StayFor(kLookedAtMs);
}

ATTACK("user-namespace", UserNamespace)

// The same flags where a filter cannot see them: behind a pointer. clone3, Linux 5.3.
static void Clone3Namespace(pid_t target, char** arguments) {
  (void)target, (void)arguments;
  uint64_t request[8] = {0};
  request[0] = CLONE_NEWUSER;
  request[4] = SIGCHLD;
  fflush(stdout);
  StayAndReap((pid_t)syscall(435 /* clone3 */, request, sizeof request), "clone3(CLONE_NEWUSER)");
}

ATTACK("clone3-namespace", Clone3Namespace)

// Puts an empty folder over one that others rely on, in a mount namespace that a user
// namespace opens to anyone. mount(2)
static void MountOver(pid_t target, char** arguments) {
  (void)target;
  if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
    Refused("unshare(CLONE_NEWNS)");
  } else if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {  // nobody else is to see it
    return Refused("mount(MS_PRIVATE)");
  }
  if (mount("tmpfs", arguments[0], "tmpfs", 0, "size=64k") != 0) return Refused("mount");
  StayFor(kLookedAtMs);
}

ATTACK("mount-over", MountOver)
