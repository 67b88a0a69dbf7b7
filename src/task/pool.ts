import { statSync } from 'node:fs';
import { BrokerClosed, checkOptions, invalidArgument, outOfRange, TaskStartFailed } from '../errors.js';
import { filesRead, refuseVoidingGrants } from '../policy/grants.js';
import { absolute, copyPolicy, isUnchanging, type Policy } from '../policy/policy.js';
import { isSystemPath } from '../policy/presets.js';
import { launch, launchWaiting, type BeginOptions, type LaunchOptions, type Waiting } from './launch.js';
import type { Task } from './task.js';

export interface PoolOptions extends Pick<LaunchOptions, 'policy' | 'stdout' | 'stderr' | 'logs'> {
  /** How many processes wait, each with the memory of a program that has started; at most 1000. */
  readonly size: number;
  /**
   * The longest that one waits, in milliseconds. It is ended then, and another takes its place if any was taken in that time: a pool that
   * nobody uses empties. Names in the policy's `network` were resolved when the wait began. @default 300000
   */
  readonly maxWaitMs?: number;
}

/** What `launch()` would have been given for this one task. Without methods descriptor 0 is the caller's to serve: `task.channel`. */
export type TakeOptions = BeginOptions;

/** One that waits, and what it was allowed when it started. */
interface Candidate extends Waiting {
  readonly places: string;
  readonly timer: NodeJS.Timeout;
}

/** Several times what a task that was taken needs to its first line. */
const afterTakenMs = 25;
/** From the first failure on; each further one doubles it. */
const leastPauseMs = 100;
const mostPauseMs = 30_000;

/**
 * Processes of one program and one policy that have started, are locked, and block on descriptor 0 until one is taken for a task, which
 * then needs no start. Each serves one task and is never put back. Those that were taken are replaced in the background, one
 * after the other; one that ends while it waits is replaced too, more slowly each time.
 *
 * A process that waits has been given nothing, and a task that was taken is as any other that was launched: a domain, a session, a keyring and a
 * scratch folder of its own. Its wall time begins with `take()`; `cpuSeconds` counts what its start took, as it does after `launch()`, and
 * waiting takes none. Processes that wait keep this process running: dispose the pool.
 */
export class Pool implements AsyncDisposable {
  readonly #argv: readonly string[];
  readonly #size: number;
  readonly #maxWaitMs: number;
  readonly #launch: LaunchOptions;
  /** What the policy grants, but for the system's: a folder that is made anew under its name is another one. */
  readonly #granted: readonly string[];
  /** The oldest first: what has waited longest is surely through with starting. */
  readonly #waiting: Candidate[] = [];
  readonly #ending = new Set<Promise<void>>();
  #starting: Promise<void> | undefined;
  #soon: NodeJS.Timeout | undefined;
  #pause: NodeJS.Timeout | undefined;
  #pauseMs = leastPauseMs;
  #usedAtMs = performance.now();
  /** Why the last one could not be started, or did not live until it was taken. */
  #failure: unknown;
  /** How much was kept from tasks when the policy was last looked at. */
  #lookedAt = filesRead();
  #warned = false;
  #disposed = false;

  /** Begins to start them. @param argv As for `launch()`. @throws As `launch()` does for options that are wrong in themselves. */
  constructor(argv: readonly string[], options: PoolOptions) {
    checkOptions('options', options, ['policy', 'stdout', 'stderr', 'logs', 'size', 'maxWaitMs']);
    const { size, maxWaitMs = 300_000, policy = {}, ...rest } = options;
    if (!Number.isSafeInteger(size) || size < 1 || size > 1000) throw outOfRange('options.size', 'a whole number from 1 to 1000');
    if (!Number.isSafeInteger(maxWaitMs) || maxWaitMs < 1 || maxWaitMs > 2 ** 31 - 1) throw outOfRange('options.maxWaitMs', 'a whole number of milliseconds');
    if (!Array.isArray(argv)) throw invalidArgument('argv', 'an array of strings', argv);
    const unchanging: Policy = isUnchanging(policy) ? policy : copyPolicy(policy);
    this.#argv = Object.freeze([...(argv as string[])]);
    this.#size = size;
    this.#maxWaitMs = maxWaitMs;
    this.#launch = Object.freeze({ ...rest, policy: unchanging, channel: true });
    const { read = [], write = [], execute = [], cwd } = unchanging;
    this.#granted = [...new Set([...read, ...write, ...execute, ...(cwd === undefined ? [] : [cwd])])].map(absolute).filter((path) => !isSystemPath(path));
    this.#refill();
  }

  /** How many wait now. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /**
   * A task that has started already, or, where none waits, one that is launched now.
   *
   * @throws What `launch()` throws, and nothing was started; `signal.reason` when aborted before.
   */
  async take(options: TakeOptions = {}): Promise<Task> {
    checkOptions('options', options, ['signal', 'methods', 'audit', 'onMethodError', 'name']);
    options.signal?.throwIfAborted();
    if (this.#disposed) throw new BrokerClosed('the pool was disposed');
    this.#usedAtMs = performance.now();
    const candidate = this.#next();
    // The task is to have its first line before its successor's start takes a processor.
    this.#soon ??= setTimeout(() => this.#refill(), afterTakenMs);
    if (candidate === undefined) {
      const { channel: _, ...rest } = this.#launch;
      return launch(this.#argv, { ...rest, ...options, ...(options.methods === undefined && { channel: true }) });
    }
    this.#pauseMs = leastPauseMs;
    candidate.begin(options);
    return candidate.task;
  }

  /** Resolves when `size` wait. @throws Why one could not be started, or {@link TaskStartFailed} with step `pool`: it ended while it waited. */
  async filled(): Promise<void> {
    while (!this.#disposed && this.#waiting.length < this.#size) {
      this.#usedAtMs = performance.now();
      this.#refill();
      if (this.#starting === undefined) throw this.#failure;
      await this.#starting;
    }
  }

  /** Ends those that wait; what was taken is its taker's. Later calls of `take()` are refused. Never rejects; twice is fine. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    clearTimeout(this.#pause);
    clearTimeout(this.#soon);
    await this.#starting;
    for (const candidate of this.#waiting.splice(0)) this.#discard(candidate);
    await Promise.all(this.#ending);
  }

  #next(): Candidate | undefined {
    if (!this.#isStillGranted()) for (const candidate of this.#waiting.splice(0)) this.#discard(candidate);
    const places = this.#places();
    for (let candidate = this.#waiting.shift(); candidate !== undefined; candidate = this.#waiting.shift()) {
      clearTimeout(candidate.timer);
      // It may have ended a moment ago, or been allowed what has that name no more.
      if (candidate.places === places && candidate.task.kill(0)) return candidate;
      this.#discard(candidate);
    }
    return undefined;
  }

  #refill(): void {
    clearTimeout(this.#soon);
    this.#soon = undefined;
    if (this.#disposed || this.#starting !== undefined || this.#pause !== undefined || this.#waiting.length >= this.#size || this.#isIdle()) return;
    this.#starting = this.#start().then(
      () => {
        this.#starting = undefined;
        this.#refill();
      },
      (error: unknown) => {
        this.#starting = undefined;
        this.#later(error);
      },
    );
  }

  async #start(): Promise<void> {
    const places = this.#places(); // before: if they change while it starts it is not used
    const waiting = await launchWaiting(this.#argv, this.#launch);
    const candidate = { ...waiting, places, timer: setTimeout(() => this.#expire(candidate), this.#maxWaitMs).unref() };
    this.#waiting.push(candidate);
    void candidate.task.exited.then((exit) => {
      if (!this.#remove(candidate)) return;
      this.#discard(candidate);
      const how = `it ended while it waited: ${exit.kind} ${exit.kind === 'exited' ? exit.exitCode : exit.kind === 'signaled' ? exit.signal : exit.violation.message}`;
      if (!this.#warned) process.emitWarning(`a process of a pool is replaced: ${how}`, { type: 'SallyportWarning', code: 'SALLYPORT_POOL', detail: this.#argv[0] ?? '' });
      this.#warned = true;
      this.#later(new TaskStartFailed('pool', how));
    });
  }

  #isIdle(): boolean {
    return performance.now() - this.#usedAtMs >= this.#maxWaitMs;
  }

  #expire(candidate: Candidate): void {
    if (!this.#remove(candidate)) return;
    this.#discard(candidate);
    this.#refill();
  }

  #later(failure: unknown): void {
    this.#failure = failure;
    if (this.#disposed || this.#pause !== undefined) return;
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.#refill();
    }, this.#pauseMs).unref();
    this.#pauseMs = Math.min(this.#pauseMs * 2, mostPauseMs);
  }

  #remove(candidate: Candidate): boolean {
    const index = this.#waiting.indexOf(candidate);
    if (index >= 0) this.#waiting.splice(index, 1);
    return index >= 0;
  }

  #discard({ task, timer }: Candidate): void {
    clearTimeout(timer);
    const ended = task[Symbol.asyncDispose]().finally(() => this.#ending.delete(ended));
    this.#ending.add(ended);
  }

  /** The supervisor may keep more from tasks than when those that wait were started, such as its logs: a launch says what is wrong. */
  #isStillGranted(): boolean {
    const kept = filesRead();
    if (kept === this.#lookedAt) return true;
    try {
      refuseVoidingGrants(this.#launch.policy ?? {});
    } catch {
      return false;
    }
    this.#lookedAt = kept;
    return true;
  }

  /** Which files and folders the policy's names mean now. */
  #places(): string {
    return this.#granted.map((path) => {
      try {
        const { dev, ino } = statSync(path);
        return `${dev}:${ino}`;
      } catch {
        return '-';
      }
    }).join(' ');
  }
}
