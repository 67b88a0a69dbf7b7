// TCP by its other protocol numbers: MPTCP, which falls back to plain TCP and which rules
// on TCP ports did not cover; and TCP Fast Open, which connects by sending.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attack.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static struct sockaddr_in Loopback(const char* port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

static void Mptcp(pid_t target, char** arguments) {
  (void)target;
  const struct sockaddr_in server = Loopback(arguments[0]);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);
  if (fd < 0) return Refused("socket(IPPROTO_MPTCP)");
  if (connect(fd, (const struct sockaddr*)&server, sizeof server) != 0) return Refused("connect");
  PrintAll(fd);
}

ATTACK("mptcp", Mptcp)

static void FastOpen(pid_t target, char** arguments) {
  (void)target;
  const struct sockaddr_in server = Loopback(arguments[0]);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Refused("socket(SOCK_STREAM)");
  if (sendto(fd, "?", 1, MSG_FASTOPEN, (const struct sockaddr*)&server, sizeof server) < 0) return Refused("sendto(MSG_FASTOPEN)");
  PrintAll(fd);
}

ATTACK("tcp-fast-open", FastOpen)
