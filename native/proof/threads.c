#include "attack.h"

#include <dirent.h>
#include <stdlib.h>

void ForEachThread(pid_t target, void (*visit)(pid_t target, pid_t thread)) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task", (int)target);
  DIR* threads = opendir(path);
  if (threads == NULL) {
    Refused(path);
    visit(target, target);
    return;
  }
  const struct dirent* entry;
  while ((entry = readdir(threads)) != NULL) {
    const pid_t thread = (pid_t)atoi(entry->d_name);
    if (thread > 0) visit(target, thread);
  }
  closedir(threads);
}
