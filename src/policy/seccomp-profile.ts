import type { ArgumentTest, SeccompAction, SeccompFilter, SyscallRule } from '../kernel/seccomp.js';
import { syscallNumbers, type SyscallName } from '../kernel/syscalls.js';

// errno.h
const EPERM = { errno: 1 };
const EACCES = { errno: 13 };
const ENOSYS = { errno: 38 };

const int = (argument: ArgumentTest['argument'], equals: number, mask?: number): ArgumentTest =>
  mask === undefined ? { argument, type: 'int', equals } : { argument, type: 'int', equals, mask };
const isNull = (argument: ArgumentTest['argument']): ArgumentTest => ({ argument, type: 'pointer', equals: 0 });

/** Allowed when all tests hold, else refused. */
const only = (...tests: ArgumentTest[]): SyscallRule => ({ clauses: [{ tests, action: 'allow' }], action: EPERM });
/** Refused when any one test holds, else allowed. */
const unless = (action: SeccompAction, ...tests: ArgumentTest[]): SyscallRule => ({
  clauses: tests.map((test) => ({ tests: [test], action })),
  action: 'allow',
});

/** Refused altogether, by why. A name that is in none of these lists, and in no rule below, is allowed. */
const refused: readonly { readonly why: string; readonly action: SeccompAction; readonly names: readonly SyscallName[] }[] = [
  {
    why: "another process's memory, registers or descriptors",
    action: EPERM,
    names: ['ptrace', 'process_vm_readv', 'process_vm_writev', 'process_madvise', 'process_mrelease', 'pidfd_getfd', 'kcmp', 'perf_event_open', 'move_pages', 'migrate_pages'],
  },
  {
    why: 'the kernel at large, and interfaces with a history of holes',
    action: EPERM,
    names: [
      'bpf', 'userfaultfd', 'fanotify_init', 'fanotify_mark', 'lookup_dcookie', 'syslog', 'acct', 'quotactl', 'quotactl_fd', 'nfsservctl',
      'init_module', 'finit_module', 'delete_module', 'create_module', 'get_kernel_syms', 'query_module', 'kexec_load', 'kexec_file_load',
      'reboot', 'swapon', 'swapoff', 'iopl', 'ioperm', 'modify_ldt', 'settimeofday', 'clock_settime', 'clock_adjtime', 'adjtimex',
      'sethostname', 'setdomainname', 'vhangup', 'uselib', 'ustat', 'sysfs', '_sysctl', 'vserver', 'security', 'tuxcall', 'afs_syscall', 'getpmsg', 'putpmsg', 'epoll_ctl_old', 'epoll_wait_old',
    ],
  },
  { why: 'a second way to make any call, which no filter sees', action: ENOSYS, names: ['io_uring_setup', 'io_uring_enter', 'io_uring_register'] },
  { why: "keys of the user's keyrings", action: EPERM, names: ['add_key', 'request_key', 'keyctl'] },
  {
    why: 'namespaces and mounts: a way to new privileges',
    action: EPERM,
    names: [
      'unshare', 'setns', 'mount', 'umount2', 'pivot_root', 'chroot', 'fsopen', 'fsconfig', 'fsmount', 'fspick', 'move_mount', 'open_tree',
      'open_tree_attr', 'mount_setattr', 'statmount', 'listmount',
    ],
  },
  { why: 'its flags lie behind a pointer: ENOSYS makes libc use clone, whose flags can be seen', action: ENOSYS, names: ['clone3'] },
  {
    why: 'objects that all processes of the user share: System V IPC and POSIX queues',
    action: EPERM,
    names: ['shmget', 'shmat', 'shmctl', 'shmdt', 'semget', 'semop', 'semctl', 'semtimedop', 'msgget', 'msgsnd', 'msgrcv', 'msgctl', 'mq_open', 'mq_unlink', 'mq_timedsend', 'mq_timedreceive', 'mq_notify', 'mq_getsetattr'],
  },
  {
    why: 'what Landlock does not see: modes, owners and attributes of files that it lets the task read',
    action: EPERM,
    names: [
      'chmod', 'fchmod', 'fchmodat', 'fchmodat2', 'chown', 'fchown', 'lchown', 'fchownat', 'setxattr', 'lsetxattr', 'fsetxattr', 'setxattrat',
      'removexattr', 'lremovexattr', 'fremovexattr', 'removexattrat', 'file_setattr', 'utime', 'utimes', 'futimesat',
    ],
  },
  { why: 'files by handle, past any path rule', action: EPERM, names: ['open_by_handle_at', 'name_to_handle_at'] },
  { why: 'files that no rule covers, and programs run from them', action: ENOSYS, names: ['memfd_create', 'memfd_secret', 'execveat'] },
  { why: 'no network: every family, Unix sockets by path included, which Landlock lets through', action: EACCES, names: ['socket'] },
];

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET: each its own test, for any one is enough. */
const namespaceFlags = [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000];
const bit = (argument: ArgumentTest['argument'], flag: number): ArgumentTest => int(argument, flag, flag);

const MSG_FASTOPEN = 0x20000000;
const RLIMIT_RTTIME = 15;

/** Calls whose arguments decide. `who` 0 and pid 0 mean the caller: any other number is refused, its own too. */
const examined: Partial<Record<SyscallName, SyscallRule>> = {
  clone: unless(EPERM, ...namespaceFlags.map((flag) => bit(0, flag))),
  // Its own limits; but RLIMIT_RTTIME carries the number by which its leftovers are found.
  prlimit64: {
    clauses: [
      { tests: [int(0, 0), int(1, RLIMIT_RTTIME), isNull(2)], action: 'allow' },
      { tests: [int(1, RLIMIT_RTTIME)], action: EPERM },
      { tests: [int(0, 0)], action: 'allow' },
    ],
    action: EPERM,
  },
  setrlimit: unless(EPERM, int(0, RLIMIT_RTTIME)),
  sched_setaffinity: only(int(0, 0)),
  sched_setscheduler: only(int(0, 0)),
  sched_setparam: only(int(0, 0)),
  sched_setattr: only(int(0, 0)),
  // PRIO_PROCESS alone: PRIO_USER with who 0 is every process of the user, the supervisor too.
  setpriority: only(int(0, 0), int(1, 0)),
  ioprio_set: only(int(0, 1), int(1, 0)),
  socketpair: only(int(0, 1)), // AF_UNIX
  sendto: unless(EPERM, bit(3, MSG_FASTOPEN)),
  sendmsg: unless(EPERM, bit(2, MSG_FASTOPEN)),
  sendmmsg: unless(EPERM, bit(3, MSG_FASTOPEN)),
  // TIOCSTI, TIOCLINUX, TIOCSETD; FIOSETOWN, SIOCSPGRP: typing into a terminal, and signals by way of a descriptor.
  ioctl: unless(EPERM, int(1, 0x5412), int(1, 0x541c), int(1, 0x5423), int(1, 0x8901), int(1, 0x8902)),
  // F_SETOWN, F_SETSIG, F_SETOWN_EX: signals likewise. F_SETLEASE: a lease holds up whoever opens the
  // file next. F_SETPIPE_SZ: the room for pipes is one for all processes of the user.
  fcntl: unless(EPERM, int(1, 8), int(1, 10), int(1, 15), int(1, 1024), int(1, 1031)),
  // PR_SET_PDEATHSIG: SIGKILL stays SIGKILL. PR_SET_MM, PR_SCHED_CORE, PR_SET_PTRACER.
  prctl: {
    clauses: [{ tests: [int(0, 1), int(1, 9)], action: 'allow' }, ...[1, 35, 62, 0x59616d61].map((option) => ({ tests: [int(0, option)], action: EPERM }))],
    action: 'allow',
  },
  // PER_LINUX and the question what is set
  personality: { clauses: [{ tests: [int(0, 0)], action: 'allow' }, { tests: [int(0, 0xffffffff)], action: 'allow' }], action: EPERM },
  // Times of a file the task has open; not of a path, which could be the supervisor's.
  utimensat: { clauses: [{ tests: [isNull(1)], action: 'allow' }], action: EPERM },
};

const allowed: SyscallRule = { action: 'allow' };

let profile: SeccompFilter | undefined;

/**
 * The default filter of a task: every call that the table has a name for, less what stands above.
 * A call without a name, from a newer kernel, answers ENOSYS as on an older one.
 */
export function seccompProfile(): SeccompFilter {
  if (profile !== undefined) return profile;
  const rules = new Map<SyscallName, SyscallRule>();
  for (const name of Object.keys(syscallNumbers) as SyscallName[]) rules.set(name, examined[name] ?? allowed);
  for (const { action, names } of refused) {
    const rule: SyscallRule = { action };
    for (const name of names) rules.set(name, rule);
  }
  profile = { rules, defaultAction: ENOSYS };
  return profile;
}
