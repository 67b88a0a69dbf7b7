import type { Guarantee, GuaranteeName, Level } from '../guarantees.js';
import type { CgroupController } from '../kernel/cgroup.js';
import { openErrata } from '../kernel/landlock.js';
import type { Probe } from '../kernel/probe.js';

/** What one guarantee rests on in a task, and what this host lacks for it. */
interface Row {
  readonly name: GuaranteeName;
  readonly mechanisms: readonly string[];
  /** Lowest Landlock ABI that carries it. */
  readonly landlockAbi: number;
  readonly seccomp: boolean;
  /** Whether a bug of Landlock's that widens what rules allow is its own. */
  readonly errata?: boolean;
  /** Whether it needs a /proc that shows every process. */
  readonly proc?: boolean;
  /** What it rests on besides, where the host lets a task have a cgroup. */
  readonly cgroup?: (controllers: readonly CgroupController[]) => readonly string[];
  /** What it rests on besides with level `strict`. */
  readonly strict?: readonly string[];
  /** What this release does not do yet, on any host. */
  readonly open?: readonly string[];
  /** What it does not promise. */
  readonly notes?: readonly string[];
}

const domain = 'a Landlock domain of its own';
const pidNamespace = 'a PID namespace of its own: no process outside has a number in it';
const noCapabilities = 'no capabilities, NO_NEW_PRIVS';
const filter = 'seccomp filter';

/** The guarantees that a launch gives. The other six are `harden()`'s: they concern the supervisor itself. */
const rows: readonly Row[] = [
  { name: 'signals', mechanisms: ['Landlock SCOPE_SIGNAL', 'session of its own', `${filter}: F_SETOWN, FIOSETOWN`], strict: [pidNamespace], landlockAbi: 6, seccomp: true },
  { name: 'interference', mechanisms: [`${filter}: prlimit, sched_*, setpriority, ioprio_set by argument`, 'Landlock: /proc and /sys/fs/cgroup not granted'], strict: [pidNamespace, 'a /proc of its own'], landlockAbi: 3, seccomp: true },
  { name: 'siblings', mechanisms: [domain, `${filter}: ptrace, process_vm_*, pidfd_getfd`], strict: [pidNamespace], landlockAbi: 1, seccomp: true },
  { name: 'privileges', mechanisms: [noCapabilities, 'securebits where the supervisor may set them', `${filter}: clone flags, unshare, setns, mount`], landlockAbi: 0, seccomp: true },
  { name: 'files', mechanisms: ['Landlock: nothing but the policy', `${filter}: chmod, chown, xattr, memfd_create, execveat`], landlockAbi: 3, seccomp: true, errata: true },
  { name: 'network', mechanisms: [`${filter}: socket`, 'what the policy grants is connected and bound by the supervisor, by pinned address', 'Landlock: TCP', 'Landlock: SCOPE_ABSTRACT_UNIX_SOCKET'], strict: ['a network namespace of its own, its loopback down'], landlockAbi: 6, seccomp: true },
  { name: 'inheritance', mechanisms: ['environment from scratch', 'close_range', 'setsid', 'new session keyring', `${filter}: System V IPC`], strict: ['an IPC namespace of its own'], landlockAbi: 3, seccomp: true },
  { name: 'kernel', mechanisms: [`${filter}: calls without a name in the profile`, 'architecture check'], landlockAbi: 0, seccomp: true },
  {
    name: 'resources',
    mechanisms: [
      'RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_CPU, RLIMIT_SIGPENDING, RLIMIT_CORE',
      'processor time of the whole task; bytes and files of its scratch folder, files without a name included; bytes of its output',
      'each new process or thread allowed by the supervisor, where no cgroup counts them',
      'memory and descriptors of the whole task, measured every 50 ms',
      'wall time',
      'bounded buffers in the supervisor',
    ],
    landlockAbi: 0,
    seccomp: true,
    cgroup: (controllers) => [
      ...(controllers.includes('memory') ? ['cgroup v2: memory.max'] : []),
      ...(controllers.includes('pids') ? ['cgroup v2: pids.max'] : []),
    ],
    open: ['what the kernel counts for all processes of the user together (epoll watches, pipe pages, socket buffers) is bounded for one task, and many tasks at once can still use it up'],
    notes: ['folders of `write`, and processor time where the policy names no `cpuSeconds`, are the author\'s to bound'],
  },
  {
    name: 'leftovers',
    mechanisms: [
      'every process of the task carries a tag in a hard limit; all that carry it are killed before `exited` resolves',
      'parent-death signal, and a sweeper that outlives the supervisor',
    ],
    strict: ['a PID namespace of its own: the kernel ends all of it with its pid 1'],
    cgroup: () => ['a cgroup v2 of its own: cgroup.kill until it is empty'],
    landlockAbi: 6,
    seccomp: true,
    proc: true,
  },
  { name: 'identity', mechanisms: ['a task is the descriptor it holds; permissions are closed until granted'], landlockAbi: 1, seccomp: true },
  { name: 'channel', mechanisms: ['frames with caps, decoded in TypeScript', 'descriptors from a task are discarded'], landlockAbi: 0, seccomp: false },
];

/** Lowest ABI of `standard`: Linux 6.12, where signals and abstract sockets end at the domain's border. */
export const standardLandlockAbi = 6;

function lacks(row: Row, host: Probe): string[] {
  const missing: string[] = [];
  if (host.landlockAbi < row.landlockAbi) {
    missing.push(`needs Landlock ABI ${row.landlockAbi} (this kernel has ${host.landlockAbi === 0 ? 'none' : host.landlockAbi})`);
  }
  if (row.seccomp && !(host.seccomp && host.arch !== 'other')) {
    missing.push(host.arch === 'other' ? 'the filter is for x86_64 and aarch64' : 'needs seccomp filters');
  }
  if (row.proc === true && !host.procWhole) missing.push('needs a /proc of this PID namespace that hides no process (hidepid)');
  return missing;
}

/** Kernels before 6.15 do not tell which they are rid of. */
const openBugs = (host: Probe): string[] =>
  openErrata(host).filter(({ widens }) => widens).map(({ number, what }) => `Landlock erratum ${number}, which this kernel does not say is fixed: ${what}`);

/** A task's report for a host. Pure: the same for the same probe. */
export function taskGuarantees(host: Probe, level: Level = 'standard'): readonly Guarantee[] {
  return rows.map((row) => {
    const missing = lacks(row, host);
    const open = [...(row.open ?? []), ...(row.errata === true ? openBugs(host) : [])];
    return Object.freeze({
      name: row.name,
      enforcement: missing.length > 0 ? ('unavailable' as const) : open.length > 0 ? ('partial' as const) : ('enforced' as const),
      mechanisms: Object.freeze([...(level === 'strict' ? (row.strict ?? []) : []), ...(host.cgroups === undefined || host.cgroups.folder === '' ? [] : (row.cgroup?.(host.cgroups.controllers) ?? [])), ...row.mechanisms]),
      missing: Object.freeze([...missing, ...open]),
      notes: Object.freeze([...(row.notes ?? [])]),
    });
  });
}
