// A call of another ABI, whose numbers mean other calls: int 0x80 enters the kernel as an
// i386 program would. A filter that reads numbers alone takes it for something else.
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

#ifdef __x86_64__
static long I386(long number, unsigned long a, unsigned long b, unsigned long c) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory", "r8", "r9", "r10", "r11");
  return result;
}

enum { kOpen = 5, kRead = 3 };

static void ReadAsI386(const char* path) {
  char* low = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (low == MAP_FAILED) return Refused("mmap(MAP_32BIT)");
  strncpy(low, path, 4095);
  const long fd = I386(kOpen, (unsigned long)low, 0, 0);
  if (fd < 0) return (void)printf("refused: open by int 0x80: %s\n", strerror((int)-fd));
  const long got = I386(kRead, (unsigned long)fd, (unsigned long)low + 4096, 4096);
  if (got > 0) printf("found: %.*s\n", (int)got, low + 4096);
}
#else
static void ReadAsI386(const char* path) {
  printf("refused: %s: this processor has one ABI\n", path);
}
#endif

static void OtherAbi(pid_t target, char** arguments) {
  (void)target;
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    ReadAsI386(arguments[0]);
    fflush(stdout);
    _exit(0);
  }
  int status = 0;
  if (child < 0) Refused("fork");
  else if (waitpid(child, &status, 0) == child && WIFSIGNALED(status)) printf("refused: int 0x80: %s\n", strsignal(WTERMSIG(status)));
}

ATTACK("other-abi", OtherAbi)
