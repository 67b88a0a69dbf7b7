import type { AccessFs } from '../kernel/landlock.js';
import type { SeccompAction, SeccompFilter, SyscallRule } from '../kernel/seccomp.js';
import { architectures, syscallNumbers, type Architecture, type SyscallName } from '../kernel/syscalls.js';
import type { NativeTracedCall } from '../native.js';

type Argument = 0 | 1 | 2 | 3 | 4 | 5;

/** What a trace keeps of a call: a path and the folder it starts at, and the arguments that say what was asked for. */
interface TracedCall {
  readonly path?: Argument;
  readonly folder?: Argument;
  readonly numbers?: readonly Argument[];
}

/** Calls that the filter lets through and Landlock decides about: the right each needs, on the path or on the folder it is in. */
export const fileCalls = {
  open: { path: 0, numbers: [1], needs: 'flags' },
  openat: { folder: 0, path: 1, numbers: [2], needs: 'flags' },
  openat2: { folder: 0, path: 1, needs: 'read_file' },
  creat: { path: 0, needs: 'make_reg' },
  execve: { path: 0, needs: 'execute' },
  truncate: { path: 0, needs: 'truncate' },
  mkdir: { path: 0, needs: 'make_dir' },
  mkdirat: { folder: 0, path: 1, needs: 'make_dir' },
  mknod: { path: 0, needs: 'make_fifo' },
  mknodat: { folder: 0, path: 1, needs: 'make_fifo' },
  rmdir: { path: 0, needs: 'remove_dir' },
  unlink: { path: 0, needs: 'remove_file' },
  unlinkat: { folder: 0, path: 1, numbers: [2], needs: 'remove_file' },
  rename: { path: 1, needs: 'refer' },
  renameat: { folder: 2, path: 3, needs: 'refer' },
  renameat2: { folder: 2, path: 3, needs: 'refer' },
  link: { path: 1, needs: 'refer' },
  linkat: { folder: 2, path: 3, needs: 'refer' },
  symlink: { path: 1, needs: 'make_sym' },
  symlinkat: { folder: 1, path: 2, needs: 'make_sym' },
} as const satisfies Partial<Record<SyscallName, TracedCall & { readonly needs: AccessFs | 'flags' }>>;

/** What says most about a call that the filter itself refuses. A call in neither list is known by its name alone. */
const filteredCalls: Partial<Record<SyscallName, TracedCall>> = {
  socket: { numbers: [0, 1, 2] },
  socketpair: { numbers: [0, 1, 2] },
  setsockopt: { numbers: [1, 2] },
  ioctl: { numbers: [1] },
  fcntl: { numbers: [1] },
  prctl: { numbers: [0] },
  clone: { numbers: [0] },
  personality: { numbers: [0] },
  madvise: { numbers: [2] },
  prlimit64: { numbers: [0, 1] },
  setrlimit: { numbers: [0] },
  chmod: { path: 0, numbers: [1] },
  fchmodat: { folder: 0, path: 1, numbers: [2] },
  fchmodat2: { folder: 0, path: 1, numbers: [2] },
  chown: { path: 0 },
  lchown: { path: 0 },
  fchownat: { folder: 0, path: 1 },
  utime: { path: 0 },
  utimes: { path: 0 },
  futimesat: { folder: 0, path: 1 },
  utimensat: { folder: 0, path: 1 },
  inotify_add_watch: { path: 1 },
  setxattr: { path: 0 },
  lsetxattr: { path: 0 },
  getxattr: { path: 0 },
  lgetxattr: { path: 0 },
  listxattr: { path: 0 },
  llistxattr: { path: 0 },
  removexattr: { path: 0 },
};

/** The table as the native side takes it, for one architecture. Pure. */
export function tracedCalls(arch: Architecture): NativeTracedCall[] {
  const column = architectures.indexOf(arch);
  const rows = Object.entries({ ...filteredCalls, ...fileCalls }) as [SyscallName, TracedCall][];
  return rows.flatMap(([name, { path = -1, folder = -1, numbers = [] }]) => {
    const nr = syscallNumbers[name][column] ?? -1;
    return nr < 0 ? [] : [[nr, numbers.reduce<number>((bits, argument) => bits | (1 << argument), 0), folder, path] as const];
  });
}

const asks = (action: SeccompAction): SeccompAction => (typeof action === 'object' && action.errno !== 0 ? 'notify' : action);

/**
 * The same profile with every refusal left to the supervisor, which gives the same answer and remembers; and every call
 * with a path shown to it before the kernel makes it. Pure.
 */
export function tracedProfile(filter: SeccompFilter): SeccompFilter {
  const traced = ({ clauses = [], action }: SyscallRule): SyscallRule => ({ clauses: clauses.map(({ tests, action: of }) => ({ tests, action: asks(of) })), action: asks(action) });
  const rules = new Map([...filter.rules].map(([name, rule]) => [name, name in fileCalls && rule.action === 'allow' ? { action: 'notify' as const } : traced(rule)] as const));
  return { rules, defaultAction: asks(filter.defaultAction) };
}

const names = new Map<Architecture, Map<number, SyscallName>>();

/** A call's name; undefined where the table has none. */
export function syscallName(arch: Architecture, nr: number): SyscallName | undefined {
  let known = names.get(arch);
  if (known === undefined) {
    const column = architectures.indexOf(arch);
    names.set(arch, (known = new Map((Object.keys(syscallNumbers) as SyscallName[]).map((name) => [syscallNumbers[name][column] ?? -1, name]))));
  }
  return known.get(nr);
}
