// Attaches every System V segment that its user may, and reads it. shmop(2)
#define _GNU_SOURCE
#include <errno.h>
#include <sys/shm.h>

#include "attack.h"

static void SharedMemory(pid_t target, char** arguments) {
  (void)target, (void)arguments;
  struct shm_info info;
  const int last = shmctl(0, SHM_INFO, (struct shmid_ds*)&info);
  if (last < 0) Refused("shmctl(SHM_INFO)");
  for (int index = 0; index <= last; index++) {
    struct shmid_ds segment;
    const int id = shmctl(index, SHM_STAT, &segment);
    if (id < 0) continue;
    const char* memory = shmat(id, NULL, SHM_RDONLY);
    if (memory == (void*)-1) continue;
    Hunt(memory, segment.shm_segsz);
    shmdt(memory);
  }
}

ATTACK("shared-memory", SharedMemory)
