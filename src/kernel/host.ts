import { accessSync, constants, existsSync, readFileSync, realpathSync, statfsSync, statSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { native } from '../native.js';
import { getCapabilities } from './capabilities.js';
import { wasBornDumpable } from './dumpable.js';
import { strictProbe, type Probe } from './probe.js';
import { getRlimit } from './rlimit.js';

/** Files whose text says something about the host. */
const told = [
  '/proc/1/cgroup',
  '/proc/self/cgroup',
  '/proc/self/status',
  '/proc/swaps',
  '/proc/sys/dev/tty/legacy_tiocsti',
  '/proc/sys/fs/epoll/max_user_watches',
  '/proc/sys/fs/suid_dumpable',
  '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
  '/proc/sys/kernel/core_pattern',
  '/proc/sys/kernel/io_uring_disabled',
  '/proc/sys/kernel/perf_event_paranoid',
  '/proc/sys/kernel/seccomp/actions_avail',
  '/proc/sys/kernel/unprivileged_bpf_disabled',
  '/proc/sys/kernel/unprivileged_userns_clone',
  '/proc/sys/kernel/yama/ptrace_scope',
  '/proc/sys/user/max_user_namespaces',
  '/proc/version',
  '/sys/kernel/security/lsm',
] as const;

/** And some whose being there does. */
const markers = ['/.dockerenv', '/run/.containerenv', '/run/systemd/system', '/var/run/secrets/kubernetes.io'] as const;

/** Variables that put code into whatever starts with them, or change what it loads. */
const loaderVariables = ['LD_PRELOAD', 'LD_AUDIT', 'LD_LIBRARY_PATH', 'NODE_OPTIONS', 'NODE_PATH', 'SALLYPORT_PREBUILD'] as const;

/** A file as far as it matters who can run, read and change it. */
export interface Binary {
  readonly path: string;
  readonly uid: number;
  /** The permission bits. */
  readonly mode: number;
  readonly writable: boolean;
}

/**
 * A host as a person would ask about it; what a plan depends on is {@link Probe}. Plain data, so that the advice drawn from
 * it can be tried for hosts that are not at hand. `undefined`: could not be learnt, which most often means that it is not there.
 */
export interface HostFacts {
  readonly platform: string;
  readonly arch: string;
  readonly release: string;
  readonly nodeVersion: string;
  /** Why the addon, and with it everything below that asks the kernel, is not there. */
  readonly addonProblem: string | undefined;
  readonly probe: Probe | undefined;
  readonly uid: number | undefined;
  readonly capabilities: readonly string[];
  /** What secrets would be kept in. */
  readonly secretMemory: 'memfd_secret' | 'mlock' | undefined;
  readonly memlockBytes: number | undefined;
  readonly bornDumpable: boolean | undefined;
  readonly node: Binary | undefined;
  readonly temporary: { readonly path: string; readonly filesystem: number | undefined };
  readonly texts: Readonly<Partial<Record<(typeof told)[number], string>>>;
  readonly markers: readonly (typeof markers)[number][];
  /** Names alone. */
  readonly loaderVariables: readonly string[];
}

/** What `ask` answers, or undefined where it cannot. A host that lacks something is what is looked at here. */
function attempt<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch {
    return undefined;
  }
}

const text = (path: string): string | undefined => attempt(() => readFileSync(path, 'utf8').trim());

const writable = (path: string): boolean => problemOf(() => accessSync(path, constants.W_OK)) === undefined;

/** Reads what there is to read. Never throws and changes nothing; namespaces and a cgroup are made and taken down again, to see whether they can be had. */
export function hostFacts(): HostFacts {
  const addonProblem = problemOf(native);
  const temporary = tmpdir();
  return {
    platform: process.platform,
    arch: process.arch,
    release: release(),
    nodeVersion: process.versions.node,
    addonProblem,
    probe: attempt(strictProbe),
    uid: process.geteuid?.(),
    capabilities: attempt(() => getCapabilities().effective) ?? [],
    secretMemory: attempt(secretMemory),
    memlockBytes: attempt(() => getRlimit('memlock').soft),
    bornDumpable: attempt(wasBornDumpable),
    node: attempt(nodeBinary),
    temporary: { path: temporary, filesystem: attempt(() => statfsSync(temporary).type) },
    texts: Object.fromEntries(told.map((path) => [path, text(path)] as const).filter(([, found]) => found !== undefined)),
    markers: markers.filter((path) => existsSync(path)),
    loaderVariables: loaderVariables.filter((name) => (process.env[name] ?? '') !== ''),
  };
}

function problemOf(call: () => unknown): string | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function secretMemory(): 'memfd_secret' | 'mlock' | undefined {
  const secret = native().newSecret(16);
  const kept = native().describeSecret(secret)?.protection;
  native().destroySecret(secret);
  return kept;
}

function nodeBinary(): Binary {
  const path = realpathSync(process.execPath);
  const { uid, mode } = statSync(path);
  return { path, uid, mode: mode & 0o7777, writable: writable(path) };
}
