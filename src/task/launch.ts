import { realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { serve, type Audit, type MethodErrorListener, type MethodTable, type ServeOptions } from '../broker/index.js';
import { checkOptions, invalidArgument, outOfRange, PolicyInvalid, TaskLimitExceeded, TaskStartFailed, TaskTimeout } from '../errors.js';
import { probe, strictProbe } from '../kernel/probe.js';
import { native, nativeProgram, type PreparedPlan } from '../native.js';
import { filesRead, refuseVoidingGrants } from '../policy/grants.js';
import { plan, type Plan } from '../policy/plan.js';
import { copyPolicy, isUnchanging, type Policy } from '../policy/policy.js';
import { isSystemPath } from '../policy/presets.js';
import { startProcess, type Collect } from './events.js';
import { pin } from './resolve.js';
import { executable, explained } from './start-failure.js';
import { TaskStdio, type Stdio } from './stdio.js';
import { Task } from './task.js';
import { Trace } from './trace.js';

export interface LaunchOptions {
  /** What the task may have. @default nothing but the launched program and /dev/null: enough for a static binary */
  readonly policy?: Policy;
  /** Aborting kills the task; `exited` then has kind 'ended' with the reason. */
  readonly signal?: AbortSignal;
  /** @default 'ignore' */
  readonly stdin?: Stdio;
  /** @default 'pipe' */
  readonly stdout?: Stdio;
  /** @default 'pipe' */
  readonly stderr?: Stdio;
  /**
   * What the task may ask the supervisor for: descriptor 0 becomes the channel, and each request is answered
   * from this table. Bytes that are not requests end the task with `ERR_BROKER_VIOLATION`. @default no channel
   */
  readonly methods?: MethodTable;
  /** Gets a record of every request, before it is answered. @default none; `sallyport:request` is published either way */
  readonly audit?: Audit;
  /** Gets what a method threw; the task learns `ERR_BROKER_METHOD` and no more. @default nobody */
  readonly onMethodError?: MethodErrorListener;
  /** The task's name in audit records. @default its program */
  readonly name?: string;
  /** Makes descriptor 0 a duplex socket, `task.channel`, that the caller serves itself. @default false */
  readonly channel?: boolean;
  /** Opens descriptor 3 for JSON-lines logs. @default false */
  readonly logs?: boolean;
  /**
   * Fills `task.refused` with what the policy refuses. For a policy's author: each refusal and each path goes by way of the supervisor,
   * which makes the task slower and changes nothing else of what it may do. @default false
   */
  readonly trace?: boolean;
  /**
   * Called with the scratch folder when no process of the task is left, before the folder is removed: the time to copy results out.
   * `exited` resolves after both. If it throws, a process warning says so. The task made what lies there: symbolic links that lead out
   * of it, FIFOs that block whoever opens them, a million files. `lstat` first, open with O_NOFOLLOW. @default nothing is kept
   */
  readonly collect?: Collect;
}

interface Prepared {
  readonly plan: Plan;
  readonly filesRead: number;
  readonly native: PreparedPlan;
}

/** A frozen policy, as the presets return it, is prepared once however many tasks it launches. */
const preparedPolicies = new WeakMap<Policy, Prepared>();

function prepare(wanted: Policy): Prepared {
  const known = preparedPolicies.get(wanted);
  if (known !== undefined && known.filesRead === filesRead()) return known;
  const policy = copyPolicy(wanted);
  const host = policy.level === 'strict' ? strictProbe() : probe();
  const made = plan(policy, host);
  if (made.confined) refuseVoidingGrants(policy);
  const prepared = {
    plan: made,
    filesRead: filesRead(),
    native: native().prepare({
      confined: made.confined,
      handled: made.landlock.handled,
      paths: made.landlock.rules.map(({ path, bits }) => [resolved(path), bits, isSystemPath(path)] as const),
      ownProcAccess: made.landlock.ownProc,
      unlisted: made.landlock.unlisted ?? '',
      programAccess: made.landlock.program,
      filter: made.seccomp,
      limits: made.limits.map(({ resource, value }) => [resource, value, value] as const),
      // What the task's cgroup bounds needs no looking at every 50 ms.
      memoryBytes: made.cgroup?.memoryBytes ? 0 : (made.memoryBytes ?? 0),
      processes: made.cgroup?.processes ? 0 : (made.processes ?? 0),
      cgroup: [host.cgroups?.folder ?? '', made.cgroup !== undefined, made.cgroup?.memoryBytes ?? 0, pidsMax(made), made.cgroup?.cpuWeight ?? 0] as const,
      openFiles: made.openFiles ?? 0,
      stage: made.namespaces === undefined ? '' : nativeProgram('stage'),
      userNamespace: made.namespaces === 'user',
      sweeper: made.confined || made.scratch !== undefined ? nativeProgram('sweeper') : '',
      identity: made.identity === undefined ? undefined : [made.identity.uid, made.identity.gid],
      cwd: made.cwd ?? '',
      umask: made.umask ?? -1,
      asksToStart: made.asksToStart,
      ownModes: made.fileModes === 'own',
      environment: Object.entries(made.environment).map(([name, value]) => `${name}=${value}`),
      scratchIn: made.scratch === undefined ? '' : resolved(tmpdir()),
      cpuSeconds: made.cpuSeconds ?? 0,
      scratchBytes: made.scratch?.bytes ?? 0,
      scratchFiles: made.scratch?.files ?? 0,
      fileLimitIsScratch: made.scratch !== undefined && policy.limits?.fileBytes === undefined,
      scratchAccess: made.scratch?.bits ?? 0,
      scratchVariables: made.scratch?.variables ?? [],
    }),
  };
  if (isUnchanging(wanted)) preparedPolicies.set(wanted, prepared);
  return prepared;
}

/** The stage is one of the processes in the cgroup. */
function pidsMax({ cgroup, namespaces }: Plan): number {
  return cgroup === undefined || cgroup.processes === 0 ? 0 : cgroup.processes + (namespaces === undefined ? 0 : 1);
}

/** Without symbolic links, which the native side does not follow: one that turns up later was put there since. */
function resolved(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path; // missing: the launch says so, by name
  }
}

/** As execvp(3) does, with the task's own PATH. */
function findProgram(command: string, path: string | undefined): string {
  if (command.includes('/')) return resolve(command);
  for (const folder of (path ?? '').split(delimiter)) {
    const candidate = join(folder === '' ? '.' : folder, command);
    if (executable(candidate)) return resolve(candidate);
  }
  throw new TaskStartFailed('execve', `no executable "${command}" in the task's PATH`);
}

/** A copy: what was checked is what is run. */
function checkedArguments(argv: unknown): readonly [string, ...string[]] {
  const words: unknown[] = Array.isArray(argv) ? Array.from(argv as unknown[]) : [];
  if (words.length === 0 || !words.every((word) => typeof word === 'string' && !word.includes('\0')) || words[0] === '') {
    throw invalidArgument('argv', 'an array of strings without NUL, the program first', argv);
  }
  return words as [string, ...string[]];
}

const optionNames = ['policy', 'signal', 'stdin', 'stdout', 'stderr', 'methods', 'audit', 'onMethodError', 'name', 'channel', 'logs', 'trace', 'collect'] as const satisfies readonly (keyof LaunchOptions)[];

function checkLaunchOptions(options: LaunchOptions): void {
  checkOptions('options', options, optionNames);
  const { signal, methods, channel } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw invalidArgument('options.signal', 'an AbortSignal', signal);
  for (const name of ['stdin', 'stdout', 'stderr'] as const) {
    if (!['pipe', 'ignore', 'inherit', undefined].includes(options[name])) throw outOfRange(`options.${name}`, "'pipe', 'ignore' or 'inherit'");
  }
  if (options.collect !== undefined && typeof options.collect !== 'function') throw invalidArgument('options.collect', 'a function', options.collect);
  if (methods === undefined) return;
  for (const [name, row] of Object.entries(checkedTable(methods))) {
    if (typeof row?.handler !== 'function' || typeof row.params !== 'object') throw invalidArgument(`options.methods.${name}`, 'a method: { params, handler }', row);
  }
  if (channel !== undefined || options.stdin !== undefined) throw invalidArgument('options.stdin and options.channel', 'left out where methods are given: descriptor 0 is theirs', channel ?? options.stdin);
}

function checkedTable(methods: unknown): MethodTable {
  if (typeof methods !== 'object' || methods === null) throw invalidArgument('options.methods', 'an object', methods);
  return methods as MethodTable;
}

/**
 * Starts a program that is locked before its first instruction: own session, empty keyring, no capabilities,
 * no_new_privs, a Landlock domain of its own, a seccomp filter, an environment from scratch, every descriptor
 * closed but 0 to 2 (3). The event loop is held for the time it takes to queue the launch; a native thread
 * clones and waits for the execve.
 *
 * @param words The program and its arguments. A program without a slash is looked up in the task's own PATH.
 *   The program file itself may be executed and read, whatever the policy says.
 * @throws {TaskStartFailed} `ERR_TASK_START` naming the step: the program did not run, nothing is left behind.
 * @throws {PolicyInvalid} `ERR_POLICY_INVALID`, {@link EnforcementPartial} `ERR_ENFORCEMENT_PARTIAL`: nothing was started.
 *   Step `landlock` with a `cause` of `ENOENT` and its `path`: a file or folder of the policy is missing.
 *   Step `network`: a host of the policy cannot be resolved, or to an address that a name may not stand for.
 * @throws `signal.reason` when aborted before it runs.
 * @see clone(2), execve(2), landlock(7), seccomp(2), prctl(2), capabilities(7). Linux 6.12 for `standard`.
 */
export async function launch(words: readonly string[], options: LaunchOptions = {}): Promise<Task> {
  const { task, begin } = await launchWaiting(words, options);
  begin(options);
  return task;
}

/** What may be settled when a task that was started before gets its work. */
export type BeginOptions = Pick<LaunchOptions, 'signal' | 'methods' | 'audit' | 'onMethodError' | 'name'>;

/** A task that runs, and whose time does not: it has nothing to do yet. */
export interface Waiting {
  readonly task: Task;
  /** Its wall time counts from here, aborting ends it, and its requests are answered. Once. */
  begin(options: BeginOptions): void;
}

/** Starts a program as `launch()` does, without what `begin` is for: of `options.methods` it only matters here whether there are any. */
export async function launchWaiting(words: readonly string[], options: LaunchOptions): Promise<Waiting> {
  checkLaunchOptions(options);
  const { signal } = options;
  signal?.throwIfAborted();
  const argv = checkedArguments(words);
  const { plan: made, native: prepared } = prepare(options.policy ?? {});
  if (options.collect !== undefined && made.scratch === undefined) throw invalidArgument('options.collect', 'left out where the policy has no scratch folder', options.collect);
  if (made.outputBytes !== undefined && [options.stdout, options.stderr].includes('inherit')) {
    throw new PolicyInvalid('limits.outputBytes', 'cannot be held where stdout or stderr is inherited: the supervisor does not see what is written there');
  }
  const program = findProgram(argv[0], made.environment['PATH']);

  const pinned = made.confined && made.network !== undefined ? await pin(made.network, signal) : undefined;
  const { arch } = probe();
  const trace = options.trace === true && made.confined && arch !== 'other' ? new Trace(made, arch, program) : undefined;
  const calls = trace === undefined ? pinned : { ...(pinned ?? { connect: [], listen: [], hosts: '' }), trace: trace.handle, tracedFilter: trace.filter };
  let served = options.methods !== undefined;
  const channel = options.channel ?? false;
  const stdio = new TaskStdio({
    stdin: channel || served ? 'channel' : (options.stdin ?? 'ignore'),
    stdout: options.stdout ?? 'pipe',
    stderr: options.stderr ?? 'pipe',
    logs: options.logs ?? false,
    outputBytes: made.outputBytes,
    logLineBytes: made.logLineBytes,
    exceeded: (limit) => task.end(new TaskLimitExceeded(limit)),
  });
  let task: Task;
  try {
    const input = (): 'methods' | 'channel' | 'stdin' => (served ? 'methods' : channel ? 'channel' : 'stdin');
    const started = await startProcess(prepared, program, argv, stdio.theirs, { calls, collect: options.collect });
    task = new Task(started, { plan: made, program, argv, stdio, input, trace });
  } catch (error) {
    stdio.close();
    trace?.end();
    throw explained(error, program, made);
  }
  return {
    task,
    begin({ methods, signal: ending, name = argv[0], ...rest }) {
      served = methods !== undefined;
      if (methods !== undefined) answerRequests(task, stdio, { methods, task: name, ...pick(rest, 'audit', 'onMethodError') });
      limitTime(task, made.wallTimeMs);
      if (ending !== undefined) endOnAbort(task, ending);
    },
  };
}

function answerRequests(task: Task, stdio: TaskStdio, options: Omit<ServeOptions, 'onViolation'>): void {
  const stream = stdio.input;
  if (stream === null) return;
  const broker = serve(stream, { ...options, onViolation: (violation) => task.end(violation) });
  void task.exited.then(() => broker.close());
}

/** The fields that are there: `exactOptionalPropertyTypes` tells a missing one from an undefined one. */
function pick<T extends object, K extends keyof T>(from: T, ...names: K[]): { [N in K]: Exclude<T[N], undefined> } {
  return Object.fromEntries(names.filter((name) => from[name] !== undefined).map((name) => [name, from[name]])) as { [N in K]: Exclude<T[N], undefined> };
}

function limitTime(task: Task, wallTimeMs: number | undefined): void {
  if (wallTimeMs === undefined) return;
  const timer = setTimeout(() => task.end(new TaskTimeout('wallTimeMs', wallTimeMs)), wallTimeMs);
  void task.exited.then(() => clearTimeout(timer));
}

function endOnAbort(task: Task, signal: AbortSignal): void {
  const abort = (): void => task.end(signal.reason instanceof Error ? signal.reason : new Error('aborted', { cause: signal.reason }));
  if (signal.aborted) return abort();
  signal.addEventListener('abort', abort, { once: true });
  void task.exited.then(() => signal.removeEventListener('abort', abort));
}
