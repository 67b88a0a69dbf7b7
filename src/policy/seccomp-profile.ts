import type { SeccompAction, SeccompFilter, SyscallRule } from '../kernel/seccomp.js';
import { syscallNumbers, type SyscallName } from '../kernel/syscalls.js';
import type { NetworkPlan } from './network.js';
import type { FileModes } from './policy.js';
import { EACCES, ENOSYS, ENOTSUP, EPERM, examined, int, isNull, succeedsAndDoesNothing } from './seccomp-arguments.js';
import { networkRules } from './seccomp-network.js';

interface Group {
  readonly what: string;
  readonly names: readonly SyscallName[];
}

/**
 * Allowed, whatever the arguments. Together with `examined` this is what Docker's default profile lets a container without capabilities do,
 * less `refused`; test/seccomp-profile.ts holds it against a copy of that profile, so that nothing is added or lost by accident.
 */
export const allowed: readonly Group[] = [
  {
    what: 'files and folders by name: Landlock decides which',
    names: [
      'mkdir', 'mkdirat', 'rmdir', 'unlink', 'unlinkat', 'rename', 'renameat', 'renameat2',
      'link', 'linkat', 'symlink', 'symlinkat', 'readlink', 'readlinkat', 'truncate', 'stat', 'lstat', 'newfstatat', 'statx', 'statfs', 'access',
      'faccessat', 'faccessat2', 'chdir', 'fchdir', 'getcwd', 'getdents', 'getdents64', 'umask',
    ],
  },
  {
    what: 'files that are open',
    names: [
      'read', 'readv', 'pread64', 'preadv', 'preadv2', 'write', 'writev', 'pwrite64', 'pwritev', 'pwritev2', 'lseek', 'close', 'dup', 'dup2',
      'dup3', 'fstat', 'fstatfs', 'ftruncate', 'fsync', 'fdatasync', 'sync_file_range', 'flock', 'readahead', 'copy_file_range', 'sendfile',
      'splice', 'tee', 'pipe', 'pipe2',
    ],
  },
  {
    what: 'waiting',
    names: [
      'poll', 'ppoll', 'select', 'pselect6', 'epoll_create', 'epoll_create1', 'epoll_ctl', 'epoll_wait', 'epoll_pwait', 'epoll_pwait2', 'eventfd', 'eventfd2',
      'signalfd', 'signalfd4', 'timerfd_create', 'timerfd_settime', 'timerfd_gettime', 'futex', 'futex_wait', 'futex_waitv', 'futex_wake', 'futex_requeue',
      'set_robust_list', 'pause', 'nanosleep', 'clock_nanosleep', 'restart_syscall',
    ],
  },
  {
    what: 'its own memory',
    names: [
      'brk', 'mmap', 'munmap', 'mremap', 'mprotect', 'msync', 'mincore', 'mlock', 'mlock2', 'mlockall', 'munlock', 'munlockall', 'mseal', 'map_shadow_stack',
      'membarrier', 'pkey_alloc', 'pkey_free', 'pkey_mprotect',
    ],
  },
  {
    what: 'processes and threads, and what they may ask of themselves',
    names: [
      'fork', 'vfork', 'execve', 'exit', 'exit_group', 'wait4', 'waitid', 'pidfd_open', 'set_tid_address', 'rseq', 'arch_prctl', 'getpid', 'getppid', 'gettid',
      'getpgid', 'getpgrp', 'setpgid', 'getsid', 'setsid', 'getrlimit', 'getrusage', 'times', 'getcpu', 'getpriority', 'ioprio_get', 'sched_yield',
      'sched_getaffinity', 'sched_getattr', 'sched_getparam', 'sched_getscheduler', 'sched_get_priority_max', 'sched_get_priority_min', 'sched_rr_get_interval',
    ],
  },
  {
    what: "signals: Landlock's scope ends them at the task's border",
    names: [
      'kill', 'tkill', 'tgkill', 'rt_sigqueueinfo', 'rt_tgsigqueueinfo', 'pidfd_send_signal', 'rt_sigaction', 'rt_sigprocmask', 'rt_sigpending', 'rt_sigreturn',
      'rt_sigsuspend', 'rt_sigtimedwait', 'sigaltstack',
    ],
  },
  {
    what: 'time and timers',
    names: [
      'time', 'gettimeofday', 'clock_gettime', 'clock_getres', 'alarm', 'getitimer', 'setitimer', 'timer_create', 'timer_delete', 'timer_getoverrun',
      'timer_gettime', 'timer_settime',
    ],
  },
  {
    what: 'who it is: with no capability these change nothing that matters',
    names: [
      'getuid', 'geteuid', 'getgid', 'getegid', 'getresuid', 'getresgid', 'getgroups', 'setuid', 'setgid', 'setreuid', 'setregid', 'setresuid', 'setresgid',
      'setfsuid', 'setfsgid', 'setgroups', 'capget', 'capset',
    ],
  },
  {
    what: 'sockets that it was given, or made in pairs',
    names: ['recvfrom', 'recvmsg', 'recvmmsg', 'shutdown', 'getsockname', 'getpeername', 'getsockopt'],
  },
  { what: 'the host in general', names: ['uname', 'sysinfo', 'getrandom'] },
];

interface Refusal extends Group {
  readonly action: SeccompAction;
}

/** Refused here, though Docker's default profile allows each of them, or allows it to some capability. */
export const refused: readonly Refusal[] = [
  {
    what: "another process's memory, registers, descriptors or pointers",
    action: EPERM,
    names: ['ptrace', 'process_vm_readv', 'process_vm_writev', 'process_madvise', 'process_mrelease', 'pidfd_getfd', 'kcmp', 'get_robust_list'],
  },
  {
    what: 'objects that all processes of the user share: System V IPC and POSIX queues',
    action: EPERM,
    names: [
      'shmget', 'shmat', 'shmctl', 'shmdt', 'semget', 'semop', 'semctl', 'semtimedop', 'msgget', 'msgsnd', 'msgrcv', 'msgctl', 'mq_open', 'mq_unlink',
      'mq_timedsend', 'mq_timedreceive', 'mq_notify', 'mq_getsetattr',
    ],
  },
  {
    what: 'what Landlock does not see: extended attributes, of any file that can be named',
    action: ENOTSUP,
    names: [
      'setxattr', 'lsetxattr', 'fsetxattr', 'setxattrat', 'getxattr', 'lgetxattr', 'fgetxattr', 'getxattrat', 'listxattr', 'llistxattr', 'flistxattr',
      'listxattrat', 'removexattr', 'lremovexattr', 'fremovexattr', 'removexattrat',
    ],
  },
  {
    what: "names of files in any folder, and one of the user's few instances, which the supervisor needs itself",
    action: EPERM,
    names: ['inotify_init', 'inotify_init1', 'inotify_add_watch', 'inotify_rm_watch', 'fanotify_mark'],
  },
  { what: 'files by handle, past any path rule', action: EPERM, names: ['open_by_handle_at', 'name_to_handle_at'] },
  { what: 'files that no rule covers, and programs run from them', action: ENOSYS, names: ['memfd_create', 'memfd_secret', 'execveat'] },
  {
    what: 'its flags lie behind a pointer: ENOSYS makes libc use clone, whose flags can be seen',
    action: ENOSYS,
    names: ['clone3'],
  },
  {
    what: 'compiled filters take from room that is one for the whole host (net.core.bpf_jit_limit): used up, nothing could be launched any more',
    action: ENOSYS,
    names: ['seccomp'],
  },
  {
    what: "rules take memory of the kernel's, some GB for a task's descriptors, which no measure of its memory shows; its domain is closed already",
    action: ENOSYS,
    names: ['landlock_create_ruleset', 'landlock_add_rule', 'landlock_restrict_self'],
  },
  {
    what: 'asynchronous reads and writes, whose number is one for the whole host (fs.aio-max-nr); who uses them can do without',
    action: ENOSYS,
    names: ['io_setup', 'io_submit', 'io_cancel', 'io_destroy', 'io_getevents', 'io_pgetevents'],
  },
  { what: 'its mode lies behind a pointer, and with it set-uid; libraries go on with openat', action: ENOSYS, names: ['openat2'] },
  { what: 'fills a disk between two looks; libc writes instead', action: ENOTSUP, names: ['fallocate'] },
  { what: "makes every disk of the host write out what others wrote", action: EPERM, names: ['sync', 'syncfs'] },
  { what: 'what others have in the page cache, and the list of mounts', action: ENOSYS, names: ['cachestat', 'statmount', 'listmount'] },
  {
    what: 'no use but to attackers of the kernel: descriptor tables of i386, pages lent to pipes, mappings out of order, the clock',
    action: EPERM,
    names: ['modify_ldt', 'set_thread_area', 'get_thread_area', 'vmsplice', 'remap_file_pages', 'adjtimex', 'clock_adjtime', 'epoll_ctl_old', 'epoll_wait_old'],
  },
  {
    what: 'no network: every family, Unix sockets by path included, which Landlock lets through',
    action: EACCES,
    names: ['socket', 'connect', 'bind', 'listen', 'accept', 'accept4'],
  },
];

/**
 * What is in none of these lists Docker's default refuses to a container without capabilities as well, and so does this profile, with
 * EPERM: mounts and namespaces, kernel modules, bpf, perf events, keyrings, userfaultfd, quotas, swap, clocks, NUMA policy ...
 * These few are answered as by a kernel that lacks them, for libraries try them and know how to go on without.
 */
export const absent: readonly SyscallName[] = [
  'io_uring_setup', 'io_uring_enter', 'io_uring_register', // a second way to make any call, which no filter sees
  'open_tree', 'open_tree_attr', 'mount_setattr', 'lsm_get_self_attr', 'lsm_set_self_attr', 'lsm_list_modules', 'file_getattr', 'file_setattr',
];

/** What Landlock does not see either: modes, owners and times. Of any file of the user's that can be named, the supervisor's too. */
export const fileModes: readonly SyscallName[] = ['chmod', 'fchmod', 'fchmodat', 'fchmodat2', 'chown', 'fchown', 'lchown', 'fchownat', 'utime', 'utimes', 'futimesat', 'utimensat'];

/** signal(7), on x86_64 and aarch64 alike. */
const SIGCHLD = 17;

/** What a plan decides about the filter. */
export interface ProfileOptions {
  readonly fileModes: FileModes;
  readonly network?: NetworkPlan | undefined;
  /**
   * Leaves each new process, thread or session to the supervisor to allow, and tells it of each shared mapping and file lock: by
   * numbers alone, which cannot change any more. @default false
   */
  readonly asksToStart?: boolean | undefined;
}

/**
 * The filter of a task: what stands above, and nothing else.
 * A call without a name in the table, from a newer kernel, answers ENOSYS as on an older one.
 */
export function seccompProfile({ fileModes: wanted, network, asksToStart = false }: ProfileOptions): SeccompFilter {
  const rules = new Map<SyscallName, SyscallRule>();
  const set = (names: readonly SyscallName[], action: SeccompAction): void => {
    const rule: SyscallRule = { action };
    for (const name of names) rules.set(name, rule);
  };
  set(Object.keys(syscallNumbers) as SyscallName[], EPERM);
  set(absent, ENOSYS);
  for (const { names, action } of refused) set(names, action);
  for (const { names } of allowed) set(names, 'allow');
  for (const [name, rule] of Object.entries(examined)) rules.set(name as SyscallName, rule);
  for (const [name, rule] of Object.entries(network === undefined ? {} : networkRules(network))) rules.set(name as SyscallName, rule);
  if (asksToStart) {
    // setsid: where the kernel groups by session (sched_autogroup_enabled), each is given as much of the processors as the supervisor.
    set(['fork', 'vfork', 'setsid'], 'notify');
    // F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW: each may be a lock more, in the kernel's memory.
    const locking = [6, 7, 37, 38].map((command) => ({ tests: [int(1, command)], action: 'notify' as const }));
    rules.set('fcntl', { ...examined.fcntl, clauses: [...locking, ...(examined.fcntl?.clauses ?? [])], action: examined.fcntl?.action ?? EPERM });
    // MAP_SHARED: its pages live on when no process has them mapped any more, as long as a page of the mapping stays.
    rules.set('mmap', { clauses: [{ tests: [int(3, 1, 1)], action: 'notify' }], action: 'allow' });
    rules.set('clone', { ...examined.clone, action: 'notify' });
    // While one of these waits for the supervisor a signal can end it: native/kernel/calls.cc has SIGCHLD restart it.
    rules.set('rt_sigaction', { clauses: [{ tests: [int(0, SIGCHLD), isNull(1)], action: 'allow' }, { tests: [int(0, SIGCHLD)], action: 'notify' }], action: 'allow' });
  }
  const modes = { own: 'notify', ignored: succeedsAndDoesNothing, refused: EPERM }[wanted] as SeccompAction;
  set(fileModes, modes);
  return { rules, defaultAction: ENOSYS };
}
