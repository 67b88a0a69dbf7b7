import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { KernelUnsupported } from './errors.js';

/**
 * What the addon exports, one block a noun, in the order of native/addon/addon.cc.
 * Nothing else in this package knows how the addon is loaded.
 */
export interface Native {
  // become: this process turns into another program
  /** `keep` as in dropCapabilities; `moves` is source, target, source, target...; `user` is uid, gid and groups, or empty. Returns by throwing alone. */
  become(path: string, argv: readonly string[], environment: readonly string[], keep: bigint, moves: readonly number[], user: readonly number[]): never;
  /** By name or number; undefined where no database of the system has it. */
  findUser(name: string): NativeUser | undefined;
  handoverSize(fd: number): number;
  /** A descriptor, close-on-exec. */
  makeHandover(bytes: ArrayBuffer): number;
  /** Closes the descriptor. */
  takeHandover(fd: number, into: ArrayBuffer): void;

  // capabilities: one bit each, as capabilities(7) numbers them
  getCapabilities(): NativeCapabilities;
  /** How many threads made the call. The error's `tid` is the thread that did not. */
  dropCapabilities(keep: bigint): number;

  // descriptors: each pair is [ours, theirs], close-on-exec
  socketPair(): [number, number];
  readPipe(): [number, number];
  writePipe(): [number, number];
  duplicate(fd: number): number;
  sendDescriptor(socket: number, fd: number, bytes: Uint8Array): number;

  // dumpable
  bornDumpable(): boolean;
  showsNothing(holder: number, fd: number): boolean;
  disableDumpable(): void;
  getDumpable(): number;

  // environment
  /** Names alone: `Object.keys(process.env)` leaves a copy of each value on the heap. */
  environmentNames(): string[];
  wipeEnvironment(): NativeWiped;
  wipeArguments(): NativeWiped;

  // landlock
  landlockAbi(): number;
  landlockErrata(): number;

  // launch
  prepare(plan: NativePlan): PreparedPlan;
  /** Takes the descriptors over, -1 for /dev/null; what becomes of the task comes through `onTaskEvent`. */
  launch(prepared: PreparedPlan, id: number, path: string, argv: readonly string[], descriptors: readonly number[], calls?: NativeCalls): void;
  onTaskEvent(dispatch: TaskEventListener): void;
  /** `toGroup`: to every process of the group that the main process leads. */
  signalTask(id: number, signal: number, toGroup?: boolean): boolean;
  /** `last`: the process ends with this environment. */
  endTasks(last: boolean): void;
  /** Of a task that has ended; `removed` follows. */
  removeScratch(id: number): void;
  /** Sets all of a strict task's namespaces up, and takes them down: undefined, or what this host refuses. */
  tryNamespaces(stage: string, user: boolean): readonly [step: string, error: NodeJS.ErrnoException] | undefined;
  /** Throws what a task's cgroup below `folder` would fail with; nothing stays behind. */
  tryCgroup(folder: string): void;
  /** Whether systemd has marked it as handed over to who runs in it. */
  cgroupDelegated(folder: string): boolean;
  /** Whether /proc shows every process of our PID namespace. */
  procIsWhole(): boolean;

  // rlimit: `Infinity` is RLIM_INFINITY
  getRlimit(resource: number): { soft: number; hard: number };
  setRlimit(resource: number, soft: number, hard: number): void;

  // seccomp
  seccompAvailable(): boolean;

  // secret_memory
  closeSecret(secret: SecretHandle, view: ArrayBuffer): void;
  /** Undefined once destroyed. */
  describeSecret(secret: SecretHandle): { byteLength: number; protection: 'memfd_secret' | 'mlock' } | undefined;
  destroySecret(secret: SecretHandle): void;
  equalSecrets(a: SecretHandle, b: SecretHandle): boolean;
  /** Zeros, to be filled through a view. */
  newSecret(byteLength: number): SecretHandle;
  /** Undefined once destroyed. */
  openSecret(secret: SecretHandle): ArrayBuffer | undefined;
  /** ETIMEDOUT, `syscall: 'poll'`: a writer has not closed its end by then. */
  secretFromDescriptor(fd: number, mostBytes: number, timeoutMs: number, keepNewline: boolean): SecretHandle;
  secretFromEnvironment(name: string, mostBytes: number): SecretHandle;

  // signals
  /** SIGKILL when the thread that started this process ends. `parent`: its process. */
  dieWithParent(parent: number): void;
  ignoreSignal(signal: number): void;
  signalDisposition(signal: number): 'default' | 'ignore' | 'handler';

  // trace
  newTrace(calls: readonly NativeTracedCall[]): TraceHandle;
  /** What came since the last time; `dropped` found no room. */
  takeTrace(trace: TraceHandle): { readonly entries: readonly NativeTraceEntry[]; readonly dropped: number };
  notificationsAvailable(): boolean;
}

/** What a task's filter leaves to the supervisor, at one launch. Addresses as inet_pton(3) takes them. */
export interface NativeCalls {
  readonly connect: readonly (readonly [address: string, port: number])[];
  readonly listen: readonly (readonly [address: string, port: number])[];
  /** What the task finds in /etc/hosts; empty: the file itself. */
  readonly hosts: string;
  readonly trace?: TraceHandle;
  /** Installed instead of the plan's filter, where there is a trace. */
  readonly tracedFilter?: Uint8Array;
}

declare const traceHandle: unique symbol;
/** An external that only the addon can open. */
export interface TraceHandle {
  readonly [traceHandle]: never;
}

/** A call's number, which of its arguments are kept (a bit each), and which are a folder's descriptor and a path, or -1. */
export type NativeTracedCall = readonly [nr: number, numbers: number, folder: number, path: number];
/** `errno` 0: the call was let through, and its path is to be judged. */
export type NativeTraceEntry = readonly [nr: number, errno: number, numbers: readonly number[], text: string, count: number];

export interface NativeCapabilities {
  readonly effective: bigint;
  readonly permitted: bigint;
  readonly inheritable: bigint;
  readonly ambient: bigint;
  readonly bounding: bigint;
  readonly securebits: number;
}

export interface NativeUser {
  readonly uid: number;
  readonly gid: number;
  readonly name: string;
  readonly home: string;
  /** `gid` among them. */
  readonly groups: readonly number[];
}

export interface NativeWiped {
  readonly bytes: number;
  /** Read back through /proc as well; false once the process is not dumpable and may not. */
  readonly seenInProc: boolean;
}

declare const secretHandle: unique symbol;
/** An external that only the addon can open. */
export interface SecretHandle {
  readonly [secretHandle]: never;
}

/** What the native side needs of a plan; numbers are bits or bytes as the kernel takes them. */
export interface NativePlan {
  readonly confined: boolean;
  readonly handled: readonly [fs: number, net: number, scoped: number];
  /** A system path is opened once for the process, another one at each launch. */
  readonly paths: readonly (readonly [path: string, access: number, system: boolean])[];
  readonly ownProcAccess: number;
  /** '' for none. */
  readonly unlisted: string;
  readonly programAccess: number;
  /** struct sock_filter[], 8 bytes each. */
  readonly filter: Uint8Array;
  readonly limits: readonly (readonly [resource: number, soft: number, hard: number])[];
  /** Of all the task's processes together; 0: no bound. */
  readonly memoryBytes: number;
  /** And threads, likewise. */
  readonly processes: number;
  /** Of all its processes together, likewise. */
  readonly openFiles: number;
  /** `folder`, '' for none: where this host lets tasks have cgroups. `own`: this one gets one, held to what is not 0. */
  readonly cgroup: readonly [folder: string, own: boolean, memoryBytes: number, processes: number, cpuWeight: number];
  /** The path of the program `stage`, for a task in namespaces of its own; '' otherwise. */
  readonly stage: string;
  /** One of them a user namespace, for a supervisor without CAP_SYS_ADMIN. */
  readonly userNamespace: boolean;
  /** The path of the program `sweeper`. */
  readonly sweeper: string;
  /** undefined: the supervisor's. */
  readonly identity: readonly [uid: number, gid: number] | undefined;
  readonly cwd: string;
  /** -1: the supervisor's. */
  readonly umask: number;
  /** The filter leaves chmod, chown and utime to us. */
  /** Whether the filter asks before each new process or thread. */
  readonly asksToStart: boolean;
  readonly ownModes: boolean;
  /** NAME=value */
  readonly environment: readonly string[];
  /** The folder for temporary folders; empty: no scratch folder. */
  readonly scratchIn: string;
  readonly scratchAccess: number;
  readonly scratchBytes: number;
  readonly scratchFiles: number;
  /** RLIMIT_FSIZE stands for `scratchBytes`, not for `fileBytes`. */
  readonly fileLimitIsScratch: boolean;
  /** Of all the task's processes together; 0: no bound. */
  readonly cpuSeconds: number;
  readonly scratchVariables: readonly (readonly [name: string, below: string])[];
}

/** A plan as the native side keeps it. */
export interface PreparedPlan {
  readonly __preparedPlan: never;
}

/** `started`: pid and scratch folder. `removed`: whether all of the scratch folder is gone. `failed`: step and system error. `ended`: exit code, signal number or 0, survivors, and the number of the limit that was exceeded, as kernel::Exceeded counts them. An exit code of -1: it could not be learnt. */
export type TaskEventListener = (id: number, event: 'started' | 'failed' | 'ended' | 'removed', first: number | string | boolean, second?: number | string | Error, survivors?: number, exceeded?: number) => void;

const packageRoot = fileURLToPath(new URL('..', import.meta.url));

/**
 * A program that comes with the addon: compiled beside it in a clone, prebuilt in a package.
 *
 * @throws {KernelUnsupported} `ERR_KERNEL_UNSUPPORTED`: neither is there.
 */
export function nativeProgram(name: 'attack' | 'stage' | 'sweeper'): string {
  const folders = [join('build', 'Release'), join('prebuilds', `${process.platform}-${process.arch}`)];
  const found = folders.map((folder) => join(packageRoot, folder, name)).find(existsSync);
  if (found === undefined) throw new KernelUnsupported(`the program "${name}"`, 'neither a compiled nor a prebuilt one is there; run `npm rebuild sallyport`');
  return found;
}

let loaded: Native | undefined;

/**
 * The addon, loaded at first use, so that importing the package works on any platform.
 *
 * @throws {KernelUnsupported} `ERR_KERNEL_UNSUPPORTED` on another platform than Linux,
 *   or where neither a prebuilt nor a compiled addon is found.
 */
export function native(): Native {
  if (loaded === undefined) {
    if (process.platform !== 'linux') {
      throw new KernelUnsupported('Linux', `this is ${process.platform}; Sallyport protects nothing here`);
    }
    try {
      // node-gyp-build looks in prebuilds/ and build/ below the folder it is given.
      const load = createRequire(import.meta.url)('node-gyp-build') as (root: string) => Native;
      loaded = load(packageRoot);
    } catch (cause) {
      throw new KernelUnsupported('the native addon', 'no prebuilt or compiled one could be loaded; run `npm rebuild sallyport`', { cause });
    }
  }
  return loaded;
}
