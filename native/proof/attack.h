// The part of the exploit catalogue where a system call is the point. `attack NAME PID
// [ARGUMENT...]` runs one and prints what it got, so that whoever started it can judge by
// what was printed. The catalogue itself is src/proof/catalogue; its rows name these.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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

// How long the credential is that starts at `bytes`: a JWT or a GitHub token. 0: none does.
size_t CredentialLength(const char* bytes, size_t length);

// Prints everything in `bytes` that looks like a credential: a JWT or a GitHub token.
void Hunt(const char* bytes, size_t length);

// Prints what can be read of a file or of a socket, up to 4 KiB.
void PrintAll(int fd);

// Whether a process has the word in its arguments, which every process may read.
int CommandLineHas(pid_t process, const char* word);

// Stays as it is for `milliseconds`, for whoever looks at this process from outside.
void StayFor(int milliseconds);

// Whether the file opened; what its first 256 KiB hold is hunted through.
int HuntPath(const char* path);
int HuntFile(pid_t target, const char* name);  // /proc/<target>/<name>

void ReadAllMemory(pid_t target);  // by /proc/<target>/mem

// Hunts through all writable memory that `maps` lists, by a descriptor of /proc/<pid>/mem.
void HuntMemory(FILE* maps, int memory);

// Calls `visit` with the number of each thread; with `target` alone where they cannot be listed.
void ForEachThread(pid_t target, void (*visit)(pid_t target, pid_t thread));

// A writable mapping of another process, and where the next one is asked for.
struct Region {
  uintptr_t start;
  uintptr_t end;
  int is_stack;
};
typedef void (*RegionVisitor)(const struct Region* region, void* context);
void ForEachRegionOf(FILE* maps, RegionVisitor visit, void* context);

// Calls `visit` for every readable and writable mapping. 0 when maps was refused.
int ForEachRegion(pid_t target, RegionVisitor visit, void* context);

// A visitor for a process that is being traced, `context` its pid: hunts through the top of its stack, where the environment lies.
void PeekStackTop(const struct Region* region, void* context);
