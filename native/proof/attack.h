// The part of the exploit catalogue where a system call is the point. One file an
// attack; `attack NAME PID` runs one and prints what it got, so that whoever started
// it can judge by what was printed. The catalogue itself is src/proof/catalogue.ts.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Each attack: tries to get at `target`, prints its loot, says what refused it.
void AttackLeftBehind(pid_t target);
void AttackPidfdGetfd(pid_t target);
void AttackPrlimit(pid_t target);
void AttackProcEnviron(pid_t target);
void AttackProcMem(pid_t target);
void AttackProcessVmReadv(pid_t target);
void AttackPtrace(pid_t target);

// Says which call was refused and with what errno.
void Refused(const char* call);

// Prints everything in `bytes` that looks like a credential: a JWT or a GitHub token.
void Hunt(const char* bytes, size_t length);

// Whether /proc/<target>/<name> opened; what it holds is hunted through.
int HuntFile(pid_t target, const char* name);

// A writable mapping of another process, and where the next one is asked for.
struct Region {
  uintptr_t start;
  uintptr_t end;
  int is_stack;
};
typedef void (*RegionVisitor)(const struct Region* region, void* context);

// Calls `visit` for every readable and writable mapping. 0 when maps was refused.
int ForEachRegion(pid_t target, RegionVisitor visit, void* context);
