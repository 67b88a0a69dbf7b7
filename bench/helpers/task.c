// A task that costs as little as a process can, so that what is measured beside it is the supervisor. Compiled by ./compile.ts.
//   task requests COUNT   asks COUNT times over descriptor 0, one after the other, and prints how long each took
//   task floor COUNT      the same between two processes that do nothing else
//   task FILE FOLDER      a task instance: reads its start message and succeeds, or waits for its end where the folder's name says "hold"

#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static unsigned char buffer[1 << 20];

static void exactly(int fd, ssize_t (*act)(int, void *, size_t), void *bytes, size_t length) {
  for (size_t at = 0; at < length;) {
    ssize_t done = act(fd, (char *)bytes + at, length - at);
    if (done <= 0) exit(2);
    at += (size_t)done;
  }
}

static ssize_t put(int fd, void *bytes, size_t length) { return write(fd, bytes, length); }

static void send_frame(int fd, const char *body, size_t length) {
  buffer[0] = buffer[1] = buffer[2] = 0;
  buffer[3] = (unsigned char)length;
  memcpy(buffer + 4, body, length);
  exactly(fd, put, buffer, 4 + length);
}

static size_t receive_frame(int fd) {
  exactly(fd, read, buffer, 4);
  size_t length = (size_t)buffer[0] << 24 | (size_t)buffer[1] << 16 | (size_t)buffer[2] << 8 | buffer[3];
  if (length > sizeof buffer) exit(3);
  exactly(fd, read, buffer, length);
  return length;
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static int ascending(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

#define LITERAL(text) (text), sizeof(text) - 1
static const char ping[] = "\x92\x01\x82\xa4type\xa4ping\xa3key\xb0" "0123456789abcdef";  // [1, {type: 'ping', key: '...'}]

static int requests(int fd, long count) {
  uint64_t *took = calloc((size_t)count, sizeof *took);
  uint64_t begun = now();
  for (long i = 0; i < count; i++) {
    uint64_t sent = now();
    send_frame(fd, LITERAL(ping));
    receive_frame(fd);
    took[i] = now() - sent;
  }
  uint64_t ended = now();
  qsort(took, (size_t)count, sizeof *took, ascending);
  printf("{\"count\":%ld,\"begun\":%llu,\"ended\":%llu,\"p50\":%llu,\"p99\":%llu}\n", count, (unsigned long long)begun, (unsigned long long)ended,
         (unsigned long long)took[count / 2], (unsigned long long)took[count * 99 / 100]);
  return 0;
}

static int floor_of(long count) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return 2;
  pid_t child = fork();
  if (child == 0) {
    close(pair[0]);
    for (;;) {
      size_t length = receive_frame(pair[1]);
      memmove(buffer + 64, buffer, length < 64 ? length : 64);
      send_frame(pair[1], (const char *)buffer + 64, length < 64 ? length : 64);
    }
  }
  close(pair[1]);
  int result = requests(pair[0], count);
  close(pair[0]);
  waitpid(child, NULL, 0);
  return result;
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "requests") == 0) return requests(0, atol(argv[2]));
  if (argc == 3 && strcmp(argv[1], "floor") == 0) return floor_of(atol(argv[2]));
  if (argc < 3) return 1;
  receive_frame(0);
  if (strstr(argv[2], "hold") != NULL) pause();
  send_frame(0, LITERAL("\x92\x01\x81\xa4type\xabSucceedTask"));
  receive_frame(0);
  return 0;
}
