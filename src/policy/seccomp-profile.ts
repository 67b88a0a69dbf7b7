import type { ArgumentTest, SeccompAction, SeccompFilter, SyscallRule } from '../kernel/seccomp.js';
import { syscallNumbers, type SyscallName } from '../kernel/syscalls.js';

// errno.h
const EPERM = { errno: 1 };
const EACCES = { errno: 13 };
const ENOSYS = { errno: 38 };
const ENOTSUP = { errno: 95 };

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
    why: 'what Landlock does not see: extended attributes, of any file that can be named',
    action: ENOTSUP,
    names: [
      'setxattr', 'lsetxattr', 'fsetxattr', 'setxattrat', 'getxattr', 'lgetxattr', 'fgetxattr', 'getxattrat', 'listxattr', 'llistxattr', 'flistxattr', 'listxattrat',
      'removexattr', 'lremovexattr', 'fremovexattr', 'removexattrat', 'file_setattr', 'file_getattr',
    ],
  },
  { why: "names of files in any folder, and one of the user's few instances, which the supervisor needs itself", action: EPERM, names: ['inotify_init', 'inotify_init1', 'inotify_add_watch'] },
  { why: 'files by handle, past any path rule', action: EPERM, names: ['open_by_handle_at', 'name_to_handle_at'] },
  { why: 'files that no rule covers, and programs run from them', action: ENOSYS, names: ['memfd_create', 'memfd_secret', 'execveat'] },
  { why: 'no network: every family, Unix sockets by path included, which Landlock lets through', action: EACCES, names: ['socket', 'connect', 'bind', 'listen', 'accept', 'accept4'] },
];

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET: each its own test, for any one is enough. */
const namespaceFlags = [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000];
const bit = (argument: ArgumentTest['argument'], flag: number): ArgumentTest => int(argument, flag, flag);

const MSG_FASTOPEN = 0x20000000;
const SOCK_STREAM = 1;
const SOCK_SEQPACKET = 5;
/**
 * Requests of ioctl(2) that are refused: TIOCSTI, TIOCLINUX, TIOCSETD (typing into a terminal), FIOSETOWN, SIOCSPGRP (signals by way of
 * a descriptor), FS_IOC_SETFLAGS and its 32-bit twin, FS_IOC_FSSETXATTR, FS_IOC_SETVERSION, FS_IOC_ENABLE_VERITY,
 * FS_IOC_SET_ENCRYPTION_POLICY, FS_IOC_ADD_ENCRYPTION_KEY (attributes of a file that was only opened to read).
 */
const refusedIoctls = [0x5412, 0x541c, 0x5423, 0x8901, 0x8902, 0x40086602, 0x40046602, 0x401c5820, 0x40087602, 0x40806685, 0x800c6613, 0xc0506617];
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
  // AF_UNIX, and of its types those that are bound to their pair: a datagram socket could be sent from to any path.
  socketpair: {
    clauses: [SOCK_STREAM, SOCK_SEQPACKET].map((type) => ({ tests: [int(0, 1), int(1, type, 0xf)], action: 'allow' })),
    action: EPERM,
  },
  sendto: unless(EPERM, bit(3, MSG_FASTOPEN)),
  sendmsg: unless(EPERM, bit(2, MSG_FASTOPEN)),
  sendmmsg: unless(EPERM, bit(3, MSG_FASTOPEN)),
  ioctl: unless(EPERM, ...refusedIoctls.map((request) => int(1, request))),
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
};

/** What Landlock does not see either: modes, owners and times. Of any file of the user's that can be named, the supervisor's too. */
const fileModes: readonly SyscallName[] = ['chmod', 'fchmod', 'fchmodat', 'fchmodat2', 'chown', 'fchown', 'lchown', 'fchownat', 'utime', 'utimes', 'futimesat'];
const succeedsAndDoesNothing = { errno: 0 };

const allowed: SyscallRule = { action: 'allow' };

/**
 * The filter of a task: every call that the table has a name for, less what stands above.
 * A call without a name, from a newer kernel, answers ENOSYS as on an older one.
 */
export function seccompProfile({ ignoreFileModes }: { readonly ignoreFileModes: boolean }): SeccompFilter {
  const rules = new Map<SyscallName, SyscallRule>();
  for (const name of Object.keys(syscallNumbers) as SyscallName[]) rules.set(name, examined[name] ?? allowed);
  for (const { action, names } of refused) {
    const rule: SyscallRule = { action };
    for (const name of names) rules.set(name, rule);
  }
  const modes: SyscallRule = { action: ignoreFileModes ? succeedsAndDoesNothing : EPERM };
  for (const name of fileModes) rules.set(name, modes);
  // Without a path it is a file that the task has open, which is how touch and futimens(3) work.
  rules.set('utimensat', { clauses: [{ tests: [isNull(1)], action: 'allow' }], action: modes.action });
  return { rules, defaultAction: ENOSYS };
}
