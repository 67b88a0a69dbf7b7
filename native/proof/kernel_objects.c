// Objects of parts of the kernel that ordinary programs have no business with, and whose
// holes are how sandboxes were left. Each is held for whoever looks at this process's
// descriptors. userfaultfd(2), perf_event_open(2), bpf(2), fanotify_init(2)
#define _GNU_SOURCE
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sys/fanotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attack.h"

static void HoldObject(long fd, const char* call) {
  if (fd < 0) Refused(call);
  else StayFor(500);
}

static void Userfaultfd(pid_t target, char** arguments) {
  (void)target, (void)arguments;
  HoldObject(syscall(SYS_userfaultfd, 1 /* UFFD_USER_MODE_ONLY */), "userfaultfd");
}

ATTACK("userfaultfd", Userfaultfd)

static void PerfEvent(pid_t target, char** arguments) {
  (void)target, (void)arguments;
  struct perf_event_attr attributes = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attributes, .config = PERF_COUNT_SW_TASK_CLOCK};
  attributes.exclude_kernel = 1;
  HoldObject(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0), "perf_event_open");
}

ATTACK("perf-event", PerfEvent)

static void BpfMap(pid_t target, char** arguments) {
  (void)target, (void)arguments;
  union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1};
  HoldObject(syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map), "bpf");
}

ATTACK("bpf-map", BpfMap)

static void Fanotify(pid_t target, char** arguments) {
  (void)target, (void)arguments;
  HoldObject(syscall(SYS_fanotify_init, FAN_CLASS_NOTIF | FAN_REPORT_FID, 0), "fanotify_init");
}

ATTACK("fanotify", Fanotify)
