// Takes the place of a service: listens on its port, without the bind(2) that rules on
// TCP look at, and prints what the service's client sends. ip(7): IP_LOCAL_PORT_RANGE,
// Linux 6.3, lets listen(2) choose from a range of one.
#define _GNU_SOURCE
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attack.h"

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

static void Impostor(pid_t target, char** arguments) {
  (void)target;
  const uint32_t port = (uint32_t)atoi(arguments[0]);
  const uint32_t range = port | port << 16;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Refused("socket(SOCK_STREAM)");
  if (setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range, sizeof range) != 0) return Refused("setsockopt(IP_LOCAL_PORT_RANGE)");
  if (listen(fd, 4) != 0) return Refused("listen");
  struct pollfd waiting = {fd, POLLIN, 0};
  if (poll(&waiting, 1, 3000) != 1) return;
  const int client = accept(fd, NULL, NULL);
  if (client < 0) return Refused("accept");
  PrintAll(client);
}

ATTACK("impostor", Impostor)
