// Opens /proc/<pid>/mem and reads every writable page of it; by the number of another
// thread too, which is the same memory at another place. proc_pid_mem(5)
#include "attack.h"

#include <fcntl.h>
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

void HuntMemory(FILE* maps, int memory) {
  ForEachRegionOf(maps, Read, &memory);
}

static void ReadThread(pid_t target, pid_t thread) {
  char path[96];
  snprintf(path, sizeof path, "/proc/%d/task/%d/mem", (int)target, (int)thread);
  const int memory = open(path, O_RDONLY | O_CLOEXEC);
  snprintf(path, sizeof path, "/proc/%d/task/%d/maps", (int)target, (int)thread);
  FILE* maps = fopen(path, "re");
  if (memory < 0 || maps == NULL) Refused(path);
  else HuntMemory(maps, memory);
  if (memory >= 0) close(memory);
  if (maps != NULL) fclose(maps);
}

void ReadAllMemory(pid_t target) {
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
  ReadAllMemory(target);
}

static void ReadOtherThread(pid_t target, pid_t thread) {
  static int done;
  if (thread == target || done++) return;
  ReadThread(target, thread);
}

// One thread that is not the first: all of them have the same memory. It numbers its
// threads next to its own number where they cannot be listed.
static void ThreadMem(pid_t target, char** arguments) {
  (void)arguments;
  ForEachThread(target, ReadOtherThread);
  ReadOtherThread(target, target + 1);
}

ATTACK("proc-mem", ProcMem)
ATTACK("thread-mem", ThreadMem)
