// Runs a program that no file holds: it is written to anonymous memory and executed from
// there, where no rule on paths applies. memfd_create(2), execveat(2)
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attack.h"

// The program is a copy of this one; what it says is for whoever looks at its /proc/<pid>/exe.
static void Copy(int to) {
  const int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  struct stat stat;
  if (from < 0 || fstat(from, &stat) != 0) return Refused("open /proc/self/exe");
  while (sendfile(to, from, NULL, (size_t)stat.st_size) > 0) continue;
  close(from);
}

static void MemoryProgram(pid_t target, char** arguments) {
  if (arguments[0] != NULL) return StayFor(500);  // this is the copy
  const int memory = (int)syscall(SYS_memfd_create, "program", 0);
  if (memory < 0) return Refused("memfd_create");
  Copy(memory);
  char pid[16];
  char path[32];
  snprintf(pid, sizeof pid, "%d", (int)target);
  snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
  char* words[] = {"attack", "memory-program", pid, "copy", NULL};
  char* none[] = {NULL};
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    syscall(SYS_execveat, memory, "", words, none, AT_EMPTY_PATH);
    Refused("execveat");
    execve(path, words, none);
    Refused("execve /proc/self/fd");
    _exit(0);
  }
  if (child < 0) Refused("fork");
  else waitpid(child, NULL, 0);
}

ATTACK("memory-program", MemoryProgram)
