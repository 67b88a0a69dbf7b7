import { setTimeout as sleep } from 'node:timers/promises';
import { checkOptions, invalidArgument, outOfRange, SallyportError, SupervisorClosed, UpstreamFailed, UpstreamUnreachable } from '../errors.js';
import { isPassing } from '../supervisor/report.js';
import type { Outcome } from '../supervisor/run.js';
import type { RunOptions } from '../supervisor/options.js';
import { Supervisor } from '../supervisor/supervisor.js';
import type { Claim, WorkQueue } from './queue.js';
import { isOfHost } from './trouble.js';

/** Whom an event is about. */
export interface Subject {
  /** The claim's. */
  readonly name: string;
  /** As the workload has it: text of others. Undefined where it has none. */
  readonly ti: Readonly<Record<'dag_id' | 'run_id' | 'task_id', string> & { map_index: number }> | undefined;
  /** How many run now. */
  readonly running: number;
}

/** What a worker does, as it does it. */
export type WorkerEvent =
  | (Subject & { readonly kind: 'started' })
  | (Subject & { readonly kind: 'ended'; readonly outcome: Outcome; readonly ms: number })
  /** It was set aside: nobody can run it. */
  | (Subject & { readonly kind: 'refused'; readonly reason: string })
  /** It waits again: the server or this host could not start it now. */
  | (Subject & { readonly kind: 'released'; readonly reason: string })
  /** The queue could not be asked, or not be told: where this host had no room for what became of a workload, that is tried again. */
  | { readonly kind: 'failed'; readonly error: Error };

/** What a claim ends with. */
type Ending = Extract<WorkerEvent, { readonly kind: 'ended' | 'refused' | 'released' }>;

export interface WorkerOptions {
  /** It stays the caller's to dispose, as the queue does. */
  readonly supervisor: Supervisor;
  readonly queue: WorkQueue;
  /** How many run at once. */
  readonly concurrency: number;
  /** For every workload: what the task may have and may ask for. */
  readonly run?: Omit<RunOptions, 'token' | 'declares' | 'signal'>;
  /** Return when the queue has nothing that waits, and nothing runs. @default false */
  readonly once?: boolean;
  /** Told what happens. It must not throw. */
  readonly onEvent?: (event: WorkerEvent) => void;
}

const leastPauseMs = 500;
const mostPauseMs = 30_000;
/** How often a worker that is drained tries to say what became of a workload, a pause between two. */
const lastTries = 10;
/** How often a process that cannot be started is tried: a host can be out of memory, and a policy can name a file that is missing. */
const mostStarts = 5;

/** Takes workloads from a queue and has a supervisor run them, so many at once. */
export class Worker {
  readonly #options: WorkerOptions;
  readonly #running = new Set<Promise<void>>();
  readonly #draining = new AbortController();
  readonly #starts = new Map<string, number>();
  /** How many have ended, and this host has no room to say so. */
  #untold = 0;
  #pauseMs = 0;
  #wake: () => void = () => {};

  /** @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE` */
  constructor(options: WorkerOptions) {
    checkOptions('options', options, ['supervisor', 'queue', 'concurrency', 'run', 'once', 'onEvent']);
    if (!(options.supervisor instanceof Supervisor)) throw invalidArgument('options.supervisor', 'a Supervisor', options.supervisor);
    if (!Number.isSafeInteger(options.concurrency) || options.concurrency < 1 || options.concurrency > 10_000) throw outOfRange('options.concurrency', 'a whole number from 1 to 10000');
    this.#options = options;
  }

  /** How many run now. */
  get running(): number {
    return this.#running.size;
  }

  /** Takes no more; what runs may end. `run()` resolves then. Twice is fine. */
  drain(): void {
    this.#draining.abort();
    this.#wake();
  }

  /** Works until it is drained, or with `once` until there is nothing left. Never rejects: what goes wrong is an event, and tried again. */
  async run(): Promise<void> {
    const { queue, concurrency, once = false } = this.#options;
    const { signal } = this.#draining;
    while (!signal.aborted) {
      const woken = new Promise<void>((resolve) => { this.#wake = resolve; });
      await this.#pause(signal);
      const wanted = this.#untold > 0 ? 0 : concurrency - this.#running.size;
      const claims = wanted === 0 ? [] : await this.#claim(wanted);
      if (signal.aborted) await Promise.all((claims ?? []).map((claim) => claim.release().catch((error: Error) => this.#tell({ kind: 'failed', error }))));
      else for (const claim of claims ?? []) this.#start(claim);
      if (claims !== undefined && once && wanted > 0 && claims.length === 0 && this.#running.size === 0) break;
      if (claims === undefined || claims.length > 0 || signal.aborted) continue;
      const waiting = new AbortController();
      await Promise.race(wanted === 0 ? [woken] : [woken, queue.changed(waiting.signal)]);
      waiting.abort();
    }
    await Promise.all(this.#running);
  }

  /** Undefined where the queue could not be asked. */
  async #claim(count: number): Promise<readonly Claim[] | undefined> {
    try {
      const claims = await this.#options.queue.claim(count, this.#draining.signal);
      if (claims.length === 0) this.#pauseMs = 0;
      return claims;
    } catch (error) {
      if (this.#draining.signal.aborted) return undefined;
      this.#later();
      this.#tell({ kind: 'failed', error: error as Error });
      return undefined;
    }
  }

  #start(claim: Claim): void {
    const running = this.#run(claim).finally(() => {
      this.#running.delete(running);
      this.#wake();
    });
    this.#running.add(running);
  }

  async #run(claim: Claim): Promise<void> {
    const { name, problem, workload, declares } = claim;
    const subject = (more: number): Subject => ({ name, ti: identityOf(workload), running: this.#running.size + more });
    await Promise.resolve(); // it counts as running from here
    if (problem !== undefined) return this.#end(() => claim.refuse(problem), { ...subject(-1), kind: 'refused', reason: problem });
    const started = new Date();
    try {
      // First: a token that was asked for keeps the workload from others for a while.
      if (claim.token !== undefined) await this.#options.supervisor.check(workload);
      const token = await claim.token?.(this.#draining.signal);
      this.#tell({ ...subject(0), kind: 'started' });
      const outcome = await this.#options.supervisor.run(workload, { ...this.#options.run, ...(declares && { declares }), ...(token && { token }) });
      const ended = new Date();
      this.#pauseMs = 0;
      this.#starts.delete(name);
      const result = { outcome, startedAt: started.toISOString(), endedAt: ended.toISOString() };
      return await this.#end(() => claim.settle(result), { ...subject(-1), kind: 'ended', outcome, ms: ended.getTime() - started.getTime() });
    } catch (error) {
      const reason = `${(error as Error).message} (${(error as NodeJS.ErrnoException).code ?? (error as Error).name})`;
      if (!this.#isForLater(claim, error)) {
        this.#starts.delete(name);
        return await this.#end(() => claim.refuse(reason, error), { ...subject(-1), kind: 'refused', reason });
      }
      this.#later();
      return await this.#end(() => claim.release(), { ...subject(-1), kind: 'released', reason });
    }
  }

  async #end(done: () => Promise<void>, event: Ending): Promise<void> {
    try {
      await this.#untilThereIsRoom(done, event);
    } catch (error) {
      this.#tell({ kind: 'failed', error: error as Error });
    }
    this.#tell(event);
  }

  /**
   * A full disk must not lose what became of a workload: that is tried again, in its place among those that run, and no other workload is taken
   * meanwhile. For as long as the worker is not drained, and some tries after that.
   */
  async #untilThereIsRoom(done: () => Promise<void>, event: Ending): Promise<void> {
    try {
      return await done();
    } catch (error) {
      if (!isOfHost(error)) throw error;
      this.#tell({ kind: 'failed', error: untold(event, error as Error) });
    }
    const { signal } = this.#draining;
    this.#untold++;
    try {
      for (let pauseMs = leastPauseMs, left = lastTries; ; pauseMs = Math.min(pauseMs * 2, mostPauseMs)) {
        await (signal.aborted ? sleep(leastPauseMs) : sleep(pauseMs, undefined, { signal }).catch(() => {}));
        try {
          return await done();
        } catch (error) {
          if (!isOfHost(error) || (signal.aborted && --left === 0)) throw error;
        }
      }
    } finally {
      this.#untold--;
    }
  }

  /** Whether it is the server's or this host's trouble, and not the workload's. */
  #isForLater({ name }: Claim, error: unknown): boolean {
    if (this.#draining.signal.aborted && !(error instanceof SallyportError)) return true;
    if (error instanceof UpstreamUnreachable || error instanceof UpstreamFailed) return isPassing(error);
    if (error instanceof SupervisorClosed || isOfHost(error)) return true;
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ERR_TASK_START') return false;
    const starts = (this.#starts.get(name) ?? 0) + 1;
    this.#starts.set(name, starts);
    return starts < mostStarts;
  }

  #later(): void {
    this.#pauseMs = Math.min(Math.max(this.#pauseMs * 2, leastPauseMs), mostPauseMs);
  }

  async #pause(signal: AbortSignal): Promise<void> {
    if (this.#pauseMs > 0) await sleep(this.#pauseMs, undefined, { signal }).catch(() => {});
  }

  #tell(event: WorkerEvent): void {
    this.#options.onEvent?.(event);
  }
}

function untold(event: Ending, cause: Error): Error {
  const what = event.kind === 'ended' ? event.outcome.state : event.kind;
  return Object.assign(new Error(`${event.name}: ${what}, which cannot be kept now and is tried again: ${cause.message}`, { cause }), { code: (cause as NodeJS.ErrnoException).code });
}

function identityOf(workload: unknown): Subject['ti'] {
  const ti = (workload as { ti?: Record<string, unknown> } | null | undefined)?.ti;
  if (typeof ti !== 'object' || ti === null) return undefined;
  const { dag_id, run_id, task_id, map_index } = ti;
  if (typeof dag_id !== 'string' || typeof run_id !== 'string' || typeof task_id !== 'string') return undefined;
  return { dag_id, run_id, task_id, map_index: typeof map_index === 'number' ? map_index : -1 };
}
