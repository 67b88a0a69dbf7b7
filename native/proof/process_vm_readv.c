// Copies the memory of another process without opening anything. Where maps is
// refused too, one page is still asked for: the call itself is what is being tested.
// process_vm_readv(2)
#define _GNU_SOURCE
#include "attack.h"

#include <sys/uio.h>

static ssize_t Copy(pid_t target, uintptr_t from, char* to, size_t length) {
  const struct iovec local = {to, length};
  const struct iovec remote = {(void*)from, length};
  return process_vm_readv(target, &local, 1, &remote, 1, 0);
}

static void Read(const struct Region* region, void* context) {
  static char bytes[1 << 20];
  const pid_t target = *(const pid_t*)context;
  for (uintptr_t at = region->start; at < region->end; at += sizeof bytes - 4096) {
    const size_t left = region->end - at;
    const ssize_t got = Copy(target, at, bytes, left < sizeof bytes ? left : sizeof bytes);
    if (got > 0) Hunt(bytes, (size_t)got);
    if (left <= sizeof bytes) break;
  }
}

static void ProcessVmReadv(pid_t target, char** arguments) {
  (void)arguments;
  char byte;
  if (ForEachRegion(target, Read, &target)) return;
  if (Copy(target, 0x10000, &byte, 1) < 0) Refused("process_vm_readv");
}

ATTACK("process-vm-readv", ProcessVmReadv)
