import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, realpathSync, statfsSync, statSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { native } from '../native.js';
import { getCapabilities } from './capabilities.js';
import { wasBornDumpable } from './dumpable.js';
import { probe, type Probe } from './probe.js';
import { getRlimit } from './rlimit.js';

export const namespaceNames = ['user', 'pid', 'mount', 'ipc', 'net'] as const;
export type NamespaceName = (typeof namespaceNames)[number];

/** Files whose text says something about the host. */
const told = [
  '/proc/1/cgroup',
  '/proc/filesystems',
  '/proc/self/cgroup',
  '/proc/self/mountinfo',
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
  /** `true`, or why not. */
  readonly namespaces: Readonly<Record<NamespaceName, true | string>>;
  readonly texts: Readonly<Partial<Record<(typeof told)[number] | 'cgroup.controllers', string>>>;
  readonly markers: readonly (typeof markers)[number][];
  /** Names alone. */
  readonly loaderVariables: readonly string[];
  /** The folder of our own cgroup v2, and whether we could make one below it. */
  readonly cgroup: { readonly folder: string; readonly writable: boolean } | undefined;
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

/** Reads what there is to read. Never throws; changes nothing; runs `unshare`, where it is installed, to see which namespaces can be had. */
export function hostFacts(): HostFacts {
  const addonProblem = problemOf(native);
  const temporary = tmpdir();
  const cgroup = ownCgroup();
  return {
    platform: process.platform,
    arch: process.arch,
    release: release(),
    nodeVersion: process.versions.node,
    addonProblem,
    probe: attempt(probe),
    uid: process.geteuid?.(),
    capabilities: attempt(() => getCapabilities().effective) ?? [],
    secretMemory: attempt(secretMemory),
    memlockBytes: attempt(() => getRlimit('memlock').soft),
    bornDumpable: attempt(wasBornDumpable),
    node: attempt(nodeBinary),
    temporary: { path: temporary, filesystem: attempt(() => statfsSync(temporary).type) },
    namespaces: namespaces(),
    texts: Object.fromEntries([...told.map((path) => [path, text(path)] as const), ['cgroup.controllers', cgroup && text(`${cgroup.folder}/cgroup.controllers`)] as const].filter(([, found]) => found !== undefined)),
    markers: markers.filter((path) => existsSync(path)),
    loaderVariables: loaderVariables.filter((name) => (process.env[name] ?? '') !== ''),
    cgroup,
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

/** cgroups(7): `0::/path` is the one of version 2. */
function ownCgroup(): HostFacts['cgroup'] {
  const own = /^0::(.*)$/m.exec(text('/proc/self/cgroup') ?? '')?.[1];
  // proc_pid_mountinfo(5): the fifth field is where it is mounted.
  const mount = (text('/proc/self/mountinfo') ?? '').split('\n').find((line) => line.includes(' - cgroup2 '))?.split(' ')[4];
  if (own === undefined || mount === undefined) return undefined;
  const folder = own === '/' ? mount : `${mount}${own}`;
  return existsSync(folder) ? { folder, writable: writable(folder) && writable(`${folder}/cgroup.procs`) } : undefined;
}

const unshareOptions: Record<NamespaceName, readonly string[]> = { user: [], pid: ['--pid', '--fork'], mount: ['--mount'], ipc: ['--ipc'], net: ['--net'] };

/** In a child, for it cannot be asked otherwise: a sysctl, a security module, a container's filter and a limit may each refuse it. */
function namespaces(): HostFacts['namespaces'] {
  const one = (name: NamespaceName): true | string => {
    if (process.platform !== 'linux') return 'Linux only';
    const { status, error, stderr } = spawnSync('unshare', ['--user', '--map-root-user', ...unshareOptions[name], 'true'], { encoding: 'utf8', timeout: 10_000, env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C' } });
    if (status === 0) return true;
    return error === undefined ? (stderr.trim().split('\n')[0] ?? '') || `unshare ended with ${status}` : 'unshare(1), of util-linux, is not installed: not tried';
  };
  return Object.fromEntries(namespaceNames.map((name) => [name, one(name)])) as HostFacts['namespaces'];
}
