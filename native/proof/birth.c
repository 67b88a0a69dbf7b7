// A process of the supervisor's user that is there before it, no task, locked in by nothing: it
// looks for the supervisor from before its birth and tries again and again to get hold of it,
// until its own standard input ends. Argument: a word of the supervisor's command line.
#define _GNU_SOURCE
#include "attack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// Whether it got hold of what it was after; errno says what refused it otherwise.
typedef int (*Grip)(pid_t process);

static int Over(int milliseconds) {
  struct pollfd input = {STDIN_FILENO, POLLIN | POLLRDHUP, 0};  // nobody writes there
  return poll(&input, 1, milliseconds) > 0;
}

// From the highest number down: what is new has it.
static pid_t Find(const char* word) {
  struct dirent** entries;
  const int count = scandir("/proc", &entries, NULL, NULL);
  pid_t found = 0;
  for (int i = 0; i < count; i++) {
    const pid_t process = (pid_t)atoi(entries[i]->d_name);
    if (process > 1 && process != getpid() && process > found && CommandLineHas(process, word)) found = process;
    free(entries[i]);
  }
  if (count >= 0) free(entries);
  return found;
}

static void Watch(char** arguments, const char* what, Grip grip) {
  if (arguments[0] == NULL) return;
  alarm(60);  // its input ends before
  printf("watching\n");
  pid_t seen = 0;
  int refused = 0;
  while (!Over(1)) {
    if (seen == 0 && (seen = Find(arguments[0])) == 0) continue;
    if (grip(seen)) {
      printf("held: %s\n", what);
      return;
    }
    if (errno == ENOENT || errno == ESRCH) return;  // it has ended
    if (refused++ == 0) Refused(what);
  }
  printf("tried: %d times\n", refused);
}

// The memory, opened once and read while its owner goes on: what it loads later is in it.
static int HoldMemory(pid_t process) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/mem", (int)process);
  const int memory = open(path, O_RDONLY | O_CLOEXEC);
  if (memory < 0) return 0;
  snprintf(path, sizeof path, "/proc/%d/maps", (int)process);
  FILE* maps = fopen(path, "re");
  if (maps == NULL) {
    close(memory);
    return 0;
  }
  do {
    rewind(maps);
    HuntMemory(maps, memory);
  } while (!Over(100));
  return 1;
}

static int ReadEnvironment(pid_t process) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/environ", (int)process);
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  static char bytes[1 << 17];
  ssize_t length;
  while ((length = pread(file, bytes, sizeof bytes, 0)) <= 0 && !Over(1)) continue;  // not laid out yet
  if (length > 0) Hunt(bytes, (size_t)length);
  close(file);
  return 1;
}

// A secret on its way is in a descriptor: memory that may be mapped, or a file to read.
static int OpenDescriptors(pid_t process) {
  int opened = 0;
  for (int number = 3; number < 32; number++) {
    char path[64];
    struct stat stats;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)process, number);
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0 && errno != EACCES && errno != EPERM) continue;
    if (file < 0) return 0;
    opened = 1;
    if (fstat(file, &stats) == 0 && S_ISREG(stats.st_mode) && stats.st_size > 0) {
      static char bytes[4096];
      const ssize_t length = pread(file, bytes, sizeof bytes, 0);
      if (length > 0) Hunt(bytes, (size_t)length);
      void* mapped = length > 0 ? MAP_FAILED : mmap(NULL, (size_t)stats.st_size, PROT_READ, MAP_SHARED, file, 0);
      if (mapped != MAP_FAILED) Hunt(mapped, (size_t)stats.st_size);
    }
    close(file);
  }
  if (opened == 0) errno = EAGAIN;  // nothing there yet
  return opened;
}

static int Trace(pid_t process) {
  int status;
  if (ptrace(PTRACE_ATTACH, process, NULL, NULL) != 0) return 0;
  if (waitpid(process, &status, __WALL) == process) ForEachRegion(process, PeekStackTop, &process);
  ptrace(PTRACE_DETACH, process, NULL, NULL);
  return 1;
}

static void BirthMem(pid_t target, char** arguments) {
  (void)target;
  Watch(arguments, "mem", HoldMemory);
}

static void BirthEnviron(pid_t target, char** arguments) {
  (void)target;
  Watch(arguments, "environ", ReadEnvironment);
}

static void BirthDescriptor(pid_t target, char** arguments) {
  (void)target;
  Watch(arguments, "fd", OpenDescriptors);
}

static void BirthTrace(pid_t target, char** arguments) {
  (void)target;
  Watch(arguments, "ptrace", Trace);
}

ATTACK("birth-mem", BirthMem)
ATTACK("birth-environ", BirthEnviron)
ATTACK("birth-descriptor", BirthDescriptor)
ATTACK("birth-trace", BirthTrace)
