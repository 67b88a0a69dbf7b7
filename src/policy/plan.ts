import { resolve } from 'node:path';
import { EnforcementPartial, PolicyInvalid } from '../errors.js';
import type { Guarantee, Level } from '../guarantees.js';
import type { CgroupController, Cgroups } from '../kernel/cgroup.js';
import { accessBits, handledAccess, type AccessFs } from '../kernel/landlock.js';
import type { Probe } from '../kernel/probe.js';
import { compileSeccomp } from '../kernel/seccomp.js';
import type { Architecture } from '../kernel/syscalls.js';
import { taskGuarantees } from './enforcement.js';
import { namesOf, networkPlan, type NetworkPlan } from './network.js';
import { absolute, copyPolicy, type FileModes, type Identity, type Policy } from './policy.js';
import { seccompProfile, type ProfileOptions } from './seccomp-profile.js';

/** One file rule: everything beneath `path`, by the kernel's names and as its bits. */
export interface PathRule {
  readonly path: string;
  readonly access: readonly AccessFs[];
  readonly bits: number;
}

/** One resource limit of the task, soft and hard alike. */
export interface ResourceLimit {
  readonly name: string;
  /** The kernel's number, as in asm-generic/resource.h. */
  readonly resource: number;
  readonly value: number;
}

/** What the kernel bounds for all processes of a task together: 0, where it does not. */
export interface TaskCgroup {
  /** Below which it is made. */
  readonly folder: string;
  readonly memoryBytes: number;
  readonly processes: number;
  readonly cpuWeight: number;
}

/** What a scratch folder is to the task. */
export interface ScratchPlan {
  readonly bytes: number;
  readonly files: number;
  readonly access: readonly AccessFs[];
  readonly bits: number;
  /** Variables that point into it: the name, and what follows the folder's path. */
  readonly variables: readonly (readonly [name: string, below: string])[];
}

/** A policy resolved for one host: what a launch does, step by step. Frozen, and nothing in it is decided later. */
export interface Plan {
  readonly level: Level;
  readonly confined: boolean;
  readonly landlock: {
    readonly abi: number;
    readonly handled: readonly [fs: number, net: number, scoped: number];
    readonly rules: readonly PathRule[];
    /** On the task's own /proc/<pid>, which only the task itself can name. */
    readonly ownProc: number;
    /** A folder that no rule lets the task list, by which the launch sees that the domain holds. undefined: the policy lets it list each one. */
    readonly unlisted: string | undefined;
    /** On the program that is launched: naming it is granting it. */
    readonly program: number;
  };
  /** The compiled filter, `struct sock_filter[]`; empty: none. */
  readonly seccomp: Uint8Array;
  /** Hosts and ports; a launch has the addresses. undefined: none. */
  readonly network: NetworkPlan | undefined;
  readonly limits: readonly ResourceLimit[];
  readonly wallTimeMs: number | undefined;
  /** Of all the task's processes together. */
  readonly memoryBytes: number | undefined;
  readonly processes: number | undefined;
  /** Of all its processes together. */
  readonly openFiles: number | undefined;
  readonly cpuSeconds: number | undefined;
  /** Of descriptors 1, 2 and 3 together. */
  readonly outputBytes: number | undefined;
  /** Of one line on descriptor 3. */
  readonly logLineBytes: number;
  /** The task's own cgroup v2, and what it holds the task to; undefined: none. */
  readonly cgroup: TaskCgroup | undefined;
  /** PID, mount, IPC, network, UTS and cgroup namespaces of its own, with or without a user namespace; undefined: the supervisor's. */
  readonly namespaces: 'own' | 'user' | undefined;
  readonly environment: Readonly<Record<string, string>>;
  /** undefined: the scratch folder. */
  readonly cwd: string | undefined;
  /** A folder of the task's own, whose path a launch alone can tell: `task.scratch`. */
  readonly scratch: ScratchPlan | undefined;
  /** undefined: the supervisor's. */
  readonly identity: Identity | undefined;
  /** undefined: the supervisor's. */
  readonly umask: number | undefined;
  readonly fileModes: FileModes;
  /** Each new process, thread or session is allowed by the supervisor, so that there are never more than `processes`; false where the kernel counts. */
  readonly asksToStart: boolean;
  readonly guarantees: readonly Guarantee[];
  /** What is allowed and worth knowing. */
  readonly notes: readonly string[];
}

const reading: readonly AccessFs[] = ['read_file', 'read_dir'];
const executing: readonly AccessFs[] = [...reading, 'execute'];
const writing: readonly AccessFs[] = [
  ...reading,
  'write_file',
  'truncate',
  'make_reg',
  'make_dir',
  'make_sym',
  'make_fifo',
  'remove_file',
  'remove_dir',
  'refer',
];
const device: readonly AccessFs[] = ['read_file', 'write_file'];

const RLIMIT = { CPU: 0, FSIZE: 1, CORE: 4, NOFILE: 7, MEMLOCK: 8, SIGPENDING: 11, MSGQUEUE: 12, NICE: 13, RTPRIO: 14 };

const withoutHome = { PATH: '/usr/local/bin:/usr/bin:/bin', LANG: 'C.UTF-8' };
const defaultEnvironment = { ...withoutHome, HOME: '/' };

function rules(policy: Policy, abi: number): readonly PathRule[] {
  const rule = (path: string, access: readonly AccessFs[]): PathRule =>
    Object.freeze({ path: absolute(path), access, bits: accessBits(access, abi) });
  return Object.freeze([
    rule('/dev/null', device),
    ...(policy.execute ?? []).map((path) => rule(path, executing)),
    ...(policy.read ?? []).map((path) => rule(path, reading)),
    ...(policy.write ?? []).map((path) => rule(path, writing)),
  ]);
}

const defaultProcesses = 512;

/** Where programs keep what they may lose. The XDG folders as their specification has them below HOME. */
const scratchVariables: readonly (readonly [name: string, below: string])[] = [
  ['TMPDIR', ''],
  ['TMP', ''],
  ['TEMP', ''],
  ['HOME', ''],
  ['XDG_CACHE_HOME', '/.cache'],
  ['XDG_CONFIG_HOME', '/.config'],
  ['XDG_DATA_HOME', '/.local/share'],
  ['XDG_STATE_HOME', '/.local/state'],
  ['XDG_RUNTIME_DIR', ''],
];

function scratch(policy: Policy, abi: number): ScratchPlan | undefined {
  if (policy.scratch !== true) return undefined;
  const variables = scratchVariables.filter(([name]) => policy.environment?.[name] === undefined);
  const { scratchBytes = 2 ** 30, scratchFiles = 65_536 } = policy.limits ?? {};
  return Object.freeze({ bytes: scratchBytes, files: scratchFiles, access: writing, bits: accessBits(writing, abi), variables: Object.freeze(variables) });
}

const openFiles = (policy: Policy): number => policy.limits?.openFiles ?? 512;

function limits(policy: Policy): readonly ResourceLimit[] {
  const wanted: [name: string, resource: number, value: number | undefined][] = [
    ['core', RLIMIT.CORE, 1], // 0 still starts a core_pattern program, core(5)
    ['openFiles', RLIMIT.NOFILE, openFiles(policy)],
    ['cpuSeconds', RLIMIT.CPU, policy.limits?.cpuSeconds],
    ['fileBytes', RLIMIT.FSIZE, policy.limits?.fileBytes ?? (policy.scratch === true ? (policy.limits?.scratchBytes ?? 2 ** 30) : undefined)],
    ['lockedBytes', RLIMIT.MEMLOCK, 65536], // gpg locks as much for its keys
    // The kernel counts timers and queued signals per user, and holds each process to its own limit: with less than
    // the supervisor's they cannot be used up for it.
    ['pendingSignals', RLIMIT.SIGPENDING, 512],
    ['messageQueueBytes', RLIMIT.MSGQUEUE, 0],
    ['nicePriority', RLIMIT.NICE, 0],
    ['realTimePriority', RLIMIT.RTPRIO, 0],
  ];
  return wanted.flatMap(([name, resource, value]) => (value === undefined ? [] : [Object.freeze({ name, resource, value })]));
}

/** Refused rather than tried: a task that runs as someone else and cannot be signalled would outlive every limit. */
function identity({ identity }: Policy, { user }: Probe): Identity | undefined {
  if (identity === undefined) return undefined;
  const { uid, gid } = identity;
  if (user.lacks.length > 0) throw new PolicyInvalid('identity', `needs ${user.lacks.join(', ')}`);
  if (uid === 0 && user.uid !== 0) throw new PolicyInvalid('identity.uid', 'must not be 0 where the supervisor is not uid 0');
  if (gid === 0 && user.gid !== 0 && user.uid !== 0) throw new PolicyInvalid('identity.gid', 'must not be 0 where the supervisor is neither uid 0 nor gid 0');
  return Object.freeze({ uid, gid });
}

/** The calls that make a connection are the supervisor's: without that there is nothing to grant by, whatever the caller can do without. */
function network(policy: Policy, host: Probe): NetworkPlan | undefined {
  const wanted = networkPlan(policy.network);
  if (wanted === undefined || policy.dangerouslyUnconfined === true) return wanted;
  const lacks = host.seccomp && host.arch !== 'other' ? host.notify.lacks : ['seccomp filters'];
  if (lacks.length > 0) throw new EnforcementPartial('network', `policy.network needs ${lacks.join(', ')}`);
  if (policy.identity !== undefined && policy.identity.uid !== host.user.uid && !host.notify.anyUser) throw new PolicyInvalid('network', 'for a task of another user needs CAP_SYS_PTRACE');
  return wanted;
}

/** `own` where the supervisor can read what the calls point to. */
function modesOf({ fileModes = 'refused', identity, level }: Policy, { notify, user, seccomp, arch }: Probe): { readonly is: FileModes; readonly lacks?: string } {
  if (fileModes !== 'own') return { is: fileModes };
  const others = identity !== undefined && identity.uid !== user.uid && !notify.anyUser ? ['CAP_SYS_PTRACE for a task of another user'] : [];
  const lacks = [...(level === 'strict' ? ["another level than 'strict'"] : []), ...(seccomp && arch !== 'other' ? notify.lacks : ['seccomp filters']), ...others];
  return lacks.length === 0 ? { is: 'own' } : { is: 'ignored', lacks: lacks.join(', ') };
}

const overlap = (a: string, b: string): boolean => a === b || a.startsWith(b === '/' ? b : `${b}/`) || b.startsWith(a === '/' ? a : `${a}/`);

function notes({ write = [], execute = [] }: Policy): string[] {
  return write.flatMap((written, index) =>
    execute.flatMap((executed, other) =>
      overlap(absolute(written), absolute(executed)) ? [`write[${index}] and execute[${other}] overlap (${written}, ${executed}): the task may execute what it wrote`] : [],
    ),
  );
}

/** Half of what there is, where the author names none: a task that takes all has the kernel end others, the supervisor among them. */
const memoryOf = ({ limits }: Policy, { memoryBytes }: Probe): number | undefined => limits?.memoryBytes ?? (memoryBytes === undefined ? undefined : Math.floor(memoryBytes / 2));

const noCgroups: Cgroups = Object.freeze({ folder: '', controllers: Object.freeze([]), missing: 'the host has none for tasks, or policy.without names interference' });

/** A policy that lets the task write cgroup files gives it the means to leave its own: then nothing rests on one. */
const hasCgroup = (policy: Policy, host: Probe): boolean => (host.cgroups?.folder ?? '') !== '' && policy.without?.includes('interference') !== true;

function cgroup(policy: Policy, host: Probe): TaskCgroup | undefined {
  const { cpuWeight, processes = defaultProcesses } = policy.limits ?? {};
  const memoryBytes = memoryOf(policy, host);
  const { folder, controllers, missing } = hasCgroup(policy, host) ? (host.cgroups ?? noCgroups) : noCgroups;
  const has = (controller: CgroupController): boolean => controllers.includes(controller);
  if (cpuWeight !== undefined && !has('cpu')) throw new EnforcementPartial('resources', `limits.cpuWeight needs a cgroup v2 with the cpu controller (${missing})`);
  if (folder === '') return undefined;
  return Object.freeze({ folder, memoryBytes: has('memory') ? (memoryBytes ?? 0) : 0, processes: has('pids') ? processes : 0, cpuWeight: cpuWeight ?? 0 });
}

/** A level is not a guarantee that could be done without: who can do without namespaces asks for `standard`. */
function namespaces(policy: Policy, host: Probe): 'own' | 'user' {
  const { by, missing } = host.namespaces ?? { by: 'none', missing: 'this host has not been asked' };
  if (by === 'none') throw new EnforcementPartial('leftovers', `level 'strict' needs namespaces: ${missing}`);
  if (by === 'user' && policy.identity !== undefined) throw new PolicyInvalid('identity', "with level 'strict' needs CAP_SYS_ADMIN: in a user namespace there is no other user");
  return by;
}

const unconfined = Object.freeze({ abi: 0, handled: Object.freeze([0, 0, 0] as const), rules: Object.freeze([]), ownProc: 0, unlisted: undefined, program: 0 });

const compiled = new Map<string, Uint8Array>();

function filter(arch: Architecture, { fileModes, network, asksToStart }: ProfileOptions): Uint8Array {
  // Hosts and ports are no part of it: there are a few filters, however many policies.
  const key = `${arch} ${fileModes} ${asksToStart} ${network === undefined ? 'none' : [network.connect.length > 0, network.listen.length > 0, namesOf(network).length > 0].join()}`;
  let bytes = compiled.get(key);
  if (bytes === undefined) compiled.set(key, (bytes = compileSeccomp(seccompProfile({ fileModes, network, asksToStart }), arch)));
  return bytes;
}

/**
 * Resolves a policy for a host. Pure: no file is opened and nothing is asked of the kernel, so a
 * plan can be made, printed and tested for any host.
 *
 * @throws {PolicyInvalid} `ERR_POLICY_INVALID` with the path of the wrong field.
 * @throws {EnforcementPartial} `ERR_ENFORCEMENT_PARTIAL`: the host lacks what a guarantee rests on and
 *   `policy.without` does not name it.
 */
export function plan(wanted: Policy, host: Probe): Plan {
  const policy = copyPolicy(wanted);
  const level = policy.level ?? 'standard';
  const modes = modesOf(policy, host);
  const common = {
    level,
    wallTimeMs: policy.limits?.wallTimeMs,
    memoryBytes: memoryOf(policy, host),
    processes: policy.limits?.processes ?? defaultProcesses,
    openFiles: openFiles(policy) * 8,
    cpuSeconds: policy.limits?.cpuSeconds,
    outputBytes: policy.limits?.outputBytes,
    logLineBytes: policy.limits?.logLineBytes ?? 2 ** 20,
    environment: Object.freeze({ ...(policy.environment ?? (policy.scratch === true ? withoutHome : defaultEnvironment)) }),
    cwd: policy.cwd === undefined && policy.scratch === true ? undefined : absolute(policy.cwd ?? '/'),
    scratch: scratch(policy, host.landlockAbi),
    identity: identity(policy, host),
    network: network(policy, host),
    notes: Object.freeze([...notes(policy), ...(modes.lacks === undefined ? [] : [`fileModes is 'ignored': 'own' needs ${modes.lacks}`])]),
    fileModes: modes.is,
    umask: modes.is === 'ignored' ? 0o077 : undefined,
  };
  if (policy.dangerouslyUnconfined === true) {
    return Object.freeze({ ...common, confined: false, cgroup: undefined, asksToStart: false, namespaces: undefined, landlock: unconfined, seccomp: new Uint8Array(0), limits: [], guarantees: [] });
  }
  const guarantees = taskGuarantees(hasCgroup(policy, host) ? host : { ...host, cgroups: noCgroups }, level);
  const lacking = guarantees.find(({ name, enforcement }) => enforcement === 'unavailable' && !policy.without?.includes(name));
  if (lacking !== undefined) throw new EnforcementPartial(lacking.name, lacking.missing.join('; '));

  const group = cgroup(policy, host);
  // pids.max and memory.max do the same, and ask nobody. One of them is not enough: what a shared mapping hides is counted here.
  const bounded = group !== undefined && group.processes > 0 && (group.memoryBytes > 0 || common.memoryBytes === undefined);
  const asksToStart = host.seccomp && host.arch !== 'other' && host.notify.available && !bounded;
  const { fs, net, scoped } = handledAccess(host.landlockAbi);
  const granted = host.landlockAbi > 0 ? rules(policy, host.landlockAbi) : [];
  return Object.freeze({
    ...common,
    confined: true,
    cgroup: group,
    asksToStart,
    namespaces: level === 'strict' ? namespaces(policy, host) : undefined,
    landlock: Object.freeze({
      abi: host.landlockAbi,
      handled: Object.freeze([fs, net, scoped] as const),
      rules: granted,
      ownProc: accessBits(reading, host.landlockAbi),
      unlisted: host.landlockAbi > 0 && !granted.some(({ path }) => resolve(path) === '/') ? '/' : undefined,
      program: accessBits(['read_file', 'execute'], host.landlockAbi),
    }),
    seccomp: host.seccomp && host.arch !== 'other' ? filter(host.arch, { ...common, asksToStart }) : new Uint8Array(0),
    limits: Object.freeze(limits(policy)),
    guarantees: Object.freeze(guarantees),
  });
}
