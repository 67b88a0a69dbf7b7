// The part of the exploit catalogue where a system call is the point. `attack NAME PID
// [ARGUMENT...]` runs one and prints what it got, so that whoever started it can judge by
// what was printed. The catalogue itself is src/proof/catalogue; its rows name these.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Tries to get at `target`, prints its loot, says what refused it. `arguments` ends with NULL.
typedef void (*AttackFunction)(pid_t target, char** arguments);

struct Attack {
  const char* name;
  AttackFunction run;
  struct Attack* next;
};
void Register(struct Attack* attack);

// Puts a function of this file on the list of main(), by the name that a row of the catalogue has.
#define ATTACK(name, function)                                                        \
  __attribute__((constructor)) static void Register##function(void) {                 \
    static struct Attack attack = {name, function, NULL};                             \
    Register(&attack);                                                                \
  }

// Says which call was refused and with what errno.
void Refused(const char* call);

// Prints everything in `bytes` that looks like a credential: a JWT or a GitHub token.
void Hunt(const char* bytes, size_t length);

// Whether /proc/<target>/<name> opened; what it holds is hunted through.
int HuntFile(pid_t target, const char* name);

// Hunts through all of a process's writable memory, by /proc/<target>/mem.
void HuntMemory(pid_t target);

// A writable mapping of another process, and where the next one is asked for.
struct Region {
  uintptr_t start;
  uintptr_t end;
  int is_stack;
};
typedef void (*RegionVisitor)(const struct Region* region, void* context);

// Calls `visit` for every readable and writable mapping. 0 when maps was refused.
int ForEachRegion(pid_t target, RegionVisitor visit, void* context);
