import { closeSync, openSync, readlinkSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { basename, dirname, join, normalize } from 'node:path';
import { accessBits, type AccessFs } from '../kernel/landlock.js';
import { compileSeccomp } from '../kernel/seccomp.js';
import type { Architecture, SyscallName } from '../kernel/syscalls.js';
import { native, type NativeTraceEntry, type TraceHandle } from '../native.js';
import type { Plan } from '../policy/plan.js';
import { seccompProfile } from '../policy/seccomp-profile.js';
import { fileCalls, syscallName, tracedCalls, tracedProfile } from '../policy/trace.js';

/** A call that the policy refused to a traced task, and how often it was made. */
export interface RefusedCall {
  /** As the kernel spells it: `chmod`; `syscall 470` for one without a name here. */
  readonly call: string;
  /** What the task got: `EPERM`; or `SIGSYS`, which ended it. */
  readonly action: string;
  readonly count: number;
  /** The path, the address or the arguments that say what was asked for. Bytes of the task's: clean them before a terminal shows them. */
  readonly detail?: string;
  /** The field of the policy that would let it through, where there is one, and its value: `read: /etc/hostname`. */
  readonly grant?: string;
}

/** Of kinds: a task that makes others for ever fills no more. */
const mostKinds = 1024;
const everyMs = 100;
/** Of the event loop's time at once: looking at a thousand paths takes longer, and which ones is the task's to say. */
const judgedForMs = 5;

const errnoNames = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));
const errnoName = (errno: number): string => (errno === 95 ? 'ENOTSUP' : (errnoNames.get(errno) ?? `errno ${errno}`));

const [O_ACCMODE, O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, AT_REMOVEDIR] = [3, 1, 2, 0o100, 0o1000, 0x200];
/** O_DIRECTORY is 0o200000 on x86-64 and 0o40000 on arm64; O_PATH is the same on both. */
const O_PATH = 0o10000000;

const families: Record<number, string> = { 1: 'AF_UNIX', 2: 'AF_INET', 10: 'AF_INET6', 16: 'AF_NETLINK', 17: 'AF_PACKET', 38: 'AF_ALG', 40: 'AF_VSOCK' };
const types: Record<number, string> = { 1: 'SOCK_STREAM', 2: 'SOCK_DGRAM', 3: 'SOCK_RAW', 5: 'SOCK_SEQPACKET' };

function argumentsOf(name: SyscallName | undefined, numbers: readonly number[]): string | undefined {
  if (name === 'socket' || name === 'socketpair') {
    const [family = 0, type = 0, protocol = 0] = numbers;
    return `${families[family] ?? family} ${types[type & 0xf] ?? type & 0xf} ${protocol}`;
  }
  const kept = numbers.map((value, index) => [value, index] as const).filter(([value]) => value !== 0).map(([value]) => (value > 4095 ? `0x${value.toString(16)}` : String(value)));
  return kept.length === 0 ? undefined : kept.join(' ');
}

/** One walk by the kernel: realpath(3) makes one for each of a path's two thousand folders, which a task can give it. */
function real(path: string): string | undefined {
  try {
    const fd = openSync(path, O_PATH);
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

/** By the plan's own filter, which plans of the same kind share: it takes a while to compile. */
const filters = new WeakMap<Uint8Array, Uint8Array>();

function filterFor(plan: Plan, arch: Architecture): Uint8Array {
  const known = filters.get(plan.seccomp);
  if (known !== undefined) return known;
  const filter = compileSeccomp(tracedProfile(seccompProfile(plan)), arch);
  filters.set(plan.seccomp, filter);
  return filter;
}

/** Records what a task's policy refuses it. Slower for the task: each such call, and each path, goes by way of the supervisor. */
export class Trace {
  readonly handle: TraceHandle;
  /** Installed instead of the plan's own filter. */
  readonly filter: Uint8Array;
  readonly #plan: Plan;
  readonly #arch: Architecture;
  readonly #program: string;
  /** Where the rules lead, looked up once: there are some seventy. */
  readonly #rules: readonly (readonly [path: string, bits: number])[];
  readonly #kept = new Map<string, RefusedCall>();
  readonly #timer: NodeJS.Timeout;
  /** Taken, and not judged yet; no more are taken meanwhile, and what finds no room is counted. */
  #waiting: NativeTraceEntry[] = [];

  constructor(plan: Plan, arch: Architecture, program: string) {
    this.#plan = plan;
    this.#arch = arch;
    this.#program = real(program) ?? program;
    this.#rules = plan.landlock.rules.map(({ path, bits }) => [real(path) ?? path, bits] as const);
    this.handle = native().newTrace(tracedCalls(arch));
    this.filter = filterFor(plan, arch);
    this.#timer = setInterval(() => this.#drain(judgedForMs), everyMs).unref();
  }

  /** In the order in which each was first seen. */
  get refused(): readonly RefusedCall[] {
    this.#drain(Infinity);
    return Object.freeze([...this.#kept.values()]);
  }

  /** The task has ended, or was not started. */
  end(): void {
    clearInterval(this.#timer);
    this.#drain(judgedForMs);
  }

  #drain(ms: number): void {
    const deadline = performance.now() + ms;
    if (!this.#judgeUntil(deadline)) return;
    const { entries, dropped } = native().takeTrace(this.handle);
    if (dropped > 0) this.#keep({ call: 'other calls', action: 'not recorded', count: dropped });
    this.#waiting = [...entries];
    this.#judgeUntil(deadline);
  }

  /** False when time ran out before it was through. */
  #judgeUntil(deadline: number): boolean {
    while (this.#waiting.length > 0) {
      if (performance.now() > deadline) return false;
      this.#judge(this.#waiting.shift() as NativeTraceEntry);
    }
    return true;
  }

  #keep(refused: RefusedCall): void {
    const key = `${refused.call}\0${refused.action}\0${refused.detail}`;
    const known = this.#kept.get(key);
    if (known !== undefined || this.#kept.size < mostKinds) this.#kept.set(key, Object.freeze({ ...refused, count: refused.count + (known?.count ?? 0) }));
  }

  #judge([nr, errno, numbers, seen, count]: NativeTraceEntry): void {
    const text = seen.startsWith('/') ? normalize(seen) : seen;
    const name = syscallName(this.#arch, nr);
    const call = name ?? `syscall ${nr}`;
    if (errno === 0) {
      const grant = name === undefined || text === '' ? undefined : this.#lacks(name, numbers, text);
      if (grant !== undefined) this.#keep({ call, action: 'EACCES', count, detail: text, grant });
      return;
    }
    const detail = text !== '' ? text : argumentsOf(name, numbers);
    const grant = grantFor(name, numbers, text);
    this.#keep({ call, action: errnoName(errno), count, ...(detail !== undefined && { detail }), ...(grant !== undefined && { grant }) });
  }

  /**
   * What a path needs that no rule gives: Landlock's own sum, made again from the plan. A path that does not exist is
   * missing, not refused; one that has gone since is not judged any more.
   */
  #lacks(name: SyscallName, numbers: readonly number[], path: string): string | undefined {
    if (!(name in fileCalls)) return undefined;
    const { needs } = fileCalls[name as keyof typeof fileCalls];
    const flags = numbers.find((value) => value !== 0) ?? 0;
    const itself = real(path);
    const place = itself ?? beside(path);
    if (place === undefined) return undefined;
    const lacking = (wanted: readonly AccessFs[], where: string): boolean => (accessBits(wanted, this.#plan.landlock.abi) & ~this.#granted(where)) !== 0;
    if (needs === 'execute') return itself !== undefined && lacking(['execute'], itself) ? `execute: ${path}` : undefined;
    if (needs === 'flags' || needs === 'read_file' || needs === 'truncate') {
      if (needs === 'flags' && (flags & O_PATH) !== 0) return undefined;
      const mode = needs === 'truncate' ? O_WRONLY : needs === 'flags' ? flags & O_ACCMODE : 0;
      if (itself === undefined) return (flags & O_CREAT) !== 0 && needs === 'flags' && lacking(['make_reg'], place) ? `write: ${dirname(path)}` : undefined;
      if (isFolder(itself)) return lacking(['read_dir'], itself) ? `read: ${path}` : undefined;
      if (mode === O_WRONLY || mode === O_RDWR || (flags & O_TRUNC) !== 0) return lacking(['write_file'], itself) ? `write: ${path}` : undefined;
      return lacking(['read_file'], itself) ? `read: ${path}` : undefined;
    }
    const right = needs === 'remove_file' && flags === AT_REMOVEDIR ? 'remove_dir' : needs === 'refer' ? 'make_reg' : needs;
    if (right.startsWith('remove') ? itself === undefined : itself !== undefined && needs !== 'refer' && needs !== 'make_reg') return undefined;
    return lacking([right], dirname(place)) ? `write: ${dirname(path)}` : undefined;
  }

  #granted(path: string): number {
    const { ownProc, program } = this.#plan.landlock;
    const own = /^\/proc\/(self|thread-self|\d+)(\/|$)/.test(path) ? ownProc : 0;
    const covers = (folder: string): boolean => folder === '/' || path === folder || path.startsWith(`${folder}/`);
    return this.#rules.reduce((bits, [folder, more]) => (covers(folder) ? bits | more : bits), own | (path === this.#program ? program : 0));
  }
}

/** Where a file that is not there would be. */
function beside(path: string): string | undefined {
  const folder = real(dirname(path));
  return folder === undefined ? undefined : join(folder, basename(path));
}

const modeCalls = new Set(['chmod', 'fchmod', 'fchmodat', 'fchmodat2', 'chown', 'fchown', 'lchown', 'fchownat', 'utime', 'utimes', 'futimesat', 'utimensat']);

const isTcp = ([family = 0, type = 0, protocol = 0]: readonly number[]): boolean => (family === 2 || family === 10) && (type & 0xf) === 1 && (protocol === 0 || protocol === 6);

function grantFor(name: SyscallName | undefined, numbers: readonly number[], text: string): string | undefined {
  if (name === undefined) return undefined;
  if (modeCalls.has(name)) return 'fileModes: "own"';
  // Refused only where the policy has no network: what the socket is for, the task has not said yet.
  if (name === 'socket' && isTcp(numbers)) return 'network: { connect: [{ host, port }] } or { listen: [{ port }] }';
  if (name === 'connect') return `network.connect: ${text === '' ? '{ host, port }' : text}`;
  if (name === 'bind' || name === 'listen') return `network.listen: ${text === '' ? '{ port }' : text}`;
  return undefined;
}
