// Takes the next message from a queue that all processes of the user share. mq_overview(7)
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>

#include "attack.h"

static void MessageQueue(pid_t target, char** arguments) {
  (void)target;
  const mqd_t queue = mq_open(arguments[0], O_RDONLY | O_NONBLOCK);
  if (queue == (mqd_t)-1) return Refused("mq_open");
  char message[256];
  const ssize_t got = mq_receive(queue, message, sizeof message, NULL);
  if (got < 0) return Refused("mq_receive");
  printf("found: %.*s\n", (int)got, message);
}

ATTACK("message-queue", MessageQueue)
