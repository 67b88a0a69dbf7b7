// A user id of 0 is all that capabilities(7) asks of an execve to hand every capability
// out again. Asked for at once first, then by a new image of this program, which reads
// a file that is another user's alone.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

static void Read(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Refused("open");
  PrintAll(fd);
  close(fd);
}

static void Raise(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct all[2] = {{~0u, ~0u, ~0u}, {0x1ff, 0x1ff, 0x1ff}};
  if (syscall(SYS_capset, &header, all) != 0) Refused("capset");
  if (prctl(PR_SET_SECUREBITS, 0, 0, 0, 0) != 0) Refused("prctl(PR_SET_SECUREBITS)");
  for (unsigned long capability = 0; capability <= 40; capability++) {
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
  }
}

static void RegainCapabilities(pid_t target, char** arguments) {
  Raise();
  Read(arguments[0]);
  if (arguments[1] != NULL) return;  // this is the new image
  char pid[16];
  snprintf(pid, sizeof pid, "%d", (int)target);
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    execl("/proc/self/exe", "attack", "regain-capabilities", pid, arguments[0], "again", (char*)NULL);
    Refused("execve");
    _exit(0);
  }
  if (child < 0) Refused("fork");
  else waitpid(child, NULL, 0);
}

ATTACK("regain-capabilities", RegainCapabilities)
