#include "attack.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>

int ForEachRegion(pid_t target, RegionVisitor visit, void* context) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/maps", (int)target);
  FILE* maps = fopen(path, "re");
  if (maps == NULL) {
    Refused(path);
    return 0;
  }
  ForEachRegionOf(maps, visit, context);
  fclose(maps);
  return 1;
}

void ForEachRegionOf(FILE* maps, RegionVisitor visit, void* context) {
  char line[4352];
  while (fgets(line, sizeof line, maps) != NULL) {
    struct Region region;
    char access[5];
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &region.start, &region.end, access) != 3) continue;
    if (access[0] != 'r' || access[1] != 'w') continue;
    region.is_stack = strstr(line, "[stack]") != NULL;
    visit(&region, context);
  }
}

void PeekStackTop(const struct Region* region, void* context) {
  static char bytes[1 << 17];
  const pid_t process = *(const pid_t*)context;
  if (!region->is_stack) return;
  size_t length = 0;
  for (uintptr_t at = region->end - sizeof bytes; at < region->end; at += sizeof(long)) {
    const long word = ptrace(PTRACE_PEEKDATA, process, (void*)at, NULL);
    memcpy(bytes + length, &word, sizeof word);
    length += sizeof word;
  }
  Hunt(bytes, length);
}
