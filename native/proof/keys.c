// Asks the kernel for a key that others keep there: in the session's keyring, which goes
// from parent to child, or in the user's, which every process of the user can link to its
// own. keyctl(2), keyrings(7)
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attack.h"

enum { kSessionKeyring = -3, kUserKeyring = -4, kLink = 8, kSearch = 10, kRead = 11 };

static void ReadKey(const char* name) {
  char secret[256];
  const long key = syscall(SYS_keyctl, kSearch, kSessionKeyring, "user", name, 0);
  if (key < 0) return Refused("keyctl(KEYCTL_SEARCH)");
  const long length = syscall(SYS_keyctl, kRead, key, secret, sizeof secret);
  if (length < 0) return Refused("keyctl(KEYCTL_READ)");
  printf("found: %.*s\n", (int)length, secret);
}

static void SessionKey(pid_t target, char** arguments) {
  (void)target;
  ReadKey(arguments[0]);
}

ATTACK("session-key", SessionKey)

static void UserKey(pid_t target, char** arguments) {
  (void)target;
  if (syscall(SYS_keyctl, kLink, kUserKeyring, kSessionKeyring) != 0) Refused("keyctl(KEYCTL_LINK)");
  ReadKey(arguments[0]);
}

ATTACK("user-key", UserKey)
