// Listens to what others say to each other on the loopback interface. packet(7)
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"

static void Sniffer(pid_t target, char** arguments) {
  (void)target, (void)arguments;
  const int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
  if (fd < 0) return Refused("socket(AF_PACKET)");
  const struct timeval patience = {0, 200000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const time_t end = time(NULL) + 2;
  while (time(NULL) < end) {
    static char packet[65536];
    const ssize_t got = recv(fd, packet, sizeof packet, 0);
    if (got > 0) Hunt(packet, (size_t)got);
  }
}

ATTACK("sniffer", Sniffer)
