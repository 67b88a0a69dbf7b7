// Writes over every credential in another process's memory, by its file and by one
// system call. Who can do that can also put its own values there. process_vm_writev(2)
#define _GNU_SOURCE
#include "attack.h"

#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

struct Way {
  pid_t target;
  int memory;  // -1: by process_vm_readv and process_vm_writev
};

static ssize_t Copy(const struct Way* way, uintptr_t at, char* bytes, size_t length, int writes) {
  if (way->memory >= 0) return writes ? pwrite(way->memory, bytes, length, (off_t)at) : pread(way->memory, bytes, length, (off_t)at);
  const struct iovec local = {bytes, length};
  const struct iovec remote = {(void*)at, length};
  return writes ? process_vm_writev(way->target, &local, 1, &remote, 1, 0) : process_vm_readv(way->target, &local, 1, &remote, 1, 0);
}

static void Spoil(const struct Region* region, void* context) {
  static char bytes[1 << 20];
  const struct Way* way = context;
  for (uintptr_t at = region->start; at < region->end; at += sizeof bytes - 4096) {
    const size_t left = region->end - at;
    const ssize_t got = Copy(way, at, bytes, left < sizeof bytes ? left : sizeof bytes, 0);
    for (ssize_t i = 0; i < got; i++) {
      const size_t found = CredentialLength(bytes + i, (size_t)(got - i));
      if (found == 0) continue;
      memset(bytes + i, 'x', found);
      if (Copy(way, at + (uintptr_t)i, bytes + i, found, 1) < 0) Refused("write");
      i += (ssize_t)found;
    }
    if (left <= sizeof bytes) break;
  }
}

static void MemWrite(pid_t target, char** arguments) {
  (void)arguments;
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/mem", (int)target);
  struct Way way = {target, open(path, O_RDWR | O_CLOEXEC)};
  if (way.memory < 0) {
    Refused(path);
    return;
  }
  ForEachRegion(target, Spoil, &way);
  close(way.memory);
}

static void ProcessVmWritev(pid_t target, char** arguments) {
  (void)arguments;
  struct Way way = {target, -1};
  if (ForEachRegion(target, Spoil, &way)) return;
  char byte = 0;
  if (Copy(&way, 0x10000, &byte, 1, 1) < 0) Refused("process_vm_writev");
}

ATTACK("mem-write", MemWrite)
ATTACK("process-vm-writev", ProcessVmWritev)
