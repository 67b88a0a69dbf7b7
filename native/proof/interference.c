// How much another process gets of the machine, and how soon it is sacrificed. For most of
// these the kernel asks for equal uids and nothing else. setpriority(2), sched(7), proc(5)
#define _GNU_SOURCE
#include "attack.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SCHED_IDLE
#define SCHED_IDLE 5
#endif

static void Nice(pid_t target, char** arguments) {
  (void)arguments;
  if (setpriority(PRIO_PROCESS, (id_t)target, 19) != 0) Refused("setpriority(PRIO_PROCESS)");
}

static void NiceGroup(pid_t target, char** arguments) {
  (void)arguments;
  if (setpriority(PRIO_PGRP, (id_t)target, 19) != 0) Refused("setpriority(PRIO_PGRP)");
}

static void Affinity(pid_t target, char** arguments) {
  (void)arguments;
  cpu_set_t allowed;
  cpu_set_t one;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++) {
    if (CPU_ISSET(cpu, &allowed)) CPU_SET(cpu, &one);
  }
  if (sched_setaffinity(target, sizeof one, &one) != 0) Refused("sched_setaffinity");
}

static void Scheduler(pid_t target, char** arguments) {
  (void)arguments;
  const struct sched_param none = {0};
  if (sched_setscheduler(target, SCHED_IDLE, &none) != 0) Refused("sched_setscheduler(SCHED_IDLE)");
}

// struct sched_attr of linux/sched/types.h, as long as it was at first.
static void SchedulerAttributes(pid_t target, char** arguments) {
  (void)arguments;
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } attributes = {sizeof attributes, 3 /* SCHED_BATCH */, 0, 10, 0, 0, 0, 0};
  if (syscall(SYS_sched_setattr, target, &attributes, 0) != 0) Refused("sched_setattr");
}

static void Write(pid_t target, const char* name, const char* text) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", (int)target, name);
  const int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0 || write(file, text, strlen(text)) < 0) Refused(path);
  if (file >= 0) close(file);
}

static void OomScoreAdj(pid_t target, char** arguments) {
  (void)arguments;
  Write(target, "oom_score_adj", "1000");
}

static void CoredumpFilter(pid_t target, char** arguments) {
  (void)arguments;
  Write(target, "coredump_filter", "0x7f");
}

static void Timerslack(pid_t target, char** arguments) {
  (void)arguments;
  Write(target, "timerslack_ns", "4000000000");
}

static void Autogroup(pid_t target, char** arguments) {
  (void)arguments;
  Write(target, "autogroup", "19");
}

ATTACK("nice", Nice)
ATTACK("nice-group", NiceGroup)
ATTACK("affinity", Affinity)
ATTACK("scheduler", Scheduler)
ATTACK("sched-attr", SchedulerAttributes)
ATTACK("oom-score-adj", OomScoreAdj)
ATTACK("coredump-filter", CoredumpFilter)
ATTACK("timerslack", Timerslack)
ATTACK("autogroup", Autogroup)
