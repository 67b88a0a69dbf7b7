import type { ArgumentTest, SeccompAction, SyscallRule } from '../kernel/seccomp.js';
import type { SyscallName } from '../kernel/syscalls.js';

// errno.h
export const EPERM = { errno: 1 };
export const EACCES = { errno: 13 };
export const EINVAL = { errno: 22 };
export const ENOSYS = { errno: 38 };
export const ENOTSUP = { errno: 95 };
export const succeedsAndDoesNothing = { errno: 0 };

type Argument = ArgumentTest['argument'];

export const int = (argument: Argument, equals: number, mask?: number): ArgumentTest =>
  mask === undefined ? { argument, type: 'int', equals } : { argument, type: 'int', equals, mask };
export const bit = (argument: Argument, flag: number): ArgumentTest => int(argument, flag, flag);
export const isNull = (argument: Argument): ArgumentTest => ({ argument, type: 'pointer', equals: 0 });

/** Allowed when all tests hold, else refused. */
const only = (...tests: ArgumentTest[]): SyscallRule => ({ clauses: [{ tests, action: 'allow' }], action: EPERM });
/** Allowed when any one test holds, else refused. */
const oneOf = (action: SeccompAction, tests: readonly ArgumentTest[]): SyscallRule => ({
  clauses: tests.map((test) => ({ tests: [test], action: 'allow' })),
  action,
});
/** Refused when any one test holds, else allowed. */
const unless = (action: SeccompAction, ...tests: ArgumentTest[]): SyscallRule => ({
  clauses: tests.map((test) => ({ tests: [test], action })),
  action: 'allow',
});

/**
 * Each its own test, for any one is enough: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; and CLONE_PARENT,
 * which makes a child of the *supervisor*, who has never heard of it and would keep its number for ever.
 */
const refusedCloneFlags = [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x00008000];

const MSG_FASTOPEN = 0x20000000;
const SOCK_STREAM = 1;
const SOCK_SEQPACKET = 5;
const SOL_SOCKET = 1;
const RLIMIT_RTTIME = 15;

/**
 * Requests of ioctl(2) that ordinary programs make. Of the thousands of others many act on a file that was only opened to read
 * (FS_IOC_SETFLAGS, BTRFS_IOC_SUBVOL_SETFLAGS), type into a terminal (TIOCSTI, TIOCLINUX, TIOCSETD), send signals by way of a descriptor
 * (FIOSETOWN, SIOCSPGRP) or tell of another process (the PIDFD_GET family).
 */
const ioctls = [
  0x5401, 0x5402, 0x5403, 0x5404, 0x802c542a, 0x402c542b, 0x402c542c, 0x402c542d, // TCGETS, TCSETS, ..SW, ..SF and the same with "2": isatty(3), tcsetattr(3)
  0x5405, 0x5406, 0x5407, 0x5408, 0x5409, 0x540a, 0x540b, // TCGETA, TCSETA, ..AW, ..AF, TCSBRK, TCXONC, TCFLSH
  0x540e, 0x5422, 0x540f, 0x5410, 0x5429, // TIOCSCTTY, TIOCNOTTY, TIOCGPGRP, TIOCSPGRP, TIOCGSID: a shell's job control
  0x5413, 0x5414, // TIOCGWINSZ, TIOCSWINSZ
  0x80045430, 0x40045431, 0x5441, // TIOCGPTN, TIOCSPTLCK, TIOCGPTPEER: openpty(3), where a policy grants /dev/ptmx
  0x541b, 0x5411, 0x5421, 0x5450, 0x5451, 0x5452, 0x5460, 0x0002, // FIONREAD, TIOCOUTQ, FIONBIO, FIONCLEX, FIOCLEX, FIOASYNC, FIOQSIZE, FIGETBSZ
  0x40049409, 0x4020940d, 0xc020660b, 0x80086601, 0x801c581f, // FICLONE, FICLONERANGE, FS_IOC_FIEMAP, FS_IOC_GETFLAGS, FS_IOC_FSGETXATTR
  0x8905, 0x8910, 0x8933, // SIOCATMARK, SIOCGIFNAME, SIOCGIFINDEX
];

/**
 * Commands of fcntl(2) that ordinary programs use. Not among them: F_SETOWN, F_SETOWN_EX, F_SETSIG (signals by way of a descriptor),
 * F_SETLEASE (holds up whoever opens the file next), F_NOTIFY (inotify's predecessor), F_SETPIPE_SZ (the room for pipes is one for all
 * processes of the user), F_SET_RW_HINT (changes a file that was only opened to read).
 */
const fcntls = [
  0, 1, 2, 3, 4, 1030, // F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC
  5, 6, 7, 36, 37, 38, 1029, // F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_CANCELLK
  9, 11, 16, 1025, 1027, 1028, 1032, 1033, 1034, // F_GETOWN, F_GETSIG, F_GETOWN_EX, F_GETLEASE, F_DUPFD_QUERY, F_CREATED_QUERY, F_GETPIPE_SZ, F_ADD_SEALS, F_GET_SEALS
];

/**
 * Options of prctl(2) that ordinary programs use, all of them about the caller itself. Any other answers EINVAL, as on a kernel that does not
 * know it: PR_SET_SECCOMP (see `seccomp`), PR_SET_MM, PR_SET_PTRACER, PR_SCHED_CORE, PR_SET_MEMORY_MERGE
 * (see `madvise`) and PR_FUTEX_HASH (memory of the kernel's for the asking) are among those.
 */
const prctls = [
  2, 3, 4, 15, 16, 30, 36, 37, 40, // PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_GET_TIMERSLACK, PR_SET_CHILD_SUBREAPER, ..GET, PR_GET_TID_ADDRESS
  7, 8, 21, 23, 24, 27, 28, 38, 39, 47, // PR_GET_KEEPCAPS, ..SET, PR_GET_SECCOMP, PR_CAPBSET_READ, ..DROP, PR_GET_SECUREBITS, ..SET, PR_SET_NO_NEW_PRIVS, ..GET, PR_CAP_AMBIENT
  25, 26, 41, 42, 52, 53, 65, 66, 0x53564d41, 0x41555856, // PR_GET_TSC, ..SET, PR_SET_THP_DISABLE, ..GET, PR_GET_SPECULATION_CTRL, ..SET, PR_SET_MDWE, ..GET, PR_SET_VMA, PR_GET_AUXV
  50, 51, 54, 55, 56, 60, 61, 63, 64, 74, 75, 76, // arm64's vector length, pointer authentication and address tags; shadow stacks
];

/** No kernel has this option: the launch tries it to see that the filter is on. native/kernel/seccomp.h has the same number. */
const FILTER_WITNESS = 0x53414c59;

const [O_CREAT, O_TMPFILE] = [0o100, 0o20000000];

/** No file is made set-uid or set-gid: `fileModes` keeps the bits out of a chmod, these out of the call that makes it. */
const withoutPrivileges = (mode: Argument, flags?: Argument): SyscallRule => ({
  clauses: [0o4000, 0o2000].flatMap((privilege) =>
    flags === undefined ? [{ tests: [bit(mode, privilege)], action: EPERM }] : [O_CREAT, O_TMPFILE].map((makes) => ({ tests: [bit(flags, makes), bit(mode, privilege)], action: EPERM })),
  ),
  action: 'allow',
});

/** SO_SNDBUF and SO_RCVBUF stay the system's: buffers are the kernel's memory, which no process's own shows. Programs set them to be faster and go on without. */
export const ownBuffers = [7, 8].map((option) => ({ tests: [int(1, SOL_SOCKET), int(2, option)], action: succeedsAndDoesNothing }));

/** Calls whose arguments decide. pid 0 means the caller: any other number is refused, its own too. */
export const examined: Partial<Record<SyscallName, SyscallRule>> = {
  open: withoutPrivileges(2, 1),
  openat: withoutPrivileges(3, 2),
  creat: withoutPrivileges(1),
  mknod: withoutPrivileges(1),
  mknodat: withoutPrivileges(2),
  // A thread with descriptors of its own (CLONE_THREAD without CLONE_FILES) would keep files open that /proc/<pid>/fd does not show.
  clone: unless(EPERM, ...refusedCloneFlags.map((flag) => bit(0, flag)), int(0, 0x00010000, 0x00010400)),
  close_range: unless(EPERM, bit(2, 2)), // CLOSE_RANGE_UNSHARE, likewise
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
  // SO_ATTACH_FILTER, SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_CBPF and _EBPF: see `seccomp`.
  setsockopt: {
    clauses: [
      ...[26, 50, 51, 52].map((option) => ({ tests: [int(1, SOL_SOCKET), int(2, option)], action: EPERM })),
      ...ownBuffers,
    ],
    action: 'allow',
  },
  ioctl: oneOf(EPERM, ioctls.map((request) => int(1, request))),
  fcntl: oneOf(EPERM, fcntls.map((command) => int(1, command))),
  // PR_SET_PDEATHSIG: SIGKILL stays SIGKILL.
  prctl: {
    clauses: [
      { tests: [int(0, 1), int(1, 9)], action: 'allow' },
      { tests: [int(0, 1)], action: EPERM },
      { tests: [int(0, FILTER_WITNESS)], action: succeedsAndDoesNothing },
      // PR_SET_DUMPABLE to 0 would hide what it has open from who holds it to its limits. Agents insist on it: they are told it was done.
      { tests: [int(0, 4), int(1, 0)], action: succeedsAndDoesNothing },
      // PR_SET_TIMERSLACK: the launch has set it (native/kernel/restrict.cc); less would let a few hundred threads keep every processor in timer interrupts.
      { tests: [int(0, 29)], action: succeedsAndDoesNothing },
      ...prctls.map((option) => ({ tests: [int(0, option)], action: 'allow' as const })),
    ],
    action: EINVAL,
  },
  // MADV_MERGEABLE: pages that are merged with those of others tell, by how long a write takes, what others hold.
  // MADV_PAGEOUT: throws out of the page cache what others use, as POSIX_FADV_DONTNEED does, of any file of the task's user.
  madvise: unless(EINVAL, int(2, 12), int(2, 21)),
  // POSIX_FADV_DONTNEED would throw files that others use out of the page cache. It is advice: not to follow it is no error.
  fadvise64: unless(succeedsAndDoesNothing, int(3, 4)),
  // PER_LINUX and the question what is set
  personality: oneOf(EPERM, [int(0, 0), int(0, 0xffffffff)]),
};
