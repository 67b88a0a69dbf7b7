import type { Declaration } from '../execution-api/grants.js';
import type { Secret } from '../secrets/secret.js';
import type { Outcome } from '../supervisor/run.js';

/** What became of a claimed workload: an outcome, and when. */
export interface Result {
  readonly outcome: Outcome;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly endedAt: string;
}

/** A workload that is this worker's to run: no other worker of the queue is given it meanwhile. One of the three ends it. */
export interface Claim {
  /** What people call it: a file's name, a task instance's id. */
  readonly name: string;
  /** Airflow's ExecuteTask, as parsed from JSON; not checked yet. */
  readonly workload: unknown;
  /** Why it is none. */
  readonly problem?: string;
  /** What the workload says that it needs. Not checked either. */
  readonly declares?: Declaration;
  /** Its token, where it does not come with the workload. Whoever asks destroys it. */
  token?(signal: AbortSignal): Promise<Secret>;
  /** It ran: keeps what became of it. */
  settle(result: Result): Promise<void>;
  /** It cannot be run: sets it aside. `reason` holds no value of the workload's; `error` is what was thrown, where something was. */
  refuse(reason: string, error?: unknown): Promise<void>;
  /** Not here or not now: it waits again. */
  release(): Promise<void>;
}

/** Where a worker has its workloads from. */
export interface WorkQueue extends AsyncDisposable {
  /** At most so many, in the order in which they should run; none where none waits. @throws Where the queue cannot be asked: it is asked again later. */
  claim(count: number, signal: AbortSignal): Promise<readonly Claim[]>;
  /** Resolves when asking again may be worth it, and when the signal aborts. Never rejects. */
  changed(signal: AbortSignal): Promise<void>;
}
