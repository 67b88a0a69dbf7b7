import type { Row } from '../attack.js';
import { autogroups, root, severalCpus } from '../needs.js';

export const interference: readonly Row[] = [
  { name: 'prlimit', title: 'prlimit', kind: 'native', off: 'disrupted', demo: true, how: 'leaves the supervisor without a single new descriptor' },
  { name: 'prlimit-cpu', title: 'prlimit, RLIMIT_CPU', kind: 'native', off: 'disrupted', how: 'has the kernel kill it for the processor time it has spent' },
  { name: 'prlimit-memory', title: 'prlimit, RLIMIT_DATA', kind: 'native', off: 'disrupted', how: 'leaves it without a page more' },
  { name: 'prlimit-fsize', title: 'prlimit, RLIMIT_FSIZE', kind: 'native', off: 'disrupted', how: 'has it killed when it writes to a file' },
  { name: 'nice', title: 'setpriority', kind: 'native', off: 'disrupted', how: 'gives it the lowest priority' },
  { name: 'nice-group', title: 'setpriority, PRIO_PGRP', kind: 'native', off: 'disrupted', how: 'gives its process group the lowest priority' },
  { name: 'affinity', title: 'sched_setaffinity', kind: 'native', off: 'disrupted', needs: [severalCpus], how: 'binds it to one processor, to be kept busy' },
  { name: 'scheduler', title: 'sched_setscheduler', kind: 'native', off: 'disrupted', how: 'has it run when nothing else wants to' },
  { name: 'sched-attr', title: 'sched_setattr', kind: 'native', off: 'disrupted', how: 'changes its policy and its priority at once' },
  { name: 'oom-score-adj', title: 'oom_score_adj', kind: 'native', off: 'disrupted', how: 'makes it the first to be killed when memory is short' },
  { name: 'coredump-filter', title: 'coredump_filter', kind: 'native', off: 'disrupted', how: 'says what its cores are to hold' },
  { name: 'autogroup', title: 'autogroup', kind: 'native', off: 'disrupted', needs: [autogroups], how: "lowers its session's share of the processors" },
  { name: 'timerslack', title: 'timerslack_ns', kind: 'native', off: 'disrupted', needs: [root], how: 'lets its timers be seconds late' },
];
