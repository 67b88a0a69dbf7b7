import { isAbsolute, resolve } from 'node:path';
import { PolicyInvalid } from '../errors.js';
import { guaranteeNames, type GuaranteeName, type Level } from '../guarantees.js';
import { checkNetwork, type NetworkPolicy } from './network.js';

/** What an author wants a task to have. Everything that is not named here is refused to it. */
export interface Policy {
  /** Files, and folders with all beneath them, that the task may read. Relative paths start at the supervisor's folder. @default [] */
  readonly read?: readonly string[];
  /** The same, to read and to execute. @default [] */
  readonly execute?: readonly string[];
  /** The same, to read, create, change and remove. Never executed. @default [] */
  readonly write?: readonly string[];
  /**
   * TCP connections that the task may make, and ports that it may listen on. The supervisor makes them for it, by addresses that it
   * resolved at the launch. Nothing else of the network is open to any task. @default 'none'
   */
  readonly network?: 'none' | NetworkPolicy;
  /** The whole environment of the task; nothing is inherited. @default `PATH`, `LANG` and `HOME` alone */
  readonly environment?: Readonly<Record<string, string>>;
  /**
   * Who the task runs as: these ids and no other group. The supervisor needs CAP_SETUID, CAP_SETGID and CAP_KILL, and is not dumpable
   * from then on; for a scratch folder also CAP_CHOWN, CAP_DAC_OVERRIDE and CAP_FOWNER. The program, its interpreter and what it reads
   * must be open to this user. @default who the supervisor runs as
   */
  readonly identity?: Identity;
  /**
   * A folder of the task's own, made for it below `os.tmpdir()`, which it may read and write and never execute from; removed with all
   * that is in it before `exited` resolves (`LaunchOptions.collect` comes first). `TMPDIR`, `TMP`, `TEMP`, `HOME` and the XDG base folders
   * point to it, unless `environment` names them. @default false; true in the presets
   */
  readonly scratch?: boolean;
  /** The folder the task starts in. @default the scratch folder, '/' without one */
  readonly cwd?: string;
  readonly limits?: Limits;
  /**
   * What chmod, chown and utime come to, which Landlock does not look at, so that the task's own calls are never let through.
   * `own`: the supervisor makes them, on files of the task's user beneath `write` and the scratch folder; anything else is refused. Set-uid and
   * set-gid bits are left out, and an owner never changes. `ignored`: they succeed and do nothing, and the files a task creates are its user's alone (umask 077).
   * `refused`: they answer EPERM, and git, tar, `cp -p`, Python's shutil and others give up. A host without user notification of seccomp, and
   * `level: 'strict'`, have `ignored` in the place of `own`; `plan.notes` says so. @default 'refused', and 'own' in the presets
   */
  readonly fileModes?: FileModes;
  /**
   * `strict` adds PID, mount, IPC, network, UTS and cgroup namespaces to all of `standard`, with a user namespace where the
   * supervisor lacks CAP_SYS_ADMIN, and is refused with the reason where the host gives none. @default 'standard'
   */
  readonly level?: Level;
  /** Guarantees that the caller can do without on a host that lacks what they rest on. Nothing is waived silently. @default [] */
  readonly without?: readonly GuaranteeName[];
  /**
   * Launches with no restriction whatsoever, as `child_process.spawn` would. For measuring what
   * the restrictions cost and for the controls of tests; never for code that is not trusted. @default false
   */
  readonly dangerouslyUnconfined?: boolean;
}

const fileModes = ['own', 'ignored', 'refused'] as const;
export type FileModes = (typeof fileModes)[number];

/** A user and a group by number. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
}

/** Bounds of one task. Each ends the task, or the call that passed it, and never the supervisor. */
export interface Limits {
  /** From the launch to the exit; the task is then killed. @default no limit */
  readonly wallTimeMs?: number;
  /**
   * Memory of all its processes together: anonymous and shared memory, swapped or not. Looked at every 50 ms, so it
   * can be passed for that long. Pages shared after a fork count for each process. @default half of the host's, or of the container's that the supervisor is in
   */
  readonly memoryBytes?: number;
  /** Processes and threads at once, as the kernel's pids.max counts them; Node itself has a dozen threads. One more ends the task. @default 512 */
  readonly processes?: number;
  /** Processor time of all its processes together, those that have ended included; looked at every 50 ms, and RLIMIT_CPU for each. @default no limit */
  readonly cpuSeconds?: number;
  /**
   * Descriptors open at once in each process, RLIMIT_NOFILE; and in all its processes together eight times as many, looked at
   * every 50 ms. The kernel's count of epoll watches is one for all processes of the user, and grows with the square. @default 512
   */
  readonly openFiles?: number;
  /** The size of any one file it writes, RLIMIT_FSIZE. @default scratchBytes where there is a scratch folder, else no limit */
  readonly fileBytes?: number;
  /**
   * What it keeps in its scratch folder, files without a name that it has open or mapped included. Looked at every 50 ms as long as that
   * costs no more than a twentieth of a core, so it can be passed by what is written meanwhile. Folders of `write` are the author's to
   * bound. @default 1 GiB
   */
  readonly scratchBytes?: number;
  /** How many files, folders and links, likewise. @default 65,536 */
  readonly scratchFiles?: number;
  /** What it writes to descriptors 1, 2 and 3 together, where they are pipes; refused where one is inherited. @default no limit */
  readonly outputBytes?: number;
  /** The longest line on descriptor 3. @default 1 MiB */
  readonly logLineBytes?: number;
  /** Its share of the processors when others want them too, from 1 to 10000; cgroup v2's cpu.weight, and refused where there is none. @default 100, where there is */
  readonly cpuWeight?: number;
}

const fields: Record<keyof Policy, (value: unknown, path: string) => void> = {
  read: paths,
  execute: paths,
  write: paths,
  network: checkNetwork,
  environment,
  identity,
  cwd: path,
  scratch: (value, path) => check(typeof value === 'boolean', path, 'must be a boolean'),
  limits,
  level: (value, path) => check(value === 'standard' || value === 'strict', path, "must be 'standard' or 'strict'"),
  without: (value, path) => {
    check(Array.isArray(value), path, 'must be an array of guarantee names');
    Array.from(value as unknown[], (name, index) =>
      check((guaranteeNames as readonly unknown[]).includes(name), `${path}[${index}]`, `must be one of ${guaranteeNames.join(', ')}`),
    );
  },
  fileModes: (value, path) => check((fileModes as readonly unknown[]).includes(value), path, `must be one of ${fileModes.join(', ')}`),
  dangerouslyUnconfined: (value, path) => check(typeof value === 'boolean', path, 'must be a boolean'),
};

const limitFields: Record<keyof Limits, { readonly least: number; readonly most: number }> = {
  wallTimeMs: { least: 1, most: 2 ** 31 - 1 }, // Node's timers end there
  memoryBytes: { least: 2 ** 20, most: Number.MAX_SAFE_INTEGER },
  processes: { least: 1, most: 2 ** 22 },
  cpuSeconds: { least: 1, most: 2 ** 40 },
  openFiles: { least: 16, most: 2 ** 20 },
  fileBytes: { least: 0, most: Number.MAX_SAFE_INTEGER },
  scratchBytes: { least: 0, most: Number.MAX_SAFE_INTEGER },
  scratchFiles: { least: 0, most: 2 ** 32 },
  outputBytes: { least: 0, most: Number.MAX_SAFE_INTEGER },
  logLineBytes: { least: 1, most: 2 ** 30 },
  cpuWeight: { least: 1, most: 10_000 }, // cgroups(7)
};

function check(holds: boolean, path: string, problem: string): asserts holds {
  if (!holds) throw new PolicyInvalid(path, problem);
}

/** Half of a surrogate pair would reach the kernel as another character, and so be another path. */
const isText = (value: unknown): value is string => typeof value === 'string' && !value.includes('\0') && !/\p{Surrogate}/u.test(value);

function path(value: unknown, path: string): void {
  check(isText(value) && value !== '', path, 'must be a path: a string, not empty, without NUL');
}

function paths(value: unknown, field: string): void {
  check(Array.isArray(value), field, 'must be an array of paths');
  Array.from(value as unknown[], (entry, index) => path(entry, `${field}[${index}]`)); // holes too, which forEach passes over
}

function environment(value: unknown, field: string): void {
  check(typeof value === 'object' && value !== null && !Array.isArray(value), field, 'must be an object of strings');
  for (const [name, entry] of Object.entries(value)) {
    check(/^[^=\0]+$/.test(name) && isText(name), `${field}.${name.replace(/[^\w.-]/g, '?')}`, 'is not a variable name');
    check(isText(entry), `${field}.${name}`, 'must be a string without NUL');
  }
}

/** 2^32 - 1 means "leave as it is" to setresuid(2). */
function identity(value: unknown, field: string): void {
  check(typeof value === 'object' && value !== null && !Array.isArray(value), field, 'must be an object { uid, gid }');
  const unknown = Object.keys(value).find((name) => name !== 'uid' && name !== 'gid');
  check(unknown === undefined, `${field}.${unknown}`, 'is not a field; there are uid and gid');
  for (const name of ['uid', 'gid'] as const) {
    const id: unknown = (value as Partial<Identity>)[name];
    check(Number.isSafeInteger(id) && (id as number) >= 0 && (id as number) <= 2 ** 32 - 2, `${field}.${name}`, 'must be a whole number from 0 to 4294967294');
  }
}

function limits(value: unknown, field: string): void {
  check(typeof value === 'object' && value !== null && !Array.isArray(value), field, 'must be an object');
  for (const [name, entry] of Object.entries(value)) {
    if (entry === undefined) continue;
    const bounds = Object.hasOwn(limitFields, name) ? limitFields[name as keyof Limits] : undefined;
    check(bounds !== undefined, `${field}.${name}`, `is not a limit; there are ${Object.keys(limitFields).join(', ')}`);
    check(
      Number.isSafeInteger(entry) && (entry as number) >= bounds.least && (entry as number) <= bounds.most,
      `${field}.${name}`,
      `must be a whole number from ${bounds.least} to ${bounds.most}`,
    );
  }
}

/**
 * Accepts what is a policy and nothing else: an unknown field is a typing error that would grant less or more than meant.
 *
 * @throws {PolicyInvalid} `ERR_POLICY_INVALID` with the path of the first wrong field.
 */
export function checkPolicy(value: unknown): asserts value is Policy {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new PolicyInvalid('', 'must be an object');
  for (const [name, entry] of Object.entries(value)) {
    const field = Object.hasOwn(fields, name) ? fields[name as keyof Policy] : undefined;
    check(field !== undefined, name, `is not a field; there are ${Object.keys(fields).join(', ')}`);
    if (entry !== undefined) field(entry, name);
  }
}

/** Deeper than any field of a policy is. */
const deepest = 8;

function plain(value: unknown, path: string, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return Object.is(value, -0) ? 0 : value;
  check(depth < deepest, path, 'is nested too deeply');
  const below = (name: string): string => (Array.isArray(value) ? `${path}[${name}]` : path === '' ? name : `${path}.${name}`);
  if (Array.isArray(value)) return Object.freeze(Array.from(value as unknown[], (entry, index) => plain(entry, below(String(index)), depth + 1)));
  // What a prototype holds would count in one place and not in another.
  const prototype: unknown = Object.getPrototypeOf(value);
  check(prototype === null || Object.getPrototypeOf(prototype) === null, path, 'must be a plain object');
  return Object.freeze(Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, plain(entry, below(name), depth + 1)])));
}

/**
 * Reads a policy once, getters and proxies included, and checks what was read: what is checked is what counts.
 *
 * @returns A frozen copy of plain objects and arrays.
 * @throws {PolicyInvalid} `ERR_POLICY_INVALID` with the path of the first wrong field.
 */
export function copyPolicy(value: unknown): Policy {
  let copy: unknown;
  try {
    copy = plain(value, '', 0);
  } catch (cause) {
    if (cause instanceof PolicyInvalid) throw cause;
    throw new PolicyInvalid('', 'cannot be read', { cause });
  }
  checkPolicy(copy);
  return copy;
}

/** Whether it will read the same the next time: frozen down to its last field, which is no getter. */
export function isUnchanging(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (!Object.isFrozen(value)) return false;
  return Object.values(Object.getOwnPropertyDescriptors(value)).every((property) => 'value' in property && isUnchanging(property.value));
}

/** Paths as the kernel will get them. */
export function absolute(path: string): string {
  return isAbsolute(path) ? path : resolve(path);
}
