import { setMaxListeners } from 'node:events';
import { hostname as hostName, userInfo } from 'node:os';
import type { Duplex, Readable } from 'node:stream';
import type { Audit } from '../broker/index.js';
import { Lane } from '../broker/turns.js';
import { SupervisorClosed } from '../errors.js';
import type { ExecutionApi } from '../execution-api/client.js';
import type { Policy } from '../policy/policy.js';
import { Masker } from '../secrets/masker.js';
import { Secret } from '../secrets/secret.js';
import type { Task } from '../task/task.js';
import type { ShownLimits } from './board.js';
import { bundleRoot, locate } from './bundle.js';
import { Telling } from './events.js';
import { drain, type LogLine } from './lines.js';
import { Logs } from './logs/index.js';
import { keeping } from './logs/notes.js';
import { resendLoggingFd } from './logs/resend.js';
import { checkRunOptions, checkSupervisorOptions, type RunOptions, type SupervisorOptions } from './options.js';
import { Reports } from './reports.js';
import { supervise, type Outcome, type Timing } from './run.js';
import { StatusSocket } from './status.js';
import { TaskProcesses } from './warm.js';
import { parseWorkload } from './workload.js';

/** One run, and the two ways to end it from outside. */
interface Run {
  readonly kill: AbortController;
  readonly stop: AbortController;
  readonly ended: Promise<unknown>;
}

/** Runs task instances of Airflow's Execution API, any number at once: each locked, served, watched and reported. */
export class Supervisor implements AsyncDisposable {
  readonly #options: SupervisorOptions;
  readonly #bundles: ReadonlyMap<string, string>;
  readonly #hostname: string;
  readonly #user = userName();
  readonly #timing: Timing;
  readonly #processes: TaskProcesses;
  readonly #logs: Logs | undefined;
  readonly #reports: Reports | undefined;
  readonly #status: StatusSocket | undefined;
  /** One for all tasks: what could not be recorded of one of them holds up all. */
  readonly #audit: Audit | undefined;
  readonly #running = new Set<Run>();
  /** Why no more is taken. */
  #closed: string | undefined;

  /** @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE`. */
  constructor(options: SupervisorOptions) {
    this.#timing = checkSupervisorOptions(options);
    this.#options = options;
    this.#logs = options.logs === undefined ? undefined : new Logs(options.logs);
    this.#processes = new TaskProcesses(options.warm);
    this.#bundles = new Map(Object.entries(options.bundles));
    this.#hostname = options.hostname ?? hostName();
    this.#status = options.status && new StatusSocket(options.status, () => ({ hostname: this.#hostname, closed: this.#closed ?? null, reportsWaiting: this.reportsWaiting }));
    this.#audit = this.#status?.board.audited(options.audit) ?? options.audit;
    this.#reports = options.reports && new Reports(options.reports, options.api);
  }

  /** How many run. */
  get running(): number {
    return this.#running.size;
  }

  /** How many reports the server has not taken yet, those of an earlier process included. */
  get reportsWaiting(): number {
    return this.#reports?.waiting ?? 0;
  }

  /**
   * Runs one task instance to its final state.
   *
   * @param workload Airflow's ExecuteTask, as parsed from JSON.
   * @returns What became of it. A task that fails, breaks the protocol or is taken away is an outcome, not an error.
   * @throws {WorkloadInvalid} `ERR_WORKLOAD_INVALID`: nothing was started.
   * @throws {SupervisorClosed} `ERR_SUPERVISOR_CLOSED`: it takes no more. Nothing was started, or what was is gone without having read a byte.
   * @throws {UpstreamFailed} `ERR_UPSTREAM_FAILED`, {@link UpstreamUnreachable} `ERR_UPSTREAM_UNREACHABLE`: the server
   *   did not let it run. The process that was to run it is gone, without having read a byte.
   * @throws What `launch()` throws, and `signal.reason` when aborted before the server let it run.
   */
  async run(workload: unknown, options: RunOptions = {}): Promise<Outcome> {
    // Ours from here on, whatever goes wrong next.
    const token = options?.token instanceof Secret ? options.token : tokenOf(workload);
    const { api: shared } = this.#options;
    let api = shared;
    try {
      checkRunOptions(options);
      options.signal?.throwIfAborted();
      if (this.#closed !== undefined) throw new SupervisorClosed(this.#closed);
      if (token !== undefined) api = shared.withToken(token);
    } catch (error) {
      token?.destroy();
      throw error;
    }
    const { signal } = options;
    const [kill, stop] = [new AbortController(), new AbortController()];
    const abort = (): void => kill.abort(signal?.reason);
    if (signal !== undefined) setMaxListeners(0, signal); // as many tasks as there are may share one
    signal?.addEventListener('abort', abort, { once: true });
    const running = this.#run(workload, options, api, { kill: kill.signal, stop: stop.signal });
    const run = { kill, stop, ended: running };
    this.#running.add(run);
    try {
      return await running;
    } finally {
      this.#running.delete(run);
      signal?.removeEventListener('abort', abort);
    }
  }

  /**
   * Whether a workload is one, and its file here: what `run()` looks at first. Nothing is started, and nobody asked.
   *
   * @throws {WorkloadInvalid} `ERR_WORKLOAD_INVALID`
   */
  async check(workload: unknown): Promise<void> {
    await locate(this.#bundles, parseWorkload(workload));
  }

  /**
   * Starts what will wait for the first tasks of a bundle under a policy, where there is a `warm`. Without it they are started with the first task.
   *
   * @returns Resolves when they wait.
   * @throws {WorkloadInvalid} `ERR_WORKLOAD_INVALID`: no such bundle. What `launch()` throws.
   */
  async warmUp(bundle: string, policy?: Policy): Promise<void> {
    if (this.#closed !== undefined) throw new SupervisorClosed(this.#closed);
    await this.#processes.fill(await bundleRoot(this.#bundles, bundle), policy);
  }

  /** Takes no more, and finishes what runs. Resolves when that has ended and its reports were made, are kept, or have failed. Never rejects; twice is fine. */
  async drain(): Promise<void> {
    this.#closed ??= 'takes no more: it drains';
    await this.#ended();
    await this.#reports?.flush();
  }

  /**
   * Takes no more, and ends what runs: SIGTERM, `killGraceMs` later SIGKILL. What becomes of it is reported: a task that uses the time to say its
   * final word is believed, any other one has failed, or is up for retry. Never rejects; twice is fine.
   */
  async stop(): Promise<void> {
    this.#closed = 'was stopped';
    for (const { stop } of this.#running) stop.abort(new SupervisorClosed(this.#closed));
    await this.#ended();
  }

  /** Kills what runs, reports it and waits for it; reports that are kept are left to who comes next. Later runs are refused. Twice is fine. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = 'was disposed of';
    for (const { kill } of this.#running) kill.abort(new SupervisorClosed(this.#closed));
    await this.#ended();
    await this.#reports?.close();
    this.#status?.close();
  }

  /** Of all that run, and then of what waits for tasks that do not come any more. */
  async #ended(): Promise<void> {
    await Promise.allSettled(Array.from(this.#running, ({ ended }) => ended));
    await this.#processes[Symbol.asyncDispose]();
  }

  async #run(workload: unknown, options: RunOptions, api: ExecutionApi, { kill, stop }: { readonly kill: AbortSignal; readonly stop: AbortSignal }): Promise<Outcome> {
    const { api: shared, authorization: authorizer, masking = {}, onLog } = this.#options;
    const { policy, grants = 'declared', team = null, declares, wallTimeMs } = options;
    let isKept = false; // with the client and its token
    try {
      using masker = masking === false ? undefined : new Masker(masking);
      const parsed = parseWorkload(workload);
      const telling = new Telling(parsed.ti, this.#status?.board);
      return await telling.of(async () => {
        const { root } = await locate(this.#bundles, parsed);
        const log = await this.#logs?.open(parsed);
        return await keeping(log, (text) => masker?.redact(text) ?? text, async () => {
          const task = await this.#processes.take(root, policy, kill);
          telling.launched(task.pid, limitsOf(task, wallTimeMs));
          const channel = task.channel as Duplex; // opened now: it is ours to read even if the task has ended by the time it is served
          const lane = new Lane();
          // Read from the start: whoever waits for its output to be taken cannot read its start message.
          const read = (stream: Readable | null, source: LogLine['source']): Promise<void> => drain(stream, parsed.ti.id, source, onLog, masker, log, lane);
          const drained = [read(task.stdout, 'stdout'), read(task.stderr, 'stderr'), read(task.logs, 'log')];
          const own = resendLoggingFd(task, (stream) => drained.push(read(stream, 'log')));
          // The server may have let it run already: whoever stops waits so long for its word, so that it can be told of the end.
          using patience = after(stop, this.#timing.killGraceMs);
          try {
            const startDate = new Date().toISOString();
            const hostname = this.#hostname;
            const context = await api.run(parsed.ti.id, { hostname, unixname: this.#user, pid: task.pid, start_date: startDate }, { signal: AbortSignal.any([kill, patience.signal]) });
            log?.note('info', 'the task has started', { pid: task.pid, hostname });
            telling.started(task.pid);
            const kept = await this.#reports?.begin({ task: parsed.ti, owner: { hostname, pid: task.pid } }, api, context.should_retry === true);
            const rules = authorizer && { authorizer, team };
            const timing = { ...this.#timing, wallTimeMs };
            const outcome = await supervise({ workload: parsed, context, api, ownsApi: api !== shared, task, channel, hostname, startDate, grants, declares, rules, audit: this.#audit, masker, own, telling, log, timing, kept, stop });
            isKept = outcome.kept === true;
            return outcome;
          } finally {
            task.kill('SIGKILL');
            await Promise.all([task.exited, ...drained]);
            await task[Symbol.asyncDispose]();
          }
        });
      });
    } finally {
      if (api !== shared && !isKept) await api.close();
    }
  }
}

/** Aborted so long after another one. */
function after(first: AbortSignal, ms: number): Disposable & { readonly signal: AbortSignal } {
  const late = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const wait = (): void => void (timer = setTimeout(() => late.abort(first.reason), ms));
  if (first.aborted) wait();
  else first.addEventListener('abort', wait, { once: true });
  return {
    signal: late.signal,
    [Symbol.dispose]() {
      clearTimeout(timer);
      first.removeEventListener('abort', wait);
    },
  };
}

/** What ends it, as far as that can be drawn. */
function limitsOf({ plan }: Task, wallTimeMs = plan.wallTimeMs): ShownLimits {
  return Object.freeze({ memoryBytes: plan.memoryBytes ?? null, processes: plan.processes ?? null, wallTimeMs: wallTimeMs ?? null });
}

/** Out of the workload before anything can fail and quote it. The string stays in the heap; pass a Secret to do better. */
function tokenOf(workload: unknown): Secret | undefined {
  if (typeof workload !== 'object' || workload === null || !('token' in workload)) return undefined;
  const { token } = workload;
  return typeof token === 'string' && token !== '' ? Secret.fromBytes(Buffer.from(token)) : undefined;
}

/** A uid need not have a name. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.());
  }
}
