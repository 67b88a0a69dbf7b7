#include "attack.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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
