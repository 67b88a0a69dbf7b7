import { hostname as hostName, userInfo } from 'node:os';
import type { Duplex } from 'node:stream';
import { Authorizer } from '../authorization/index.js';
import type { Audit } from '../broker/index.js';
import { BrokerClosed, checkOptions, invalidArgument, outOfRange } from '../errors.js';
import { ExecutionApi } from '../execution-api/client.js';
import { checkDeclaration, checkGrants, type Declaration, type GrantPreset, type Grants } from '../execution-api/grants.js';
import type { Policy } from '../policy/policy.js';
import { Masker, type MaskerOptions } from '../secrets/masker.js';
import { Secret } from '../secrets/secret.js';
import { bundleRoot, locate } from './bundle.js';
import { drain, type LogLine } from './lines.js';
import { Logs, type LogOptions } from './logs/index.js';
import { keeping } from './logs/notes.js';
import { supervise, type Outcome, type Timing } from './run.js';
import { TaskProcesses, type WarmOptions } from './warm.js';
import { parseWorkload } from './workload.js';

export interface SupervisorOptions {
  /** Used for its connections, and for its token by workloads that come without one. It stays the caller's to close. */
  readonly api: ExecutionApi;
  /** Where the code of each bundle is: name to folder. */
  readonly bundles: Readonly<Record<string, string>>;
  /** What the server knows this host by. @default os.hostname() */
  readonly hostname?: string;
  /** @default 5000 */
  readonly heartbeatIntervalMs?: number;
  /** From SIGTERM to SIGKILL when a task must end. @default 5000 */
  readonly killGraceMs?: number;
  /** How long a task may run on after its final message. @default 20000 */
  readonly overtimeMs?: number;
  /** Asked about every variable, connection and XCom that a task was granted: for a server that decides nothing, as Airflow's. @default none */
  readonly authorization?: Authorizer;
  /** Told of every request of every task. */
  readonly audit?: Audit;
  /**
   * What is hidden in a task's lines and in `outcome.reason`: passwords and extras of connections that it was given, values of
   * variables with sensitive names, what it asked for itself, JSON Web Tokens. False: nothing. @default as Airflow's
   */
  readonly masking?: MaskerOptions | false;
  /** Processes that have started before there is a task for them: docs/warm-pool.md. Dispose the supervisor, or they keep this process running. @default none */
  readonly warm?: WarmOptions;
  /** Gets every line that tasks write to descriptors 1, 2 and 3. Also published on `diagnostics_channel` 'sallyport:log'. */
  readonly onLog?: (line: LogLine) => void;
  /** Keeps what tasks write, one JSON-lines file for each try. @default nothing is kept */
  readonly logs?: LogOptions;
}

export interface RunOptions {
  /** This task instance's token, of either scope. Taken over: destroyed when the run is over, whatever its outcome, and when it is refused. @default the workload's own */
  readonly token?: Secret;
  /** What the task may have besides its bundle and the task's side of this package. @default `policies.node()` */
  readonly policy?: Policy;
  /**
   * What it may ask for besides what is its own: `declared`, what `declares` lists; `airflow`, all that Airflow's supervisor lets a
   * task do, but not in the name of another task; or by name. @default 'declared'
   */
  readonly grants?: Grants | GrantPreset;
  /** The team of the task's DAG, for the rules of `authorization`. @default null, none */
  readonly team?: string | null;
  /** What the task's workload says that it needs, in names or patterns: for `grants: 'declared'`, and for the rules of `authorization`. @default nothing */
  readonly declares?: Declaration;
  /** Aborting kills the task. Once it runs its end is still reported, and is the outcome. */
  readonly signal?: AbortSignal;
}

/** Runs task instances of Airflow's Execution API, any number at once: each locked, served, watched and reported. */
export class Supervisor implements AsyncDisposable {
  readonly #options: SupervisorOptions;
  readonly #bundles: ReadonlyMap<string, string>;
  readonly #hostname: string;
  readonly #timing: Timing;
  readonly #processes: TaskProcesses;
  readonly #logs: Logs | undefined;
  readonly #running = new Map<AbortController, Promise<unknown>>();
  #disposed = false;

  constructor(options: SupervisorOptions) {
    checkOptions('options', options, ['api', 'bundles', 'hostname', 'heartbeatIntervalMs', 'killGraceMs', 'overtimeMs', 'authorization', 'audit', 'masking', 'warm', 'onLog', 'logs']);
    if (!(options?.api instanceof ExecutionApi)) throw invalidArgument('options.api', 'an ExecutionApi', options?.api);
    if (typeof options.bundles !== 'object' || options.bundles === null) throw invalidArgument('options.bundles', 'an object', options.bundles);
    if (options.authorization !== undefined && !(options.authorization instanceof Authorizer)) throw invalidArgument('options.authorization', 'an Authorizer', options.authorization);
    if (options.masking !== undefined && options.masking !== false) new Masker(options.masking).destroy(); // misuse is told now
    this.#logs = options.logs === undefined ? undefined : new Logs(options.logs);
    this.#options = options;
    this.#processes = new TaskProcesses(options.warm);
    this.#bundles = new Map(Object.entries(options.bundles));
    this.#hostname = options.hostname ?? hostName();
    this.#timing = {
      heartbeatIntervalMs: milliseconds('heartbeatIntervalMs', options.heartbeatIntervalMs ?? 5_000),
      killGraceMs: milliseconds('killGraceMs', options.killGraceMs ?? 5_000),
      overtimeMs: milliseconds('overtimeMs', options.overtimeMs ?? 20_000),
      drainMs: 20_000,
    };
  }

  /**
   * Runs one task instance to its final state.
   *
   * @param workload Airflow's ExecuteTask, as parsed from JSON.
   * @returns What became of it. A task that fails, breaks the protocol or is taken away is an outcome, not an error.
   * @throws {WorkloadInvalid} `ERR_WORKLOAD_INVALID`: nothing was started.
   * @throws {UpstreamFailed} `ERR_UPSTREAM_FAILED`, {@link UpstreamUnreachable} `ERR_UPSTREAM_UNREACHABLE`: the server
   *   did not let it run. The process that was to run it is gone, without having read a byte.
   * @throws What `launch()` throws, and `signal.reason` when aborted before the server let it run.
   */
  async run(workload: unknown, options: RunOptions = {}): Promise<Outcome> {
    // Ours from here on, whatever goes wrong next.
    using token = options?.token instanceof Secret ? options.token : tokenOf(workload);
    checkRunOptions(options);
    const { signal } = options;
    signal?.throwIfAborted();
    if (this.#disposed) throw disposed();
    const controller = new AbortController();
    const abort = (): void => controller.abort(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    const running = this.#run(workload, { ...options, ...(token && { token }) }, controller.signal);
    this.#running.set(controller, running);
    try {
      return await running;
    } finally {
      this.#running.delete(controller);
      signal?.removeEventListener('abort', abort);
    }
  }

  /**
   * Starts what will wait for the first tasks of a bundle under a policy, where there is a `warm`. Without it they are started with the first task.
   *
   * @returns Resolves when they wait.
   * @throws {WorkloadInvalid} `ERR_WORKLOAD_INVALID`: no such bundle. What `launch()` throws.
   */
  async warmUp(bundle: string, policy?: Policy): Promise<void> {
    if (this.#disposed) throw disposed();
    await this.#processes.fill(await bundleRoot(this.#bundles, bundle), policy);
  }

  /** Kills what runs, reports it and waits for it. Later runs are refused. Twice is fine. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    for (const controller of this.#running.keys()) controller.abort(disposed());
    await Promise.allSettled([...this.#running.values(), this.#processes[Symbol.asyncDispose]()]);
  }

  async #run(workload: unknown, { token, policy, grants = 'declared', team = null, declares }: RunOptions, signal: AbortSignal): Promise<Outcome> {
    const { api: shared, authorization: authorizer, audit, masking = {}, onLog } = this.#options;
    using masker = masking === false ? undefined : new Masker(masking);
    const api = token === undefined ? shared : shared.withToken(token);
    try {
      const parsed = parseWorkload(workload);
      const { root } = await locate(this.#bundles, parsed);
      const log = await this.#logs?.open(parsed);
      return await keeping(log, (text) => masker?.redact(text) ?? text, async () => {
        const task = await this.#processes.take(root, policy, signal);
        const channel = task.channel as Duplex; // opened now: it is ours to read even if the task has ended by the time it is served
        // Read from the start: whoever waits for its output to be taken cannot read its start message.
        const drained = [
          drain(task.stdout, parsed.ti.id, 'stdout', onLog, masker, log),
          drain(task.stderr, parsed.ti.id, 'stderr', onLog, masker, log),
          drain(task.logs, parsed.ti.id, 'log', onLog, masker, log),
        ];
        try {
          const startDate = new Date().toISOString();
          const owner = { hostname: this.#hostname, unixname: userName(), pid: task.pid, start_date: startDate };
          const context = await api.run(parsed.ti.id, owner, { signal });
          log?.note('info', 'the task has started', { pid: task.pid, hostname: this.#hostname });
          const rules = authorizer && { authorizer, team };
          return await supervise({ workload: parsed, context, api, task, channel, hostname: this.#hostname, startDate, grants, declares, rules, audit, masker, timing: this.#timing });
        } finally {
          task.kill('SIGKILL');
          await Promise.all([task.exited, ...drained]);
          await task[Symbol.asyncDispose]();
        }
      });
    } finally {
      if (api !== shared) await api.close();
    }
  }
}

function checkRunOptions(options: RunOptions): void {
  checkOptions('options', options, ['token', 'policy', 'grants', 'team', 'declares', 'signal']);
  const { token, grants = 'declared', team, declares, signal } = options;
  if (token !== undefined && !(token instanceof Secret)) throw invalidArgument('options.token', 'a Secret', token);
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw invalidArgument('options.signal', 'an AbortSignal', signal);
  if (team !== undefined && team !== null && (typeof team !== 'string' || team === '')) throw invalidArgument('options.team', 'the name of a team, or null', team);
  checkDeclaration('options.declares', declares ?? {});
  checkGrants('options.grants', grants);
}

/** Out of the workload before anything can fail and quote it. The string stays in the heap; pass a Secret to do better. */
function tokenOf(workload: unknown): Secret | undefined {
  if (typeof workload !== 'object' || workload === null || !('token' in workload)) return undefined;
  const { token } = workload;
  return typeof token === 'string' && token !== '' ? Secret.fromBytes(Buffer.from(token)) : undefined;
}

const disposed = (): Error => new BrokerClosed('the supervisor was disposed');

/** A uid need not have a name. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.());
  }
}

function milliseconds(name: string, value: number): number {
  // The most that Node's timers can wait.
  if (!Number.isSafeInteger(value) || value < 1 || value > 2 ** 31 - 1) throw outOfRange(`options.${name}`, 'a whole number of milliseconds');
  return value;
}
